"""DuckDB's engine as its Python package exports it, without the rest of that package.

To import all of `duckdb` takes four times as long, 0.1 s of CPU in every module, for relations and expressions in
Python, which nothing here uses.
"""

from _duckdb import DuckDBPyConnection, Error, OutOfMemoryException, __version__, connect

__all__ = ["DuckDBPyConnection", "Error", "OutOfMemoryException", "__version__", "connect"]

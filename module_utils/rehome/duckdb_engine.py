"""DuckDB's engine as its Python package exports it, without the rest of that package.

To import all of `duckdb` costs every module a twentieth of a second of CPU more, for relations and expressions in
Python, which nothing here uses.
"""

from _duckdb import Appender, DuckDBPyConnection, Error, OutOfMemoryException, __version__, connect

__all__ = ["Appender", "DuckDBPyConnection", "Error", "OutOfMemoryException", "__version__", "connect"]

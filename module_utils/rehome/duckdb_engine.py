"""The parts of the `duckdb` package that Rehome uses, imported from its extension module.

Importing all of `duckdb` would cost each Ansible module another 50 ms of CPU, for Python APIs that are not used here.
"""

from _duckdb import Appender, DuckDBPyConnection, Error, OutOfMemoryException, __version__, connect

__all__ = ["Appender", "DuckDBPyConnection", "Error", "OutOfMemoryException", "__version__", "connect"]

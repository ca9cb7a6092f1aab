"""sqlite: SQLite through the standard library. `dialect` has its SQL and its connection as well."""

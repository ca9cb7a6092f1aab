"""The catalog: a local DuckDB file of what the buckets and the database hold.

May import: errors, duckdb_engine. Read schema (every table, who fills it and who reads it), then catalog.
"""

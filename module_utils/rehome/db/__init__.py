"""db: everything that talks to the database. It may import config and the rooms below, and nothing about S3 or plans.

Read in this order: `dialect` (the interface of a database), `engines/` (its implementations for MariaDB and MySQL,
PostgreSQL, SQLite), `journal` (what a rewrite records), `work/` (reading a table, and rewriting it in chunks),
`throttle/` (slowing down for the server's other users), `inspector` (what preflight asks), `rights`.
"""

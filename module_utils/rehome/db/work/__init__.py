"""Read and rewrite rows in short statements and transactions, safely under a live application.

Knows `db.dialect` and `db.journal`, never a particular engine. Read `keyset` (read a table) and `chunk` (rewrite rows
under compare-and-set) first; then what both use: `reconnect` (lost connections), `caution` and `chunk_size` (how
the next chunk is rewritten, and how many rows it has), `refusals` (whether an error is about a row). `workers` runs
chunks on several connections; `interleave` orders rows for PostgreSQL; `pooling` sees whether connections keep
their sessions.
"""

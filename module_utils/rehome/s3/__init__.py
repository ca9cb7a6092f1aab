"""S3: list, copy, compare and delete objects over connections of our own; rare calls go through botocore.

May import config, mapping, checks, errors, backoff and duckdb_engine; knows no database, catalog, plan or state.
Read in this order: documents, support, capabilities, errors · transport/ (bytes to and from one endpoint) · client/
(requests with retries and limits), endpoint/ (where a bucket is, whose credentials) · objects/, listing/ · multipart/,
deletion/ · copier/, probe/. Each imports only those before it.
"""

"""postgresql: PostgreSQL through psycopg. Read `dialect` first, then `statements` and `connection`."""

"""The servers of the matrix. `DATABASES` and `STORES` have each by the name that pytest's options take."""

from __future__ import annotations

from sandbox.database import DatabaseServer
from sandbox.sqlite import SQLite

from .mariadb import MariaDB118, MariaDB1011
from .mysql import MySQL
from .pooled import PooledPostgreSQL
from .postgresql import PostgreSQL13, PostgreSQL14, PostgreSQL15, PostgreSQL16, PostgreSQL17, PostgreSQL18

DATABASES: dict[str, type[DatabaseServer] | type[SQLite]] = {
    "mysql-9.7": MySQL,
    "mariadb-10.11": MariaDB1011,
    "mariadb-11.8": MariaDB118,
    "postgresql-13": PostgreSQL13,
    "postgresql-14": PostgreSQL14,
    "postgresql-15": PostgreSQL15,
    "postgresql-16": PostgreSQL16,
    "postgresql-17": PostgreSQL17,
    "postgresql-18": PostgreSQL18,
    "postgresql-18-pgbouncer": PooledPostgreSQL,
    "sqlite": SQLite,
}

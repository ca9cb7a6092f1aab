"""The servers of the matrix. `DATABASES` and `STORES` have each by the name that pytest's options take.

Each class has `full_version()`, which unpacks the server's packages if need be.
"""

from __future__ import annotations

from sandbox.s3_server import S3Server
from sandbox.seaweedfs import SeaweedFS

from .ceph import Ceph
from .mariadb import MariaDB118, MariaDB1011, UnpackedMariaDB
from .moto import Moto
from .mysql import MySQL
from .pooled import PooledPostgreSQL
from .postgresql import (
    PostgreSQL13,
    PostgreSQL14,
    PostgreSQL15,
    PostgreSQL16,
    PostgreSQL17,
    PostgreSQL18,
    PostgreSQLOf,
)
from .sqlite import BuiltInSQLite

Database = type[MySQL] | type[UnpackedMariaDB] | type[PostgreSQLOf] | type[BuiltInSQLite]

DATABASES: dict[str, Database] = {
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
    "sqlite": BuiltInSQLite,
}

STORES: dict[str, type[S3Server]] = {kind.name: kind for kind in (SeaweedFS, Ceph, Moto)}


def full_version(name: str) -> str:
    """Return the version of the server of this name. Raises SandboxError if its packages cannot be had."""
    return (DATABASES[name] if name in DATABASES else STORES[name]).full_version()

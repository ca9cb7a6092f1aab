"""Private servers for the tests. Each session starts its own in temporary folders, and always stops them."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from matrix.servers.moto import Moto
from sandbox.errors import SandboxError
from sandbox.lifecycle import Servers
from sandbox.mariadb import MariaDB
from sandbox.postgresql import PostgreSQL
from sandbox.s3_server import S3Server
from sandbox.server import Server
from sandbox.sqlite import SQLite
from tests import chosen

AnyServer = TypeVar("AnyServer", bound=Server)

ACTIONS = {
    "admin": ("Admin",),
    "migrate": (
        *(f"{action}:legacy-s3*" for action in ("Read", "List")),
        *(f"{action}:production-s3*" for action in ("Read", "Write", "List", "Tagging")),
    ),
    "retire": tuple(
        f"{action}:{bucket}*"
        for bucket in ("legacy-s3", "production-s3")
        for action in ("Read", "List", "Write", "GetBucketObjectLockConfiguration")
    ),
    "reader": tuple(f"{action}:{bucket}*" for bucket in ("legacy-s3", "production-s3") for action in ("Read", "List")),
}
"""The rights of the sandbox's users, which also hold for the bucket pairs that tests create."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the command line name the servers."""
    chosen.add_options(parser)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run on a named database only what tests a database."""
    chosen.select(config, items)


def pytest_configure() -> None:
    """Make SIGTERM end a session as Ctrl-C does, so that the fixtures still stop their servers.

    Whatever is started keeps bytecode, as it does for operators: without, each run compiles engine and plugins anew.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[S3Server]:
    """A private SeaweedFS, or the server that --store names.

    `.endpoint_url`, `.region`, `.users[name].access_key`, `.client(name)`, `.iam()`.
    """
    yield from running(servers.store(tmp_path_factory.mktemp("servers") / "store", ACTIONS))


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """A private S3 that ignores conditions on copies and accepts keys that SeaweedFS refuses."""
    yield from running(Moto(tmp_path_factory.mktemp("servers") / "moto"))


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Servers:
    """Which class of server each name of the sandbox stands for in this session."""
    return chosen.servers(pytestconfig)


@pytest.fixture(scope="session")
def chosen_engine(pytestconfig: pytest.Config) -> str | None:
    """Which of "mariadb", "postgresql" and "sqlite" the option --database stands for, or None without it."""
    return chosen.engine(pytestconfig)


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[MariaDB]:
    """A private MariaDB: `.database("admin"|"migrate"|"reader")` is a `rehome_database`, `.connect(name)`."""
    yield from running(servers.mariadb(tmp_path_factory.mktemp("servers") / "mariadb"))


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[PostgreSQL]:
    """A private PostgreSQL, with the interface of `mariadb`."""
    yield from running(servers.postgresql(tmp_path_factory.mktemp("servers") / "postgresql"))


@pytest.fixture
def sqlite(tmp_path: Path) -> SQLite:
    """A SQLite file with the empty table, with the interface of `mariadb`; `.path` is the file."""
    database = SQLite(tmp_path / "app.db")
    database.up()
    return database


@dataclass(frozen=True, slots=True)
class Buckets:
    """The names of a source and a target bucket."""

    source: str
    target: str


@pytest.fixture
def buckets(object_store: S3Server) -> Iterator[Buckets]:
    """Two new buckets, in which `migrate` and `reader` have the same rights as in the sandbox's."""
    label = secrets.token_hex(4)
    pair = Buckets(f"legacy-s3-{label}", f"production-s3-{label}")
    client = object_store.client()
    for bucket in (pair.source, pair.target):
        client.create_bucket(Bucket=bucket)
    yield pair
    for bucket in (pair.source, pair.target):
        # frees the bucket's volumes, of which SeaweedFS has only as many as fit on the disk
        object_store.remove_bucket(bucket)


def running(server: AnyServer) -> Iterator[AnyServer]:
    """Start the server, yield it, and destroy it. A server that does not start fails the test: no silent skips."""
    try:
        server.up()
        yield server
    except SandboxError as error:
        pytest.fail(str(error), pytrace=False)
    finally:
        server.destroy()

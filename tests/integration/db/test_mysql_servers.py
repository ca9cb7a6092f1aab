"""MySQL servers that differ by what they were started with, and their replicas: each a private one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from rehome.checks import Check
from rehome.config.read import read_settings
from rehome.config.settings import Database
from rehome.db.dialect import MissingRightError
from rehome.db.engines.mysql.load import MySQLLoad
from rehome.db.engines.open import connect
from rehome.db.server_load import UnreadableError
from rehome.db.throttle.assemble import check_throttle
from rehome.db.work.chunk import ChunkOutcome
from rehome.preflight.preflight import _database
from rehome.progress import Progress

from matrix.servers.mysql import MySQL
from tests.conftest import running
from tests.integration.db.conftest import Bench
from tests.integration.db.inspecting import column_checks, named, only, server_checks, troubles
from tests.integration.db.replicas import MySQLReplica
from tests.integration.db.test_rewrite import planned, rewrite
from tests.unit.config.test_settings import given

pytestmark = [pytest.mark.product("mysql"), pytest.mark.usefixtures("mariadb")]

OPTIONS = ("--performance-schema=OFF", "--disable-log-bin", "--gtid-mode=OFF")


@pytest.fixture(params=OPTIONS)
def bench_with(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A bench on a server of its own that was started with an option."""
    server = MySQL(tmp_path / "server")
    server.options = [request.param]
    for started in running(server):
        with ExitStack() as stack:
            admin = started.connect("admin")
            stack.callback(admin.close)
            yield Bench("mariadb", admin, started.database, stack, started.connect)


def test_rows_are_inspected_and_rewritten_whatever_the_server_was_started_with(
    bench_with: Bench, request: pytest.FixtureRequest
) -> None:
    option = request.node.callspec.params["bench_with"]
    bench_with.create()
    bench_with.fill("image/a.png", "image/b.png")
    checks = [*server_checks(bench_with.settings()), *column_checks(bench_with)]
    assert troubles(checks) == []
    assert (only(checks, "binary log", "pass").found == "off") is (option == "--disable-log-bin")
    if option == "--disable-log-bin":
        # no replica can follow, whoever asks
        only(checks, "replicas", "pass")
    assert rewrite(bench_with, planned(bench_with)) == ChunkOutcome(rewritten=2)
    assert bench_with.values() == ["avatar/a.png", "avatar/b.png"]
    with connect(bench_with.settings()) as database:
        load = MySQLLoad(database)  # type: ignore[arg-type]
        assert load.running() >= 0 and 0 <= (load.redo_filled() or 0) < 1


@pytest.fixture
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MySQL, MySQLReplica]]:
    folder = tmp_path_factory.mktemp("replication")
    primary = MySQL(folder / "primary")
    primary.options = ["--server-id=1"]
    for started in running(primary):
        yield from ((started, replica) for replica in running(MySQLReplica(folder / "replica", started)))


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def throttle_problems(tmp_path: Path, server: Any, user: str, **throttle: Any) -> tuple[list[str], list[str]]:
    """Return what stops, and what is noted."""
    made = read_settings(given(database=server.database(user), throttle=throttle, state_dir=str(tmp_path)))
    findings, notes = check_throttle(made)
    return [str(finding) for finding in findings], notes


def checks_of(server: Any, user: str) -> list[Check]:
    return server_checks(Database(**server.database(user)))


def test_replicas_and_their_lag_are_told_to_those_who_may_see_them_and_unknown_to_others(
    replicated: tuple[MySQL, MySQLReplica], tmp_path: Path
) -> None:
    primary, replica = replicated
    until(lambda: only_status(primary, "admin") == "info")
    assert only(checks_of(primary, "admin"), "replicas", "info").found.startswith("1 connected")
    assert not named(checks_of(primary, "admin"), "primary")
    unknown = only(checks_of(primary, "migrate"), "replicas", "info")
    assert unknown.found.startswith("unknown: ") and "GRANT REPLICATION SLAVE" in unknown.advice
    assert "rehome_throttle.replicas" in unknown.advice
    only(checks_of(replica, "admin"), "primary", "warn")
    unknown = only(checks_of(replica, "migrate"), "primary", "info")
    assert unknown.found.startswith("unknown: ") and "GRANT REPLICATION CLIENT" in unknown.advice

    # by default it is noted; what was asked for stops
    stops, notes = throttle_problems(tmp_path, primary, "migrate")
    assert not stops and any("max_lag_s" in note and "rehome_throttle.replicas" in note for note in notes)
    stops, _ = throttle_problems(tmp_path, primary, "migrate", max_lag_s=5)
    assert len(stops) == 1 and "REPLICATION SLAVE" in stops[0]
    where = [{"host": "127.0.0.1", "port": replica.database("admin")["port"]}]
    assert throttle_problems(tmp_path, primary, "admin", replicas=where) == ([], [])

    with load_of(primary, "admin") as load, pytest.raises(UnreadableError, match="1 replicas are connected"):
        load.replicas()
    with load_of(replica, "migrate") as load, pytest.raises(MissingRightError, match="REPLICATION CLIENT"):
        load.seconds_behind()
    with load_of(replica, "admin") as load:
        until(lambda: load.seconds_behind() == 0)
        replica.ask("STOP REPLICA SQL_THREAD")
        with pytest.raises(UnreadableError, match="is not running"):
            load.seconds_behind()


@contextmanager
def load_of(server: Any, user: str) -> Iterator[MySQLLoad]:
    with connect(Database(**server.database(user))) as database:
        yield MySQLLoad(database)  # type: ignore[arg-type]


def only_status(server: Any, user: str) -> str:
    (check,) = named(checks_of(server, user), "replicas")
    return check.status


def test_an_innodb_that_is_read_only_is_told_once(tmp_path: Path) -> None:
    server = MySQL(tmp_path / "server")
    try:
        server.up()
        with ExitStack() as stack:
            admin = server.connect("admin")
            stack.callback(admin.close)
            bench = Bench("mariadb", admin, server.database, stack, server.connect)
            bench.create()
            bench.fill("image/a.png")
        server.stop()
        server.options = ["--innodb-read-only", "--read-only"]
        server.up()
        reference = {"table": bench.table, "column": "path", "form": "key"}
        made = read_settings(given(database=server.database("migrate"), references=[reference]))
        checks, _ = _database(made, False, False, Progress(tmp_path))
    finally:
        server.destroy()
    assert [check.name for check in checks if check.status == "stop"] == ["read-only"], checks
    assert "refused for the reason under `read-only`" in only(checks, "plan: update", "info").found

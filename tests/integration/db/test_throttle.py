"""The throttle on real servers: what it reads with which grants, and that the rewrite rests by it."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rehome.config.critical import CriticalSettings
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.db.dialect import Change, DatabaseError, Dialect
from rehome.db.engines.mysql.load import MySQLLoad
from rehome.db.engines.open import connect
from rehome.db.engines.postgresql.load import BackgroundVacuum, PostgreSQLLoad
from rehome.db.journal import JournalTarget
from rehome.db.server_load import Load, UnreadableError
from rehome.db.throttle.assemble import check_throttle, throttle
from rehome.db.throttle.throttle import CriticalLimitError, PausedTooLongError, Throttle
from rehome.db.work.chunk import ChunkOutcome, rewrite_chunk
from rehome.progress import FILE, Progress

from sandbox.postgresql import PostgreSQL
from tests.integration.db.conftest import Bench
from tests.integration.db.replicas import Primary, Replica, Standby
from tests.integration.db.test_rewrite import only

PATIENCE_S = 60.0


def settings(tmp_path: Path, database: dict[str, Any], table: str = "avatars", **limits: Any) -> Settings:
    return read_settings(
        {
            "name": "m",
            "source": {"bucket": "a", "prefix": "image/"},
            "target": {"bucket": "b", "prefix": "avatar/"},
            "include": ["*"],
            "exclude": [],
            "database": database,
            "references": [{"table": table, "column": "path", "form": "key"}],
            "on_conflict": "fail",
            "on_dangling": "fail",
            "journal_schema": "rehome",
            "state_dir": str(tmp_path),
            "throttle": limits,
        }
    )


def of(bench: Bench, tmp_path: Path, user: str = "migrate", **limits: Any) -> Settings:
    return settings(tmp_path, bench._database(user), bench.table, **limits)


def load_of(bench: Bench, user: str = "migrate") -> Load:
    database: Any = bench.rehome(user)
    return MySQLLoad(database) if bench.engine == "mariadb" else PostgreSQLLoad(database)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def why(tmp_path: Path) -> str:
    """Why the work is paused, by its progress."""
    try:
        text = (tmp_path / FILE).read_text()
    except FileNotFoundError:
        return ""
    return text if "waiting" in text else ""


@contextmanager
def waiting(throttled: Throttle, table: str) -> Iterator[threading.Event]:
    """A wait in the background; the event is set when it is over."""
    over, stop = threading.Event(), threading.Event()

    def wait() -> None:
        throttled.wait(stop.is_set, table)
        if not stop.is_set():
            over.set()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield over
    finally:
        stop.set()
        thread.join()


def paused_since(before: dict[str, float], throttled: Throttle) -> set[str]:
    """Which signals have paused the work since; the very first pause is for the first reading of each."""
    return {name for name, seconds in throttled.paused_s.items() if seconds > before.get(name, 0.0)}


def started(tmp_path: Path) -> Progress:
    progress = Progress(tmp_path)
    progress.stage("rewrite", 1)
    return progress


# What runs on the server


@contextmanager
def sleepers(bench: Bench, count: int) -> Iterator[None]:
    """Sessions of another user, each with a statement under way."""
    statement = "SELECT SLEEP(120)" if bench.engine == "mariadb" else "SELECT pg_sleep(120)"
    admins = [bench.rehome("admin") for _ in range(count)]
    names = [admin.run("SELECT connection_id()" if bench.engine == "mariadb" else "SELECT pg_backend_pid()")[0][0]
             for admin in admins]  # fmt: skip
    if bench.engine == "postgresql":
        for admin in admins:
            # as an application would, and not as Rehome itself
            admin.run("SET application_name = 'shop'")

    def sleep(admin: Dialect) -> None:
        # ended by a KILL, which MySQL's SLEEP only returns from
        with suppress(DatabaseError):
            admin.run(statement)

    threads = [threading.Thread(target=sleep, args=(admin,)) for admin in admins]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for name in names:
            bench.execute(f"KILL QUERY {name}" if bench.engine == "mariadb" else f"SELECT pg_terminate_backend({name})")
        for thread in threads:
            thread.join()


@only("mariadb", "postgresql")
def test_statements_of_others_are_counted_with_the_least_grants(bench: Bench) -> None:
    load = load_of(bench)
    before = load.running()
    with sleepers(bench, 3):
        until(lambda: load.running() == before + 3)
    until(lambda: load.running() == before)


@only("mariadb", "postgresql")
def test_the_work_pauses_while_others_run_too_many_statements(bench: Bench, tmp_path: Path) -> None:
    bench.create()
    with ExitStack() as stack:
        busy = stack.enter_context(ExitStack())
        busy.enter_context(sleepers(bench, 3))
        throttled = stack.enter_context(throttle(of(bench, tmp_path, max_running=2), started(tmp_path)))
        over = stack.enter_context(waiting(throttled, bench.table))
        until(lambda: "statements on the server; max_running is 2" in why(tmp_path) or over.is_set())
        assert not over.is_set()
        busy.close()
        assert over.wait(PATIENCE_S)
        assert throttled.paused_s["running"] > 0


@only("mariadb")
def test_the_work_pauses_while_the_redo_log_is_full(bench: Bench, tmp_path: Path) -> None:
    bench.create()
    bench.fill("image/a.png")

    def expected() -> bool:
        # an idle server writes its pages out, and the log is empty then
        bench.execute("UPDATE T SET path = concat(path, 'x')")
        return "% full; max_redo_ratio is 1e-06" in why(tmp_path)

    with (
        throttle(of(bench, tmp_path, max_redo_ratio=1e-6), started(tmp_path)) as throttled,
        waiting(throttled, bench.table) as over,
    ):
        until(expected)
        assert not over.is_set()
    with throttle(of(bench, tmp_path, max_redo_ratio=0.0), started(tmp_path)) as throttled:
        throttled.wait()
        assert "redo_log" not in throttled.paused_s


# Query, pause file, and what cannot be read


def test_the_operators_query_pauses_the_work_by_its_result(bench: Bench, tmp_path: Path) -> None:
    bench.create()
    bench.fill("x%y")
    query = f"SELECT count(*) FROM {bench.table} WHERE path LIKE 'x%'"
    given = of(bench, tmp_path, query=query, query_limit=0.0)
    with throttle(given, started(tmp_path)) as throttled, waiting(throttled, bench.table) as over:
        until(lambda: "the query returns 1; query_limit is 0" in why(tmp_path))
        bench.execute("DELETE FROM T WHERE id = 1")
        assert over.wait(PATIENCE_S)
    assert why(tmp_path) == ""


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT NULL", "NULL, which is not a number"),
        ("SELECT 1 WHERE 1 = 0", "0 rows"),
        ("SELECT 'a'", "not a number"),
        ("SELECT missing FROM nowhere", "nowhere"),
    ],
)
def test_a_query_without_a_number_pauses_the_work_and_the_preflight_refuses_it(
    bench: Bench, tmp_path: Path, query: str, expected: str
) -> None:
    bench.create()
    given = of(bench, tmp_path, query=query, max_wait_s=0.5)
    (finding,), _ = check_throttle(given)
    assert finding.setting == "rehome_throttle.query"
    assert expected in str(finding)
    with throttle(given, started(tmp_path)) as throttled, pytest.raises(PausedTooLongError, match=expected):
        throttled.wait()


def test_a_query_that_writes_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.create()
    bench.fill("image/a.png")
    (finding,), _ = check_throttle(of(bench, tmp_path, query=f"UPDATE {bench.table} SET path = 'x'"))
    assert bench.values() == ["image/a.png"]
    assert "cannot be read" in str(finding)


def test_a_pause_file_in_the_state_folder_pauses_the_work_until_it_is_deleted(bench: Bench, tmp_path: Path) -> None:
    bench.create()
    pause = tmp_path / "pause"
    with throttle(of(bench, tmp_path), started(tmp_path)) as throttled:
        throttled.wait()
        before = dict(throttled.paused_s)
        pause.touch()
        with waiting(throttled, bench.table) as over:
            until(lambda: f"the pause file {pause} exists" in why(tmp_path))
            pause.unlink()
            assert over.wait(PATIENCE_S)
        assert paused_since(before, throttled) == {"pause_file"}


@only("mariadb", "postgresql")
def test_killed_connections_end_neither_the_watch_nor_the_work(bench: Bench, tmp_path: Path) -> None:
    bench.create()
    bench.fill("image/a.png")
    pause = tmp_path / "pause"
    with throttle(of(bench, tmp_path, max_running=50), started(tmp_path)) as throttled:
        throttled.wait()
        pause.touch()
        database = bench.rehome()
        database.create_journal("rehome")
        facts = database.describe(bench.table, "path")
        threading.Timer(1, lambda: (_kill_all(bench), pause.unlink())).start()
        throttled.wait(lambda: False, bench.table, database.keep_alive)
        change = Change((1,), "image/a.png", "avatar/a.png")
        rewrite_chunk(database, facts, [change], JournalTarget("rehome", "m", "f" * 64), ChunkOutcome())
        until(lambda: throttled.wait() is None)
    assert bench.values() == ["avatar/a.png"]


def _kill_all(bench: Bench) -> None:
    if bench.engine == "postgresql":
        bench.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'migrate'")
    else:
        for (name,) in bench.execute("SELECT id FROM information_schema.processlist WHERE user = 'migrate'"):
            bench.execute(f"KILL {name}")


@only("mariadb")
def test_a_replica_that_never_responds_pauses_the_work_but_not_a_request_to_stop(bench: Bench, tmp_path: Path) -> None:
    bench.create()
    bench.rehome().create_journal("rehome")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        replicas = [{"host": "127.0.0.1", "port": deaf.getsockname()[1]}]
        with throttle(of(bench, tmp_path, replicas=replicas), started(tmp_path)) as throttled:
            began = time.monotonic()
            throttled.wait(lambda: "cannot be read: it has not been read yet" in why(tmp_path))
        # the connection is given up after 10 s; the request was heard long before
        assert time.monotonic() - began < 8


# Dead tuples


def fill_heap(bench: Bench, rows: int = 3_000) -> None:
    bench.create()
    bench.execute(
        f"INSERT INTO T SELECT g, 'image/' || g || '.png' FROM generate_series(1, {rows}) g"  # one statement: fast
    )
    # the INSERT is in the statistics before ANALYZE, or it would be added to what ANALYZE finds
    until(lambda: bench.execute(f"SELECT pg_stat_get_live_tuples('{bench.table}'::regclass)") == [(rows,)])
    bench.execute("ANALYZE T ")


def rewrite_all(bench: Bench, throttled: Throttle, user: str, rows_per_chunk: int = 100) -> None:
    database = bench.rehome(user)
    database.create_journal("rehome")
    facts = database.describe(bench.table, "path")
    after = None
    while batch := database.read_batch(facts, after, rows_per_chunk):
        after = batch.last
        throttled.wait(lambda: False, bench.table, database.keep_alive)
        changes = [Change(key, value or "", (value or "").replace("image/", "avatar/")) for key, value in batch]
        rewrite_chunk(database, facts, changes, JournalTarget("rehome", "m", "f" * 64), ChunkOutcome())
        throttled.record(0.01, bench.table, len(batch))


def heap_size(bench: Bench) -> int:
    return int(bench.execute(f"SELECT pg_relation_size('{bench.table}')")[0][0])


@only("postgresql")
def test_dead_tuples_and_where_autovacuum_comes_are_read_with_the_least_grants(bench: Bench) -> None:
    fill_heap(bench)
    load = load_of(bench)
    assert not load.may_vacuum(bench.table)
    assert load_of(bench, "admin").may_vacuum(bench.table)
    bench.execute("UPDATE T SET path = path || 'x' WHERE id <= 500")
    # a session reports what it wrote with a later statement, or after ten seconds
    until(lambda: bench.execute(f"SELECT pg_stat_get_dead_tuples('{bench.table}'::regclass)") == [(500,)])
    heap = load.heap(bench.table)
    assert heap is not None
    assert (heap.live, heap.dead, heap.autovacuum_at) == (3_000, 500, 650)
    bench.execute("ALTER TABLE T SET (autovacuum_vacuum_scale_factor = 0.5, autovacuum_vacuum_threshold = 7)")
    heap = load.heap(bench.table)
    assert heap is not None
    assert heap.autovacuum_at == 1507
    bench.execute("ALTER TABLE T SET (autovacuum_enabled = off)")
    heap = load.heap(bench.table)
    assert heap is not None
    assert heap.autovacuum_at is None


@only("postgresql")
def test_a_partitioned_table_is_the_sum_of_its_partitions(bench: Bench) -> None:
    bench.execute("CREATE TABLE T (id BIGINT PRIMARY KEY, path TEXT) PARTITION BY RANGE (id)")
    for number in (0, 1):
        bench.execute(
            f"CREATE TABLE {bench.table}_{number} PARTITION OF T FOR VALUES FROM ({number}000) TO ({number + 1}000)"
        )
    bench.execute("INSERT INTO T SELECT g, 'x' FROM generate_series(0, 1999) g")
    bench.execute("ANALYZE T ")
    heap = load_of(bench).heap(bench.table)
    assert heap is not None
    assert (heap.live, heap.dead, heap.autovacuum_at) == (2_000, 0, 500)
    assert load_of(bench, "admin").may_vacuum(bench.table)


@only("postgresql")
def test_a_vacuum_at_work_is_seen_with_the_least_grants(bench: Bench) -> None:
    fill_heap(bench, 20_000)
    bench.execute("UPDATE T SET path = path || 'x'")
    load = load_of(bench)

    def slowly() -> None:
        with connect(bench.settings("admin")) as admin:
            admin.run("SET vacuum_cost_delay = 20")
            admin.run("SET vacuum_cost_limit = 50")
            admin.run(f"VACUUM {bench.table}")

    thread = threading.Thread(target=slowly)
    thread.start()
    until(lambda: (heap := load.heap(bench.table)) is not None and heap.vacuumed)
    thread.join()
    until(lambda: (heap := load.heap(bench.table)) is not None and not heap.vacuumed and heap.dead == 0)


@only("postgresql")
def test_where_rehome_may_it_vacuums_and_the_table_grows_little(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rehome.db.throttle.signals.MIN_DEAD", 100)
    fill_heap(bench)
    before = heap_size(bench)
    with throttle(of(bench, tmp_path, "admin"), started(tmp_path)) as throttled:
        rewrite_all(bench, throttled, "admin")
        assert throttled.paused_s["dead_tuples"] > 0
    assert heap_size(bench) <= 1.25 * before
    bench.execute("DROP SCHEMA rehome CASCADE")


@only("postgresql")
def test_where_rehome_may_not_it_waits_for_autovacuum(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgresql: PostgreSQL
) -> None:
    monkeypatch.setattr("rehome.db.throttle.signals.MIN_DEAD", 100)
    fill_heap(bench)
    bench.execute("ALTER TABLE T SET (autovacuum_vacuum_scale_factor = 0.4)")
    before = heap_size(bench)
    with autovacuum_every_second(postgresql), throttle(of(bench, tmp_path), started(tmp_path)) as throttled:
        rewrite_all(bench, throttled, "migrate")
        assert throttled.paused_s["dead_tuples"] > 0
    ((rounds,),) = bench.execute("SELECT autovacuum_count FROM pg_stat_user_tables WHERE relname = ?", bench.table)
    assert rounds >= 1
    assert heap_size(bench) <= 1.6 * before


@contextmanager
def autovacuum_every_second(server: PostgreSQL) -> Iterator[None]:
    login = server.state.logins[server.superuser]
    with psycopg.connect(
        host="127.0.0.1",
        port=server.state.ports["sql"],
        dbname="app",
        user=login.name,
        password=login.secret,
        autocommit=True,
    ) as connection:
        connection.execute("ALTER SYSTEM SET autovacuum_naptime = 1")
        connection.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            connection.execute("ALTER SYSTEM RESET autovacuum_naptime")
            connection.execute("SELECT pg_reload_conf()")


@only("postgresql")
def test_a_vacuum_that_is_not_allowed_is_reported(bench: Bench) -> None:
    fill_heap(bench)
    ended = threading.Event()
    vacuum = BackgroundVacuum("no_such_table", lambda: connect(bench.settings()), ended.set)
    vacuum.start()
    assert ended.wait(PATIENCE_S)
    assert "no_such_table" in (vacuum.failure or "")


@only("postgresql")
def test_the_preflight_names_what_autovacuum_will_not_do(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_heap(bench)
    assert check_throttle(of(bench, tmp_path)) == ([], [])
    monkeypatch.setattr("rehome.db.throttle.signals.MIN_DEAD", 100)
    findings, notes = check_throttle(of(bench, tmp_path))
    assert not findings
    assert any("autovacuum starts only at 650 dead tuples (22%)" in note for note in notes)
    assert check_throttle(of(bench, tmp_path, "admin")) == ([], [])
    bench.execute("ALTER TABLE T SET (autovacuum_enabled = off)")
    assert any("autovacuum is off" in note for note in check_throttle(of(bench, tmp_path))[1])


# Replicas


@pytest.fixture(scope="module")
def standby(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standby]:
    server = Standby(tmp_path_factory.mktemp("standby") / "postgresql", postgresql)
    server.up()
    yield server
    server.destroy()


def follow(
    tmp_path: Path, primary: Any, replica: Any, pause: Callable[[], object], resume: Callable[[], object]
) -> None:
    """A named replica stops, is found behind by the journal alone, and catches up."""
    database = primary.database("migrate")
    port = replica.state.ports["sql"]
    limits = {"replicas": [{"host": "127.0.0.1", "port": port}], "max_lag_s": 0.5}
    given = settings(tmp_path, database, **limits)
    with connect(given.database) as rehome:
        rehome.create_journal("rehome")
        until(lambda: check_throttle(given)[0] == [])
        with throttle(given, started(tmp_path)) as throttled:
            throttled.wait()
            before = dict(throttled.paused_s)
            pause()
            journal_something(rehome)
            # until the journal's entry has been seen for longer than the limit
            time.sleep(2)
            with waiting(throttled, "avatars") as over:
                until(lambda: f"replica 127.0.0.1:{port}" in why(tmp_path) or over.is_set())
                assert not over.is_set()
                resume()
                assert over.wait(PATIENCE_S)
            assert paused_since(before, throttled) == {"replica_lag"}


def journal_something(rehome: Dialect) -> None:
    from rehome.db import journal  # noqa: PLC0415

    with rehome.transaction():
        target = JournalTarget("rehome", "m", "f" * 64)
        entry = journal.entry(secrets.token_hex(16), target, "avatars.path", [Change((1,), "a", "b")])
        rehome.append_journal("rehome", entry)


def test_a_standby_is_followed_by_the_journal(tmp_path: Path, postgresql: PostgreSQL, standby: Standby) -> None:
    follow(
        tmp_path,
        postgresql,
        standby,
        lambda: standby.ask("SELECT pg_wal_replay_pause()"),
        lambda: standby.ask("SELECT pg_wal_replay_resume()"),
    )
    drop_journal(postgresql)


def test_the_primary_tells_of_its_standbys_to_members_of_pg_monitor(
    tmp_path: Path, postgresql: PostgreSQL, standby: Standby
) -> None:
    given = settings(tmp_path, postgresql.database("migrate"))
    with connect(given.database) as database:
        load = PostgreSQLLoad(database)
        with pytest.raises(UnreadableError, match="pg_monitor"):
            load.replicas()
        findings, notes = check_throttle(given)
        assert not findings
        assert any("max_lag_s" in note and "pg_monitor" in note for note in notes)
        (finding,), _ = check_throttle(settings(tmp_path, postgresql.database("migrate"), max_lag_s=5.0))
        assert finding.setting == "rehome_throttle.max_lag_s"
        with throttle(given, started(tmp_path)) as throttled:
            throttled.wait()
        on_primary(postgresql, "GRANT pg_monitor TO migrate")
        try:
            until(lambda: list(load.replicas().values()) == [pytest.approx(0, abs=1)])
            standby.ask("SELECT pg_wal_replay_pause()")
            on_primary(postgresql, "CREATE TABLE something ()")
            until(lambda: next(iter(load.replicas().values())) > 1)
            standby.ask("SELECT pg_wal_replay_resume()")
            on_primary(postgresql, "DROP TABLE something")
            until(lambda: next(iter(load.replicas().values())) < 1)
        finally:
            on_primary(postgresql, "REVOKE pg_monitor FROM migrate")


def on_primary(server: PostgreSQL, statement: str) -> None:
    with server._connect(server.superuser, "app", autocommit=True) as connection:
        connection.execute(statement)


def drop_journal(server: Any) -> None:
    connection = server.connect("migrate")
    connection.cursor().execute("DROP SCHEMA rehome CASCADE")
    connection.commit()
    connection.close()


def test_a_mariadb_replica_is_followed_by_the_journal_and_by_its_own_figure(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("replication")
    primary = Primary(folder / "primary")
    with ExitStack() as stack:
        stack.callback(primary.destroy)
        primary.up()
        replica = Replica(folder / "replica", primary)
        stack.callback(replica.destroy)
        replica.up()
        follow(
            tmp_path,
            primary,
            replica,
            lambda: replica.ask("STOP SLAVE SQL_THREAD"),
            lambda: replica.ask("START SLAVE SQL_THREAD"),
        )
        with connect(read_database(tmp_path, replica, "migrate")) as database:
            load = MySQLLoad(database)  # type: ignore[arg-type]
            with pytest.raises(DatabaseError, match="1227"):
                load.seconds_behind()
        with connect(read_database(tmp_path, primary, "migrate")) as database:
            load = MySQLLoad(database)  # type: ignore[arg-type]
            with pytest.raises(
                UnreadableError, match=r"1 replicas are connected.*name them in rehome_throttle\.replicas"
            ):
                load.replicas()
        with connect(read_database(tmp_path, replica, "admin")) as database:
            load = MySQLLoad(database)  # type: ignore[arg-type]
            # by whole seconds, so that it may still tell of the one before
            until(lambda: load.seconds_behind() == 0)
            replica.ask("STOP SLAVE")
            with pytest.raises(UnreadableError, match="is not running"):
                load.seconds_behind()


def read_database(tmp_path: Path, server: Any, user: str) -> Any:
    return settings(tmp_path, server.database(user)).database


def test_a_critical_limit_ends_the_work_though_the_throttle_itself_lets_it_go_on(bench: Bench, tmp_path: Path) -> None:
    bench.create()
    bench.fill("y1", "y2")
    query = f"SELECT count(*) FROM {bench.table} WHERE path LIKE 'x%'"
    given = replace(of(bench, tmp_path, query=query, query_limit=100.0), critical=CriticalSettings(query_limit=1.0))
    with throttle(given, started(tmp_path)) as throttled:
        throttled.wait()
        bench.execute("UPDATE T SET path = 'x1' WHERE id > 0")
        ended: list[str] = []

        def has_ended() -> bool:
            try:
                throttled.wait()
            except CriticalLimitError as error:
                ended.append(str(error))
            return bool(ended)

        until(has_ended)
    assert "rehome_critical.query_limit (1): the run has ended by itself: the query returns 2" in ended[0]

"""The guarded rewrite while connections, servers, the application and its own process fail."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rehome.config.settings import Database
from rehome.db import journal
from rehome.db.dialect import Change, ConnectionLostError, Dialect, TableFacts
from rehome.db.engines.open import connect
from rehome.db.journal import JournalTarget
from rehome.db.work import reconnect as recovery
from rehome.db.work.chunk import ChunkOutcome, rewrite_chunk
from rehome.db.work.keyset import read_by_keyset
from rehome.db.work.reconnect import WorkContext

from sandbox.database import DatabaseServer
from sandbox.mariadb import MariaDB
from sandbox.postgresql import PostgreSQL
from tests.cutting_proxy import CuttingProxy
from tests.integration.db.conftest import Bench, only

ROWS = 30
CHUNK = 7


def target(bench: Bench, **more: Any) -> JournalTarget:
    return JournalTarget(bench.schema, bench.table, "f" * 64, **more)


def planned(database: Dialect, facts: TableFacts) -> list[Change]:
    rows = [row for batch in read_by_keyset(database, facts, 11) for row in batch]
    return [
        Change(key, value, "avatar/" + value.removeprefix("image/"))
        for key, value in rows
        if value is not None and value.startswith("image/")
    ]


def chunks(changes: Sequence[Change]) -> Iterator[list[Change]]:
    left = iter(changes)
    while chunk := list(islice(left, CHUNK)):
        yield chunk


def journalled(bench: Bench) -> list[journal.RecordedEntry]:
    return [entry for batch in journal.newest_first(bench.rehome(), bench.schema, bench.table) for entry in batch]


def filled(bench: Bench) -> None:
    bench.create()
    bench.fill(*[f"image/{number}.png" for number in range(1, ROWS + 1)])


@pytest.fixture
def proxied(bench: Bench) -> Iterator[tuple[CuttingProxy, Dialect]]:
    """Return Rehome's connection through a proxy that cuts it."""
    port = bench.settings().port
    assert port is not None
    with CuttingProxy(port) as proxy, connect(bench.settings(host="127.0.0.1", port=proxy.port)) as database:
        yield proxy, database


MOMENTS = {
    "before the transaction": (b"START TRANSACTION", b"BEGIN"),
    "at the lock": (b"GROUP_CONCAT", b"string_agg"),
    "at the update": (b"UPDATE `t_", b'UPDATE "t_'),
    "at the journal": (b"INSERT INTO", b"INSERT INTO"),
    "at COMMIT": (b"COMMIT", b"COMMIT"),
}


@only("mariadb", "postgresql")  # a file has no connection
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("place", MOMENTS)
def test_a_connection_that_is_lost_costs_no_row_and_journals_none_twice(
    bench: Bench, proxied: tuple[CuttingProxy, Dialect], place: str, moment: Any
) -> None:
    filled(bench)
    proxy, database = proxied
    database.create_journal(bench.schema)
    facts = database.describe(bench.table, "path")
    changes = planned(database, facts)
    reports: list[str | None] = []
    proxy.cut_at(MOMENTS[place][bench.engine == "postgresql"], moment)
    outcome = ChunkOutcome()
    rewrite_chunk(database, facts, changes, target(bench), outcome, WorkContext(report=reports.append))
    assert proxy.cuts == 1
    assert outcome == ChunkOutcome(rewritten=ROWS)
    assert bench.values() == [change.new for change in changes]
    (entry,) = journalled(bench)
    assert journal.unpack(entry.entry.entries) == changes
    assert "lost" in str(reports[0])
    assert reports[-1] is None


@only("mariadb", "postgresql")
def test_a_lost_connection_is_reported_as_such_however_often_it_is_used(proxied: tuple[CuttingProxy, Dialect]) -> None:
    proxy, database = proxied
    proxy.cut()
    for _ in range(2):
        with pytest.raises(ConnectionLostError):
            database.run("SELECT 1")
    with pytest.raises(ConnectionLostError), database.transaction():
        pass


@only("mariadb", "postgresql")
def test_a_batch_whose_connection_was_lost_is_read_again(bench: Bench, proxied: tuple[CuttingProxy, Dialect]) -> None:
    filled(bench)
    proxy, database = proxied
    facts = database.describe(bench.table, "path")
    proxy.cut_at(b"LIMIT", "after", skip=1)
    assert len(planned(database, facts)) == ROWS
    assert proxy.cuts == 1


@only("mariadb", "postgresql")
def test_a_server_that_stays_away_ends_the_chunk_with_what_happened(
    bench: Bench, proxied: tuple[CuttingProxy, Dialect], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(bench)
    proxy, database = proxied
    facts = database.describe(bench.table, "path")
    changes = planned(database, facts)
    monkeypatch.setattr(recovery, "MAX_OUTAGE_S", 0.0)
    with proxy:
        pass
    with pytest.raises(ConnectionLostError, match="connection to the database was lost"):
        rewrite_chunk(database, facts, changes, target(bench), ChunkOutcome(), WorkContext(sleep=lambda _s: None))
    assert bench.values() == [change.old for change in changes]


@pytest.fixture(scope="module", params=[MariaDB, PostgreSQL], ids=["mariadb", "postgresql"])
def own_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    """Start a server that a test may kill."""
    server: DatabaseServer = request.param(tmp_path_factory.mktemp("servers") / "own")
    try:
        server.up()
        yield server
    finally:
        server.destroy()


def test_a_server_that_is_killed_and_started_again_is_waited_for(own_server: DatabaseServer) -> None:
    connection = own_server.connect("admin")
    cursor = connection.cursor()
    values = ", ".join(f"({number}, {number}, 'image/{number}.png')" for number in range(1, 101))
    cursor.execute(f"INSERT INTO avatars (id, user_id, path) VALUES {values}")
    connection.commit()
    connection.close()
    restart = threading.Thread(target=own_server.up)

    def on_wait(_seconds: float) -> None:
        if restart.ident is None:
            restart.start()
        restart.join(60)

    with connect(Database(**own_server.database("migrate"))) as database:
        database.create_journal("rehome")
        facts = database.describe("avatars", "path")
        changes = planned(database, facts)
        outcome, done = ChunkOutcome(), 0
        for chunk in chunks(changes):
            done += len(chunk)
            if done == 3 * CHUNK:
                own_server.processes[0].end(own_server.kill_signal)
            rewrite_chunk(
                database, facts, chunk, JournalTarget("rehome", "m", "f"), outcome, WorkContext(sleep=on_wait)
            )
        assert restart.ident is not None
        assert outcome == ChunkOutcome(rewritten=100)
        assert planned(database, facts) == []
        entries = [entry for batch in journal.newest_first(database, "rehome", "m") for entry in batch]
        assert sum(entry.entry.row_count for entry in entries) == 100


@pytest.mark.direct
@only("mariadb", "postgresql")
def test_a_read_only_server_is_waited_for_and_the_run_says_so(bench: Bench) -> None:
    filled(bench)
    setter = bench.rehome()
    setter.create_journal(bench.schema)
    on, off = {
        "mariadb": ("SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"),
        "postgresql": (
            "ALTER DATABASE app SET default_transaction_read_only = on",
            "ALTER DATABASE app RESET default_transaction_read_only",
        ),
    }[bench.engine]
    reports: list[str | None] = []
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            _writable(bench, off)

    bench.execute(on)
    try:
        database = bench.rehome()
        facts = database.describe(bench.table, "path")
        outcome = ChunkOutcome()
        context = WorkContext(sleep=sleep, report=reports.append)
        rewrite_chunk(database, facts, planned(database, facts), target(bench), outcome, context)
    finally:
        _writable(bench, off)
    assert outcome == ChunkOutcome(rewritten=ROWS)
    assert "takes no writes now" in str(reports[0])
    assert reports[-1] is None


def _writable(bench: Bench, statement: str) -> None:
    if bench.engine == "postgresql":
        bench.execute("SET default_transaction_read_only = off")
    bench.execute(statement)


@only("mariadb")  # the others take statements of any size that a chunk can have
def test_a_chunk_that_is_too_large_for_the_server_is_split(bench: Bench) -> None:
    (before,) = bench.execute("SELECT @@global.max_allowed_packet")[0]
    bench.create(column="path VARCHAR(2000)")
    bench.fill(*[f"image/{'x' * 1500}{number}.png" for number in range(ROWS)])
    bench.execute("SET GLOBAL max_allowed_packet = 131072")
    try:
        database = bench.rehome()
    finally:
        bench.execute(f"SET GLOBAL max_allowed_packet = {before}")
    database.create_journal(bench.schema)
    facts = database.describe(bench.table, "path")
    outcome = ChunkOutcome()
    rewrite_chunk(database, facts, planned(database, facts), target(bench), outcome)
    assert outcome == ChunkOutcome(rewritten=ROWS)
    assert len(journalled(bench)) > 1


class Dying:
    """A dialect whose process is killed after a number of calls."""

    def __init__(self, database: Dialect, steps: int) -> None:
        self._database = database
        self._left = steps

    def __getattr__(self, name: str) -> Any:
        self._step()
        return getattr(self._database, name)

    def transaction(self) -> Any:
        return _DyingTransaction(self._database.transaction(), self._step)

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


class _DyingTransaction:
    def __init__(self, transaction: Any, step: Callable[[], None]) -> None:
        self._transaction = transaction
        self._step = step

    def __enter__(self) -> None:
        self._step()
        self._transaction.__enter__()
        self._step()

    def __exit__(self, *error: Any) -> Any:
        self._step()
        try:
            return self._transaction.__exit__(*error)
        finally:
            self._step()


def rewrite_all(bench: Bench, database: Dialect) -> None:
    facts = database.describe(bench.table, "path")
    for chunk in chunks(planned(database, facts)):
        rewrite_chunk(database, facts, chunk, target(bench), ChunkOutcome())


def undo_all(bench: Bench, database: Dialect) -> None:
    facts = database.describe(bench.table, "path")
    for batch in journal.newest_first(database, bench.schema, bench.table, 3):
        for recorded in batch:
            back = [Change(key, new, old) for key, old, new in journal.unpack(recorded.entry.entries)]
            undoing = target(bench, direction="rollback", undoes=recorded.id)
            rewrite_chunk(database, facts, back, undoing, ChunkOutcome())


def killed_in_another_process(bench: Bench, work: Callable[[Bench, Dialect], None], steps: int) -> None:
    child = os.fork()
    if not child:
        try:
            with connect(bench.settings()) as database:
                work(bench, Dying(database, steps))  # type: ignore[arg-type] # it is one, and dies
        finally:
            os._exit(0)
    os.waitpid(child, 0)


@pytest.fixture
def model(bench: Bench) -> Bench:
    bench.create()
    bench.rehome().create_journal(bench.schema)
    return bench


@settings(
    max_examples=12,
    deadline=None,
    # the table is emptied for each example
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(dies=st.integers(0, 50), dies_undoing=st.integers(0, 50), seed=st.integers(0, 999))
def test_killed_anywhere_and_run_again_the_table_is_as_the_model_and_undone_as_before(
    model: Bench, dies: int, dies_undoing: int, seed: int
) -> None:
    model.table_emptied()
    chosen = random.Random(seed)
    before = [chosen.choice(["image/{}.png", "Image/{}.png", "avatar/{}.png", "{}"]).format(n) for n in range(ROWS)]
    model.fill(*before)
    expected = ["avatar/" + value[6:] if value.startswith("image/") else value for value in before]

    killed_in_another_process(model, rewrite_all, dies)
    assert all(value in pair for value, pair in zip(model.values(), zip(before, expected, strict=True), strict=True))
    database = model.rehome()
    rewrite_all(model, database)
    assert model.values() == expected
    rows = [change for entry in journalled(model) for change in journal.unpack(entry.entry.entries)]
    assert sorted(change.key for change in rows) == [(n + 1,) for n in range(ROWS) if before[n].startswith("image/")]

    killed_in_another_process(model, undo_all, dies_undoing)
    # what a killed rollback undid has an entry of its own, which is not undone: only rewrites are
    for recorded in [entry for entry in journalled(model) if entry.entry.direction == "rewrite"]:
        back = [Change(key, new, old) for key, old, new in journal.unpack(recorded.entry.entries)]
        facts = database.describe(model.table, "path")
        undoing = target(model, direction="rollback", undoes=recorded.id)
        rewrite_chunk(database, facts, back, undoing, ChunkOutcome())
    assert model.values() == before


@only("mariadb", "postgresql")
def test_what_an_application_writes_during_every_step_survives(bench: Bench) -> None:
    filled(bench)
    database = bench.rehome()
    database.create_journal(bench.schema)
    facts = database.describe(bench.table, "path")
    changes = planned(database, facts)
    written: dict[int, str] = {}
    over = threading.Event()
    connection = bench.another_admin()

    def application() -> None:
        cursor, number, chosen = connection.cursor(), 0, random.Random(1)
        while not over.is_set():
            number += 1
            row = chosen.randint(1, ROWS)
            cursor.execute(f"UPDATE {bench.table} SET path = %s WHERE id = %s", (f"image/app-{number}.png", row))
            connection.commit()
            written[row] = f"image/app-{number}.png"

    thread = threading.Thread(target=application)
    thread.start()
    while not written:
        time.sleep(0.001)
    outcome = ChunkOutcome()
    try:
        for chunk in chunks(changes):
            rewrite_chunk(database, facts, chunk, target(bench), outcome)
    finally:
        over.set()
        thread.join()
        connection.close()
    for (row,), _, new in changes:
        assert bench.values()[int(row) - 1] == written.get(int(row), new)
    assert outcome.rewritten + len(outcome.changed_by_app) == ROWS
    assert outcome.changed_by_app

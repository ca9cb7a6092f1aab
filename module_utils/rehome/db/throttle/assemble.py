"""Put the throttle of one migration together: its settings, the servers that it watches, and the tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from typing import NamedTuple

from ...config.settings import Database, Settings
from ...config.throttle import DEFAULT_DEAD_RATIO, DEFAULT_LAG_S, DEFAULT_REDO_RATIO, Replica
from ...errors import Finding, RefusedError
from ...progress import Progress
from ..dialect import DatabaseError
from ..engines.open import connect
from ..server_load import Heap, Load, Trail, UnreadableError
from .monitor import Watch
from .signals import LEAST_DEAD, DeadTuples, OpenWindow, OwnQuery, PauseFile, RedoLog, ReplicaLag, Running, Signal
from .throttle import Throttle

REDO_EVERY_S = 0.1
"""A redo log fills within seconds."""
MUCH_MORE = 1.1
"""Beyond the limit by this factor, it is worth a word when autovacuum comes."""


@contextmanager
def throttle(settings: Settings, progress: Progress) -> Iterator[Throttle]:
    """The throttle of a migration, with its eyes on the servers for the length of the block.

    What the settings ask for holds the work while it cannot be read; a default that cannot be read from the beginning
    is left out (`check_throttle` names it). Raises RefusedError where the database cannot be reached.
    """
    limits = settings.throttle
    with ExitStack() as stack:
        with _open_load(settings.database) as load:
            signals: list[Signal] = [PauseFile(limits.pause_file)]
            if limits.window is not None:
                signals.append(OpenWindow(limits.window))
            watch = Watch(lambda: _open_load(settings.database))
            signals += _lag(settings, load, watch, stack)
            if _wanted(limits.max_running, load.running):
                count = watch.ask("what runs on the server (max_running)", lambda load: load.running())
                signals.append(Running(count, limits.max_running))
            if limits.query:
                query = limits.query
                answer = watch.ask("the throttle's query", lambda load: load.number(query))
                signals.append(OwnQuery(answer, limits.query_limit))
            signals += _redo_log(settings, load, stack)
            signals += _dead_tuples(settings, load, watch, stack)
        # last in, first out: what uses the watch ends before it
        stack.enter_context(watch)
        yield Throttle(signals, progress, nice=limits.nice, max_wait_s=limits.max_wait_s)


class Unreadable(NamedTuple):
    """A signal that cannot be read now. `asked_for`: by the settings, and not only by default."""

    setting: str
    value: object
    asked_for: bool
    problem: str

    def finding(self) -> Finding:
        value = None if self.value is None else str(self.value)
        way_out = "Correct it, grant this user what it takes, or set it to 0 (a list: to []) to do without"
        return Finding(f"rehome_throttle.{self.setting}", value, f"cannot be read: {self.problem}", way_out)

    def __str__(self) -> str:
        return f"the throttle does not look at {self.setting}, as it cannot be read: {self.problem}"


def check_throttle(settings: Settings) -> tuple[list[Finding], list[str]]:
    """Try every signal once: what stops a run, and what it should know.

    Raises RefusedError where the database cannot be reached.
    """
    limits = settings.throttle
    found: list[Unreadable] = []

    def attempt(setting: str, value: object, question: Callable[[], object], *, asked_for: bool) -> None:
        if problem := _problem(question):
            found.append(Unreadable(setting, value, asked_for, problem))

    with _open_load(settings.database) as load:
        if limits.max_lag_s != 0:
            if not limits.replicas:
                attempt("max_lag_s", limits.max_lag_s, load.replicas, asked_for=limits.max_lag_s is not None)
            for replica in limits.replicas:
                attempt("replicas", replica.name, lambda r=replica: _ask_replica(settings, r), asked_for=True)  # type: ignore[misc]
        if limits.max_running != 0:
            attempt("max_running", limits.max_running, load.running, asked_for=limits.max_running is not None)
        if limits.max_redo_ratio != 0:
            attempt("max_redo_ratio", limits.max_redo_ratio, load.redo_filled, asked_for=bool(limits.max_redo_ratio))
        if limits.query:
            query = limits.query
            attempt("query", query, lambda: load.number(query), asked_for=True)
        notes = [str(unreadable) for unreadable in found if not unreadable.asked_for]
        notes += _vacuum_notes(settings, load)
    return [unreadable.finding() for unreadable in found if unreadable.asked_for], notes


def _vacuum_notes(settings: Settings, load: Load) -> Iterator[str]:
    limits = settings.throttle
    for table in _tables(settings):
        if limits.max_dead_ratio == 0 or (heap := load.heap(table)) is None:
            continue
        if limits.vacuum and load.may_vacuum(table):
            continue
        ratio = limits.max_dead_ratio or DEFAULT_DEAD_RATIO
        limit = max(LEAST_DEAD, ratio * heap.live)
        if heap.live <= limit:
            continue
        if heap.autovacuum_at is None:
            yield (
                f"autovacuum is off for table {table}, and Rehome does not VACUUM it: at {ratio:.0%} of dead tuples "
                "the rewrite will wait for a VACUUM by hand"
            )
        elif heap.autovacuum_at > limit * MUCH_MORE:
            yield (
                f"Rehome does not VACUUM table {table}, and autovacuum comes only at {heap.autovacuum_at:,} dead "
                f"tuples ({heap.autovacuum_at / heap.live:.0%}): the table may grow by so much, and the rewrite will "
                "wait for autovacuum. Let the user own the table (from PostgreSQL 17: GRANT MAINTAIN), or lower the "
                "table's autovacuum_vacuum_scale_factor meanwhile"
            )


def _lag(settings: Settings, load: Load, watch: Watch, stack: ExitStack) -> Iterator[Signal]:
    limits = settings.throttle
    seconds: Callable[[], Mapping[str, float]]
    if limits.replicas and limits.max_lag_s != 0:
        seconds = _replica_lags(settings, watch, stack)
    elif _wanted(limits.max_lag_s, load.replicas):
        seconds = watch.ask("how far replicas are behind (max_lag_s)", lambda load: load.replicas())
    else:
        return
    yield ReplicaLag(seconds, DEFAULT_LAG_S if limits.max_lag_s is None else limits.max_lag_s)


def _replica_lags(settings: Settings, watch: Watch, stack: ExitStack) -> Callable[[], Mapping[str, float]]:
    """The journal is the heartbeat: a replica is behind since the first entry that it does not have was written.

    Beside it counts the replica's own figure, whichever is more, as far as the grants allow.
    """
    trail, schema = Trail(), settings.journal_schema

    def follow(load: Load) -> None:
        trail.note(load.newest_entry(schema), time.monotonic())

    written = watch.ask("the journal, by which replicas are measured,", follow)

    def lag(replica: Load) -> float:
        return _seconds_behind(replica, schema, trail)

    answers = {}
    for replica in settings.throttle.replicas:
        database = _database_of(settings, replica)
        eye = Watch(lambda database=database: _open_load(database))  # type: ignore[misc]
        answers[replica.name] = eye.ask(f"how far replica {replica.name} is behind (max_lag_s)", lag)
        stack.enter_context(eye)

    def seconds() -> Mapping[str, float]:
        written()
        return {name: answer() for name, answer in answers.items()}

    return seconds


def _seconds_behind(replica: Load, schema: str, trail: Trail) -> float:
    figures, refusals = [], []
    try:
        figures.append(trail.seconds_behind(replica.newest_entry(schema), time.monotonic()))
    except DatabaseError as error:
        refusals.append(str(error))
    try:
        figures.append(replica.seconds_behind())
    except DatabaseError as error:
        refusals.append(str(error))
    if not figures:
        raise UnreadableError("; ".join(refusals))
    return max(figures)


def _redo_log(settings: Settings, load: Load, stack: ExitStack) -> Iterator[Signal]:
    limit = settings.throttle.max_redo_ratio
    if limit == 0 or (_problem(load.redo_filled) is None and load.redo_filled() is None):
        return
    watch = Watch(lambda: _open_load(settings.database), every_s=REDO_EVERY_S)
    filled = watch.ask("how full the redo log is (max_redo_ratio)", _redo_filled)
    stack.enter_context(watch)
    yield RedoLog(filled, DEFAULT_REDO_RATIO if limit is None else limit)


def _redo_filled(load: Load) -> float:
    filled = load.redo_filled()
    if filled is None:
        raise UnreadableError("the server does not tell it")
    return filled


def _dead_tuples(settings: Settings, load: Load, watch: Watch, stack: ExitStack) -> Iterator[Signal]:
    limits = settings.throttle
    if limits.max_dead_ratio == 0:
        return
    for table in _tables(settings):
        if load.heap(table) is None:
            return
        vacuum = None
        if limits.vacuum and load.may_vacuum(table):
            # the driver of PostgreSQL is loaded where it is in use only
            from ..engines.postgresql.load import BackgroundVacuum  # noqa: PLC0415

            vacuum = BackgroundVacuum(table, lambda: connect(settings.database), watch.wake)
            stack.callback(vacuum.close)
        heap = watch.ask(f"how many dead tuples {table} has (max_dead_ratio)", _heap_of(table))
        yield DeadTuples(table, heap, limits.max_dead_ratio or DEFAULT_DEAD_RATIO, vacuum)


def _heap_of(table: str) -> Callable[[Load], Heap]:
    def ask(load: Load) -> Heap:
        heap = load.heap(table)
        if heap is None:
            raise UnreadableError(f"{table} has no such statistics")
        return heap

    return ask


def _wanted(limit: float | None, question: Callable[[], object]) -> bool:
    """Whether a signal counts: asked for, or by default where it can be read."""
    return limit != 0 and (limit is not None or _problem(question) is None)


def _problem(question: Callable[[], object]) -> str | None:
    try:
        question()
    except RefusedError as refusal:
        return "; ".join(finding.problem for finding in refusal.findings)
    except (DatabaseError, UnreadableError) as error:
        return str(error)
    return None


def _ask_replica(settings: Settings, replica: Replica) -> None:
    """See that a replica can be reached and follows. The journal may be so new that no replica has it yet."""
    with _open_load(_database_of(settings, replica)) as load, suppress(DatabaseError):
        load.seconds_behind()


def _database_of(settings: Settings, replica: Replica) -> Database:
    return replace(settings.database, host=replica.host, port=replica.port or settings.database.port, socket=None)


def _tables(settings: Settings) -> list[str]:
    return list(dict.fromkeys(reference.table for reference in settings.references))


@contextmanager
def _open_load(settings: Database) -> Iterator[Load]:
    # Each stage is a process of its own: it loads the one driver that it needs.
    match settings.engine:
        case "mariadb" | "mysql":
            from ..engines.mysql.dialect import MySQL  # noqa: PLC0415
            from ..engines.mysql.load import SILENCE_S, MySQLLoad  # noqa: PLC0415

            with closing(MySQL(settings, SILENCE_S)) as server:
                yield MySQLLoad(server)
        case "postgresql":
            from ..engines.postgresql.load import PostgreSQLLoad  # noqa: PLC0415

            with connect(settings) as database:
                yield PostgreSQLLoad(database)
        case "sqlite":
            from ..engines.sqlite.load import SQLiteLoad  # noqa: PLC0415

            with connect(settings) as database:
                yield SQLiteLoad(database)

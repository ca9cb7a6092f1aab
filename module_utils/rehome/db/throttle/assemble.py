"""Build the throttle of one migration from its settings, the servers to monitor, and the tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from typing import NamedTuple

from ...codes import Code
from ...config.settings import Database, Settings
from ...config.throttle import DEFAULT_DEAD_RATIO, DEFAULT_LAG_S, DEFAULT_REDO_RATIO, Replica
from ...control.controls import Controls
from ...errors import Finding, RefusedError
from ...progress import Progress
from ..dialect import DatabaseError
from ..engines.open import connect
from ..server_load import Heap, Load, PositionHistory, UnreadableError
from .monitor import Monitor, failure_of
from .signals import (
    MIN_DEAD,
    DeadShare,
    DeadTuples,
    OpenWindow,
    OperatorPause,
    OwnQuery,
    PauseFile,
    RedoLog,
    ReplicaLag,
    Running,
    Signal,
    dead_threshold,
)
from .throttle import Throttle

REDO_EVERY_S = 0.1
"""A redo log fills within seconds."""
LATE_AUTOVACUUM = 1.1
"""The operator is warned if autovacuum starts at more than this many times the threshold."""


@contextmanager
def throttle(settings: Settings, progress: Progress, controls: Controls | None = None) -> Iterator[Throttle]:
    """Yield the throttle of a migration, and monitor the servers for the length of the block.

    controls: what operators ask while it works
    A signal that the settings name pauses the work while it cannot be read; a default that cannot be read at the start
    is left out (`check_throttle` reports it). Raises RefusedError if the database cannot be reached.
    """
    limits, critical = settings.throttle, settings.critical
    controls = controls or Controls()
    with ExitStack() as stack:
        with _open_load(settings.database) as load:
            signals = _Signals([OperatorPause(controls), PauseFile(limits.pause_file)], [])
            if limits.window is not None:
                signals.pausing.append(OpenWindow(limits.window))
            monitor = Monitor(lambda: _open_load(settings.database))
            _lag(settings, load, monitor, stack, signals)
            pauses = _is_active(limits.max_running, load.running)
            if pauses or critical.max_running is not None:
                count = monitor.watch("what runs on the server (max_running)", lambda load: load.running(), load)
                signals.add(pauses, Running(count, limits.max_running))
                signals.add_critical(critical.max_running, lambda limit: Running(count, limit))
            if limits.query:
                query = limits.query
                result = monitor.watch("the throttle's query", lambda load: load.number(query), load)
                signals.pausing.append(OwnQuery(result, limits.query_limit))
                signals.add_critical(critical.query_limit, lambda limit: OwnQuery(result, limit))
            _redo_log(settings, load, stack, signals)
            _dead_tuples(settings, load, monitor, stack, signals)
        # entered last, so it ends first: a server that hangs delays nothing else
        stack.enter_context(monitor)
        yield Throttle(
            signals.pausing,
            progress,
            controls=controls,
            critical=signals.critical,
            critical_s=critical.for_s,
            nice=limits.nice,
            max_wait_s=limits.max_wait_s,
        )


class _Signals(NamedTuple):
    """The signals that pause the work, and those that end the run."""

    pausing: list[Signal]
    critical: list[Signal]

    def add(self, pauses: bool, signal: Signal) -> None:
        """Add a signal that pauses the work, if it does."""
        if pauses:
            self.pausing.append(signal)

    def add_critical(self, limit: float | None, signal: Callable[[float], Signal]) -> None:
        """Add a signal that ends the run at `limit`; None: there is none."""
        if limit is not None:
            self.critical.append(signal(limit))


class Unreadable(NamedTuple):
    """A signal that cannot be read now.

    explicit: whether the settings name it, so that it is not just a default
    """

    setting: str
    value: object
    explicit: bool
    problem: str
    of: str = "rehome_throttle"

    def finding(self) -> Finding:
        """Return the finding that stops a run."""
        value = None if self.value is None else str(self.value)
        way_out = "Correct it, grant this user the rights to read it, or set it to 0 (a list: to []) to do without"
        problem = f"cannot be read: {self.problem}"
        return Finding(f"{self.of}.{self.setting}", value, problem, way_out, Code.SIGNAL_UNREADABLE)

    def __str__(self) -> str:
        return f"the throttle ignores {self.setting}, as it cannot be read: {self.problem}"


def check_throttle(settings: Settings) -> tuple[list[Finding], list[str]]:
    """Read every signal once. Returns the findings that stop a run, and notes for the operator.

    Raises RefusedError if the database cannot be reached.
    """
    limits = settings.throttle
    found: list[Unreadable] = []

    def attempt(
        setting: str, value: object, read: Callable[[], object], *, explicit: bool, of: str = "rehome_throttle"
    ) -> None:
        if problem := _problem(read):
            found.append(Unreadable(setting, value, explicit, problem, of))

    with _open_load(settings.database) as load:
        for name, value, read in _critical_figures(settings, load):
            attempt(name, value, read, explicit=True, of="rehome_critical")
        if limits.max_lag_s != 0:
            if not limits.replicas:
                attempt("max_lag_s", limits.max_lag_s, load.replicas, explicit=limits.max_lag_s is not None)
            for replica in limits.replicas:
                attempt("replicas", replica.name, lambda r=replica: _read_replica(settings, r), explicit=True)  # type: ignore[misc]
        if limits.max_running != 0:
            attempt("max_running", limits.max_running, load.running, explicit=limits.max_running is not None)
        if limits.max_redo_ratio != 0:
            attempt("max_redo_ratio", limits.max_redo_ratio, load.redo_filled, explicit=bool(limits.max_redo_ratio))
        if limits.query:
            query = limits.query
            attempt("query", query, lambda: load.number(query), explicit=True)
        notes = [str(unreadable) for unreadable in found if not unreadable.explicit]
        notes += _vacuum_notes(settings, load)
    return [unreadable.finding() for unreadable in found if unreadable.explicit], notes


def _critical_figures(settings: Settings, load: Load) -> Iterator[tuple[str, float, Callable[[], object]]]:
    """Yield the limits that end a run, with how their figures are read."""
    critical = settings.critical
    # the replicas that the throttle names are read for it
    lags = None if settings.throttle.replicas else critical.max_lag_s
    figures = (
        ("max_lag_s", lags, load.replicas),
        ("max_running", critical.max_running, load.running),
        ("max_redo_ratio", critical.max_redo_ratio, load.redo_filled),
    )
    return ((name, limit, read) for name, limit, read in figures if limit is not None)


def _vacuum_notes(settings: Settings, load: Load) -> Iterator[str]:
    limits = settings.throttle
    for table in _tables(settings):
        if limits.max_dead_ratio == 0 or (heap := load.heap(table)) is None:
            continue
        if limits.vacuum and load.may_vacuum(table):
            continue
        ratio = limits.max_dead_ratio or DEFAULT_DEAD_RATIO
        threshold = dead_threshold(ratio, heap)
        if heap.live <= threshold:
            continue
        if heap.autovacuum_at is None:
            yield (
                f"autovacuum is off for table {table}, and Rehome does not VACUUM it: at {ratio:.0%} of dead tuples "
                "the rewrite will wait for a VACUUM by hand"
            )
        elif heap.autovacuum_at > threshold * LATE_AUTOVACUUM:
            yield (
                f"Rehome does not VACUUM table {table}, and autovacuum starts only at {heap.autovacuum_at:,} dead "
                f"tuples ({heap.autovacuum_at / heap.live:.0%}): the table may grow by that much, and the rewrite will "
                "wait for autovacuum. Let the user own the table (from PostgreSQL 17: GRANT MAINTAIN), or lower the "
                "table's autovacuum_vacuum_scale_factor meanwhile"
            )


def _lag(settings: Settings, load: Load, monitor: Monitor, stack: ExitStack, signals: _Signals) -> None:
    limits, critical = settings.throttle, settings.critical.max_lag_s
    lags: Callable[[], Mapping[str, float]]
    pauses = limits.max_lag_s != 0 and (bool(limits.replicas) or _is_active(limits.max_lag_s, load.replicas))
    if not pauses and critical is None:
        return
    if limits.replicas:
        lags = _replica_lags(settings, load, monitor, stack)
    else:
        lags = monitor.watch("how far replicas are behind (max_lag_s)", lambda load: load.replicas(), load)
    signals.add(pauses, ReplicaLag(lags, DEFAULT_LAG_S if limits.max_lag_s is None else limits.max_lag_s))
    signals.add_critical(critical, lambda limit: ReplicaLag(lags, limit))


def _replica_lags(
    settings: Settings, load: Load, monitor: Monitor, stack: ExitStack
) -> Callable[[], Mapping[str, float]]:
    """Use the journal as a heartbeat: a replica's lag is the age of the first entry that it does not have yet.

    The replica's own figure counts too, if the grants allow to read it, and the larger of both is used.
    """
    journal, schema = PositionHistory(), settings.journal_schema

    def record_newest(load: Load) -> None:
        journal.record(load.newest_entry(schema), time.monotonic())

    written = monitor.watch("the journal, by which replicas are measured,", record_newest, load)

    def lag(replica: Load) -> float:
        return _seconds_behind(replica, schema, journal)

    readings = {}
    for replica in settings.throttle.replicas:
        database = _database_of(settings, replica)
        replica_monitor = Monitor(lambda database=database: _open_load(database))  # type: ignore[misc]
        what = f"how far replica {replica.name} is behind (max_lag_s)"
        readings[replica.name] = replica_monitor.watch(what, lag)
        stack.enter_context(replica_monitor)

    def lags() -> Mapping[str, float]:
        written()
        return {name: reading() for name, reading in readings.items()}

    return lags


def _seconds_behind(replica: Load, schema: str, journal: PositionHistory) -> float:
    def by_journal() -> float:
        return journal.seconds_behind(replica.newest_entry(schema), time.monotonic())

    figures, refusals = [], []
    for read in (by_journal, replica.seconds_behind):
        try:
            figures.append(read())
        except DatabaseError as error:
            refusals.append(str(error))
    if not figures:
        raise UnreadableError("; ".join(refusals))
    return max(figures)


def _redo_log(settings: Settings, load: Load, stack: ExitStack, signals: _Signals) -> None:
    limit, critical = settings.throttle.max_redo_ratio, settings.critical.max_redo_ratio
    if (limit == 0 and critical is None) or (_problem(load.redo_filled) is None and load.redo_filled() is None):
        return
    monitor = Monitor(lambda: _open_load(settings.database), every_s=REDO_EVERY_S)
    filled = monitor.watch("how full the redo log is (max_redo_ratio)", _redo_filled, load)
    stack.enter_context(monitor)
    signals.add(limit != 0, RedoLog(filled, DEFAULT_REDO_RATIO if limit is None else limit))
    signals.add_critical(critical, lambda limit: RedoLog(filled, limit))


def _redo_filled(load: Load) -> float:
    filled = load.redo_filled()
    if filled is None:
        raise UnreadableError("the server does not report it")
    return filled


def _dead_tuples(settings: Settings, load: Load, monitor: Monitor, stack: ExitStack, signals: _Signals) -> None:
    limits, critical = settings.throttle, settings.critical.max_dead_ratio
    if limits.max_dead_ratio == 0 and critical is None:
        return
    for table in _tables(settings):
        if load.heap(table) is None:
            return
        vacuum = None
        if limits.max_dead_ratio != 0 and limits.vacuum and load.may_vacuum(table):
            # load PostgreSQL's driver only if it is used
            from ..engines.postgresql.load import BackgroundVacuum  # noqa: PLC0415

            vacuum = BackgroundVacuum(table, lambda: connect(settings.database), monitor.wake)
            stack.callback(vacuum.close)
        heap = monitor.watch(f"how many dead tuples {table} has (max_dead_ratio)", _heap_reader(table), load)
        ratio = limits.max_dead_ratio or DEFAULT_DEAD_RATIO
        signals.add(limits.max_dead_ratio != 0, DeadTuples(table, heap, ratio, vacuum))
        signals.add_critical(critical, _dead_share_of(table, heap))


def _dead_share_of(table: str, heap: Callable[[], Heap]) -> Callable[[float], Signal]:
    def share() -> float:
        found = heap()
        return found.dead / max(found.live, 1) if found.dead >= MIN_DEAD else 0.0

    def signal(limit: float) -> Signal:
        made = DeadShare(share, limit)
        made.table = table
        return made

    return signal


def _heap_reader(table: str) -> Callable[[Load], Heap]:
    def read(load: Load) -> Heap:
        heap = load.heap(table)
        if heap is None:
            raise UnreadableError(f"{table} has no such statistics")
        return heap

    return read


def _is_active(limit: float | None, read: Callable[[], object]) -> bool:
    """Return whether a signal counts: the settings name it, or it is a default that can be read."""
    return limit != 0 and (limit is not None or _problem(read) is None)


def _problem(read: Callable[[], object]) -> str | None:
    try:
        read()
    except (RefusedError, DatabaseError, UnreadableError) as error:
        return failure_of(error)
    return None


def _read_replica(settings: Settings, replica: Replica) -> None:
    """Check that a replica can be reached and replicates. It need not have the journal, which may be brand new."""
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
            from ..engines.mysql.load import READ_TIMEOUT_S, MySQLLoad  # noqa: PLC0415

            with closing(MySQL(settings, READ_TIMEOUT_S)) as server:
                yield MySQLLoad(server)
        case "postgresql":
            from ..engines.postgresql.load import PostgreSQLLoad  # noqa: PLC0415

            with connect(settings) as database:
                yield PostgreSQLLoad(database)
        case "sqlite":
            from ..engines.sqlite.load import SQLiteLoad  # noqa: PLC0415

            with connect(settings) as database:
                yield SQLiteLoad(database)

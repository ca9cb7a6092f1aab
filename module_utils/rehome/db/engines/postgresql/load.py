"""Read PostgreSQL's load, and VACUUM a table in the background."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress

from ....codes import unmarked
from ....errors import RehomeError
from ...dialect import Dialect
from ...server_load import Heap, PositionHistory, UnreadableError, single_number
from ..base_load import BaseLoad
from .statements import quoted_table, table_identifier

STATEMENT_TIMEOUT_MS = 5_000
CANCEL_TIMEOUT_S = 5.0
"""How long to wait for a canceled VACUUM to end."""
MAINTAIN_SINCE = 170_000
"""The server_version_num of the first version with the privilege MAINTAIN."""

RUNNING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname IS NOT NULL AND usename IS NOT NULL AND application_name IS DISTINCT FROM 'rehome'
    AND coalesce(state = 'active', backend_xmin IS NOT NULL)
"""
"""Without pg_read_all_stats, the state of other users' sessions is hidden. Whether they hold a snapshot, as every
statement does, is visible."""

STANDBYS = """
SELECT coalesce(nullif(application_name, ''), 'pid ' || pid), state, extract(epoch FROM replay_lag)::float8,
    pg_wal_lsn_diff(replay_lsn, '0/0')::bigint
FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup'
"""

LEAVES = """
leaves AS (
    SELECT oid AS leaf FROM pg_class WHERE oid = to_regclass(%s) AND relkind = 'r'
    UNION SELECT relid FROM pg_partition_tree(to_regclass(%s)) WHERE isleaf
)
"""

HEAP = f"""
WITH {LEAVES}, tables AS (
    SELECT c.oid, greatest(c.reltuples, 0) AS known, o.*
    FROM leaves JOIN pg_class c ON c.oid = leaf CROSS JOIN LATERAL (
        SELECT max(option_value) FILTER (WHERE option_name = 'autovacuum_enabled')::boolean AS enabled,
            max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_threshold')::float8 AS threshold,
            max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_scale_factor')::float8 AS scale,
            max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_max_threshold')::float8 AS most
        FROM pg_options_to_table(c.reloptions)
    ) o
), triggers AS (
    SELECT oid, known,
        current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean
            AND coalesce(enabled, true) AS comes,
        least(
            coalesce(threshold, current_setting('autovacuum_vacuum_threshold')::float8)
                + coalesce(scale, current_setting('autovacuum_vacuum_scale_factor')::float8) * known,
            nullif(coalesce(most, current_setting('autovacuum_vacuum_max_threshold', true)::float8), -1)
        ) AS at
    FROM tables
)
SELECT coalesce(sum(CASE WHEN known > 0 THEN known ELSE pg_stat_get_live_tuples(oid) END), 0)::bigint,
    coalesce(sum(pg_stat_get_dead_tuples(oid)), 0)::bigint,
    CASE WHEN bool_and(comes) THEN sum(at)::bigint END,
    EXISTS (
        SELECT 1 FROM pg_stat_progress_vacuum p JOIN pg_locks l ON l.pid = p.pid AND l.granted
        WHERE l.locktype = 'relation' AND l.mode = 'ShareUpdateExclusiveLock'
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND l.relation IN (SELECT leaf FROM leaves)
    )
FROM triggers
"""
"""The threshold of autovacuum is that of "The Autovacuum Daemon", section 25.1.6 of PostgreSQL's manual. For a
partitioned table the sums are compared: if the sum is reached, at least one partition has reached its own threshold.
Users without pg_read_all_stats cannot see which table a VACUUM processes, but which tables its process has locked."""

MAY_VACUUM = f"""
WITH {LEAVES}
SELECT count(*) > 0 AND bool_and(
    pg_has_role(c.relowner, 'USAGE')
    OR (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database())
    OR {{maintain}}
) FROM leaves JOIN pg_class c ON c.oid = leaf
"""


class PostgreSQLLoad(BaseLoad):
    """Reads the load; `server_load.Load` documents the methods."""

    def __init__(self, database: Dialect, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(database)
        self._clock = clock
        self._written = PositionHistory()
        database.run(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")
        database.run("SET default_transaction_read_only = on")

    def running(self) -> int:
        """Count the active sessions in pg_stat_activity, without those of Rehome."""
        return int(single_number(self._database.run(RUNNING)))

    def replicas(self) -> Mapping[str, float]:
        """Return the greater of replay_lag and the age of the WAL position that the standby has replayed."""
        ((position,),) = self._database.run("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
        now = self._clock()
        found = {}
        for name, state, lag, replayed in self._database.run(STANDBYS):
            if state is None:
                raise UnreadableError("a standby is connected whose lag only members of pg_monitor can see")
            if replayed is None:
                raise UnreadableError(f"standby {name} does not report its position ({state})")
            # the server's figure does not grow while a standby's replay is paused
            found[name] = max(lag or 0.0, self._written.seconds_behind(replayed, now))
        self._written.record(position, now)
        return found

    def seconds_behind(self) -> float:
        """Return the age of the last transaction replayed; 0 if all WAL that was received is replayed."""
        ((follows, streams, lag),) = self._database.run(
            "SELECT pg_is_in_recovery(), EXISTS (SELECT 1 FROM pg_stat_wal_receiver),"
            " CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0"
            " ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END::float8"
        )
        if not follows:
            raise UnreadableError("it is not a standby")
        if not streams or lag is None:
            raise UnreadableError("it does not stream from the primary")
        return float(lag)

    def heap(self, table: str) -> Heap | None:
        """Return the statistics of the table, or the sums over its partitions."""
        read_at = self._clock()
        name = table_identifier(table)
        ((live, dead, autovacuum_at, vacuumed),) = self._database.run(HEAP, (name, name))
        return Heap(live, dead, autovacuum_at, vacuumed, read_at)

    def may_vacuum(self, table: str) -> bool:
        """Return whether this user owns the table or the database, or has MAINTAIN (PostgreSQL 17 and later)."""
        ((version,),) = self._database.run("SELECT current_setting('server_version_num')::int")
        maintain = "has_table_privilege(c.oid, 'MAINTAIN')" if version >= MAINTAIN_SINCE else "false"
        name = table_identifier(table)
        return bool(self._database.run(MAY_VACUUM.format(maintain=maintain), (name, name))[0][0])


class BackgroundVacuum:
    """VACUUM of one table, on a connection and in a thread of its own; `server_load.Vacuum` documents the methods.

    open_connection: opens a new connection for the duration of the block
    on_end: called when a VACUUM has ended
    """

    STATEMENT = "VACUUM (SKIP_LOCKED, TRUNCATE false, PARALLEL 0)"
    """It waits for no lock, blocks neither readers nor writers, and uses one processor."""
    GENTLE = ("SET statement_timeout = 0", "SET vacuum_cost_delay = 2", "SET vacuum_cost_limit = 1000")
    """Autovacuum's pauses with five times its work in between, as the rewrite waits for it."""

    def __init__(
        self,
        table: str,
        open_connection: Callable[[], AbstractContextManager[Dialect]],
        on_end: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._open = open_connection
        self._on_end = on_end
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._pid: int | None = None
        self.ended_at = -math.inf
        self.failure: str | None = None

    @property
    def running(self) -> bool:
        """Whether a VACUUM is in flight."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start a VACUUM in its own thread."""
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cancel the VACUUM in flight, if any."""
        if self._thread is not None and self._thread.is_alive():
            if self._pid is not None:
                with suppress(RehomeError), self._open() as database:
                    database.run("SELECT pg_cancel_backend(%s)", (self._pid,))
            self._thread.join(CANCEL_TIMEOUT_S)

    def _work(self) -> None:
        self.failure = None
        try:
            with self._open() as database:
                ((self._pid,),) = database.run("SELECT pg_backend_pid()")
                for statement in self.GENTLE:
                    database.run(statement)
                database.run(f"{self.STATEMENT} {quoted_table(self._table)}")
        except RehomeError as error:
            self.failure = unmarked(str(error))
        finally:
            self._pid = None
            self.ended_at = self._clock()
            self._on_end()

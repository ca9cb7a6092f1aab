"""Reconnect after a lost connection, and wait, with a limit, for a server that is away or read-only."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ...codes import unmarked
from ...errors import RefusedError
from ..dialect import ConnectionLostError, DatabaseError, Dialect
from .caution import Caution
from .chunk_size import ChunkSize
from .refusals import Refusals

MAX_OUTAGE_S = 300.0
"""How long a server may be away or read-only: a restart or a failover takes minutes at worst."""
RETRY_EVERY_S = 1.0
MAX_LOST_CONNECTIONS = 5
"""Lost connections after which one read, or one chunk, fails."""

T = TypeVar("T")


def _report_nothing(_reason: str | None) -> None:
    pass


@dataclass(frozen=True)
class WorkContext:
    """What reading and rewriting take from, and report to, their caller.

    sleep: waits for so many seconds
    report: called with the reason when a wait for the server begins, and with None when it ends
    stopping: returns True to end a wait for the server early
    chunk_size: given each chunk's duration, if set
    caution: given whether each chunk's rows were as planned
    refusals: given what the server accepts and refuses
    clock: returns monotonic seconds
    """

    sleep: Callable[[float], None] = time.sleep
    report: Callable[[str | None], None] = _report_nothing
    stopping: Callable[[], bool] = lambda: False
    chunk_size: ChunkSize | None = None
    caution: Caution = field(default_factory=Caution)
    refusals: Refusals = field(default_factory=Refusals)
    clock: Callable[[], float] = time.monotonic


def reconnect(database: Dialect, error: DatabaseError, context: WorkContext, *, to_write: bool = True) -> None:
    """Reconnect, and wait for a writable server if `to_write`.

    After MAX_OUTAGE_S, or when stopping, raises `error`, with why the last attempt failed: a server that is back may
    refuse this user.
    """
    began, why = context.clock(), ""
    context.report(str(error))
    while True:
        try:
            # even if the connection is open: after a failover, the name may resolve to another server
            database.reconnect()
            if not (to_write and database.is_read_only()):
                break
        except (RefusedError, DatabaseError) as still_away:
            why = f"; the last attempt to connect again: {unmarked(str(still_away))}"
        if context.stopping() or context.clock() - began > MAX_OUTAGE_S:
            raise type(error)(f"{error}{why}", error.code) from error
        context.sleep(RETRY_EVERY_S)
    context.report(None)


def retry_read(database: Dialect, read: Callable[[], T], context: WorkContext) -> T:
    """Return what `read` returns; reconnect and call it again if its connection is lost. It must only read.

    Raises ConnectionLostError for the last of MAX_LOST_CONNECTIONS lost connections.
    """
    lost = 0
    while True:
        try:
            return read()
        except ConnectionLostError as error:
            lost += 1
            if lost == MAX_LOST_CONNECTIONS:
                raise
            reconnect(database, error, context, to_write=False)

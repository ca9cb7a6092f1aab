"""What becomes of work whose connection is lost, or whose server takes no writes: it waits, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ...errors import RefusedError
from ..dialect import ConnectionLostError, DatabaseError, Dialect
from .care import Outlook
from .chunk_size import Servo

PATIENCE_S = 300.0
"""How long a server may be away, or read-only: a restart or a failover takes minutes at worst."""
ASK_EVERY_S = 1.0
LOSSES = 5
"""Connections that one reading may lose."""

T = TypeVar("T")


def _say_nothing(_why: str | None) -> None:
    pass


@dataclass(frozen=True)
class Surroundings:
    """What a chunk's work needs of its caller.

    sleep: waits so many seconds
    tell: is told what is waited for, and None once it is over
    stopping: ends the waiting for a server
    servo: learns how long transactions take
    outlook: learns whether rows are as planned
    """

    sleep: Callable[[float], None] = time.sleep
    tell: Callable[[str | None], None] = _say_nothing
    stopping: Callable[[], bool] = lambda: False
    servo: Servo | None = None
    outlook: Outlook = field(default_factory=Outlook)
    clock: Callable[[], float] = time.monotonic


def come_back(database: Dialect, trouble: DatabaseError, around: Surroundings, *, to_write: bool = True) -> None:
    """Have a connection again, and `to_write` one to a server that takes writes.

    Raises `trouble` once patience is over.
    """
    began = around.clock()
    around.tell(str(trouble))
    while True:
        try:
            # anew also where it is open: after a failover, the name may mean another server
            database.reconnect()
            if not (to_write and database.is_read_only()):
                break
        except (RefusedError, DatabaseError):
            pass  # it is what is waited for
        if around.stopping() or around.clock() - began > PATIENCE_S:
            raise trouble
        around.sleep(ASK_EVERY_S)
    around.tell(None)


def persist(database: Dialect, ask: Callable[[], T], around: Surroundings) -> T:
    """The answer of `ask`, which only reads, and is asked again over a new connection where one is lost."""
    losses = 0
    while True:
        try:
            return ask()
        except ConnectionLostError as error:
            losses += 1
            if losses == LOSSES:
                raise
            come_back(database, error, around, to_write=False)

"""The figures that pages are worked out from. A suite that measures one keeps it in its section."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Figure(StrEnum):
    """What a figure says. Rates are per second, bytes and times are named so, and all else is in seconds."""

    LISTED = "keys listed into the catalog, one core"
    COPIED_HTTP = "copies of one process, the server costs nothing, HTTP"
    COPIED_TLS = "copies of one process, the server costs nothing, TLS"
    COPIED_PLANNED = "copies of one process with its catalog and outcomes, the server costs nothing, HTTP"
    COPIED_SEAWEEDFS = "objects copied inside SeaweedFS, the whole command"
    STREAMED_4_KIB = "objects of 4 KiB streamed from service to service"
    STREAMED_256_KIB = "objects of 256 KiB streamed from service to service"
    STREAMED_64_MIB = "objects of 64 MiB streamed from service to service"
    STREAMED_1_GIB = "objects of 1 GiB streamed from service to service"
    STREAM_CPU_256_KIB = "CPU of one object more of 256 KiB streamed over TLS"
    STREAM_CPU_64_MIB = "CPU of one object more of 64 MiB streamed over TLS"
    STREAM_BYTES_256_KIB = "bytes of memory of a process that streams 256 KiB over TLS"
    STREAM_BYTES_64_MIB = "bytes of memory of a process that streams 64 MiB over TLS"
    FLEET_OF_4 = "copies of 4 movers, in times of those of 1"
    FLEET_CONTROLLER_S = "CPU of the controller for an object that movers copy"
    FLEET_SCHEDULER_S = "CPU of the scheduler for an object that movers copy"
    FLEET_SCHEDULER_BYTES = "bytes of memory of the scheduler"
    FLEET_MOVER_BYTES = "bytes of memory of a mover, its nanny included"
    SCANNED_MARIADB = "rows read into the catalog, MariaDB"
    SCANNED_POSTGRESQL = "rows read into the catalog, PostgreSQL"
    REWRITTEN_MARIADB = "rows rewritten, MariaDB"
    REWRITTEN_POSTGRESQL = "rows rewritten, PostgreSQL"
    GIVING_WAY_MARIADB = "rows rewritten beside an application, default throttle, MariaDB"
    GIVING_WAY_POSTGRESQL = "rows rewritten beside an application, default throttle, PostgreSQL"
    SMALL_JOB_S = "seconds of a whole migration of 1,000 objects and rows"
    NO_OP_S = "seconds of the same once more, with nothing left to do"
    PLAYBOOK_S = "seconds of a whole migration of 20,000 objects and rows"


class OfRows(NamedTuple):
    """The figures of one database."""

    name: str
    scanned: Figure
    rewritten: Figure
    giving_way: Figure


ROWS: Final = {
    "mariadb": OfRows("MariaDB", Figure.SCANNED_MARIADB, Figure.REWRITTEN_MARIADB, Figure.GIVING_WAY_MARIADB),
    "postgresql": OfRows(
        "PostgreSQL", Figure.SCANNED_POSTGRESQL, Figure.REWRITTEN_POSTGRESQL, Figure.GIVING_WAY_POSTGRESQL
    ),
}

"""What a user asks first: how long for my million objects. Worked out from the figures of the same run; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isnan, nan
from typing import Final, NamedTuple

from .figures import ROWS, Figure, OfRows
from .section import duration, markdown_table

MILLION: Final = 1_000_000
PARTITION_WRITES: Final = 3_500
"""Copies and uploads a second that Amazon documents for one partitioned prefix ("Optimizing Amazon S3 performance")."""
PARTITIONS: Final = 10
REQUESTS: Final = 256
"""The default of `rehome_max_requests`."""
READINGS: Final = 4
"""How often a migration lists both buckets and reads the rows: for two passes, behind the rewrite, and to verify."""
KEYS: Final = 2 * READINGS - 1
"""How many keys are listed for each object: before the copies, the target has none."""
GBIT: Final = 1e9 / 8
UNKNOWN: Final = "?"

MEASURED, WORKED_OUT = "measured", "worked out"

HEAD = """\
## How long for a million objects

Worked out from this run's own figures, and from what a service or a link allows; nothing here was run on AWS. What is
slowest counts: copies take max(objects ÷ the client's rate, objects ÷ the service's rate, bytes ÷ the link). Inside S3
the service is slowest: Amazon documents {writes:,} writes a second for one partition of a bucket, and S3 splits it
under load. With {requests} requests at once, the default, it has to answer within {latency:.0f} ms for that many. The
client's rate over TLS is that of a million copies over HTTP with what TLS was found to add."""
STREAMS = """\
From one service to another, each object is read and written by this machine. The first time is what one process reached
here, which shares two cores with both services; the others are what {writes:,} writes a second and a link (each way)
allow, worked out. **The largest of a row's times counts.**"""
LISTINGS = """\
A migration lists both buckets and reads the rows {readings} times: for two passes, behind the rewrite, and to verify.
That is {keys} keys for each object, as the target is empty at first. By default the rewrite gives way to an application
on the same database; at full speed it does not."""


STREAMED: Final = {
    Figure.STREAMED_4_KIB: ("4 KiB", 4 * 1024),
    Figure.STREAMED_256_KIB: ("256 KiB", 256 * 1024),
    Figure.STREAMED_64_MIB: ("64 MiB", 64 * 1024**2),
    Figure.STREAMED_1_GIB: ("1 GiB", 1024**3),
}
LINKS_GBIT: Final = (1, 10)


class Term(NamedTuple):
    """A time, and how it was worked out. The time is not a number if the run did not measure what it takes."""

    seconds: float
    how: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of the table: the sum of its terms, and what that is bound by."""

    what: str
    terms: tuple[Term, ...]
    bound: str
    known: str = WORKED_OUT

    @property
    def seconds(self) -> float:
        """Return how long it takes."""
        return sum(term.seconds for term in self.terms)

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the cells of its line."""
        if isnan(self.seconds):
            return (self.what, UNKNOWN, "", "not measured in this run", "")
        return (self.what, duration(self.seconds), self.bound, self.known, " + ".join(term.how for term in self.terms))


def how_long(figures: Mapping[Figure, float]) -> str:
    """Return the part of the page that answers it."""
    return "\n\n".join(
        (
            HEAD.format(writes=PARTITION_WRITES, requests=REQUESTS, latency=REQUESTS / PARTITION_WRITES * 1000),
            markdown_table(
                ("a million small objects or rows", "take", "bound by", "known", "how"),
                [answer.cells for answer in answers(figures)],
            ),
            LISTINGS.format(readings=READINGS, keys=KEYS),
            markdown_table(("a small job, measured, with its servers on this machine", "takes"), small_jobs(figures)),
            STREAMS.format(writes=PARTITION_WRITES),
            markdown_table(
                (
                    "a million objects from service to service, of",
                    "this machine (measured on fewer)",
                    f"{PARTITION_WRITES:,} writes/s",
                    *(f"a link of {gbit} Gbit/s" for gbit in LINKS_GBIT),
                ),
                streams(figures),
            ),
        )
    )


def answers(figures: Mapping[Figure, float]) -> Iterator[Answer]:
    """Return the answers, the whole of a migration first."""
    found = {figure: figures.get(figure, nan) for figure in Figure}
    client = client_rate(found)
    for rows in ROWS.values():
        yield everything(found, rows)
    for partitions in (1, PARTITIONS):
        where = "one partition" if partitions == 1 else f"{partitions} partitions"
        yield Answer(f"copies inside S3, {where}", *copies(client, partitions * PARTITION_WRITES))
    for what, figure, bound, known in (
        ("copies inside the SeaweedFS of this machine", Figure.COPIED_SEAWEEDFS, "the service", "measured on 20,000"),
        ("copies where no service is the limit, HTTP", Figure.COPIED_PLANNED, "the client", MEASURED),
        ("keys listed into the catalog, on one core", Figure.LISTED, "the client", MEASURED),
    ):
        yield Answer(what, (at(found[figure]),), bound, known)
    for rows in ROWS.values():
        for what, figure, bound, known in (
            ("read into the catalog", rows.scanned, "the database", MEASURED),
            ("rewritten at full speed", rows.rewritten, "the database", MEASURED),
            ("rewritten beside an application, as by default", rows.giving_way, "the throttle", "measured for 10 s"),
        ):
            yield Answer(f"rows of {rows.name} {what}", (at(found[figure]),), bound, known)


def small_jobs(figures: Mapping[Figure, float]) -> list[tuple[str, ...]]:
    """Return how long whole runs of a small job took."""
    return [
        (what, duration(figures[figure]) if figure in figures else UNKNOWN)
        for what, figure in (
            ("a migration of 1,000 objects and rows", Figure.SMALL_JOB_S),
            ("the same once more, with nothing left to do", Figure.NO_OP_S),
            ("a migration of 20,000 objects and rows", Figure.PLAYBOOK_S),
        )
    ]


def client_rate(found: Mapping[Figure, float]) -> float:
    """Return the copies per second of one process over TLS: those of a whole queue over HTTP, and what TLS adds."""
    tls_s = 1 / found[Figure.COPIED_TLS] - 1 / found[Figure.COPIED_HTTP]
    return 1 / (1 / found[Figure.COPIED_PLANNED] + tls_s)


def everything(found: Mapping[Figure, float], rows: OfRows) -> Answer:
    """Return a whole migration inside one partition of S3, with as many rows."""
    (copied,), bound = copies(client_rate(found), PARTITION_WRITES)
    start = found[Figure.NO_OP_S]
    return Answer(
        f"**everything: objects inside one partition of S3, and as many rows of {rows.name}**",
        (
            copied,
            at(found[Figure.LISTED], KEYS),
            at(found[rows.scanned], READINGS),
            at(found[rows.giving_way]),
            Term(start, f"{start:.0f} s of tasks"),
        ),
        f"{bound}, for {duration(copied.seconds)} of it",
    )


def copies(client: float, service: float) -> tuple[tuple[Term], str]:
    """Return how long a million copies take, and whether the client's rate or the service's bounds them."""
    slowest = service if client > service else client
    return (at(slowest),), "S3" if client > service else "the client"


def at(rate: float, times: int = 1) -> Term:
    """Return how long so many millions take at this rate per second."""
    return Term(times * MILLION / rate, f"{times * MILLION:,} ÷ {rate:,.0f}/s")


def streams(figures: Mapping[Figure, float]) -> list[tuple[str, ...]]:
    """Return for each size how long a million objects take this machine, the service, and lines."""
    return [
        (
            f"{size} ({MILLION * count / 1e9:,.0f} GB)",
            duration(MILLION / figures[figure]) if figure in figures else UNKNOWN,
            duration(MILLION / PARTITION_WRITES),
            *(duration(MILLION * count / (gbit * GBIT)) for gbit in LINKS_GBIT),
        )
        for figure, (size, count) in STREAMED.items()
    ]

"""Estimates of time and money from counts. Pure; the one home of the rates that forecasts rest on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from ..config.prices import PRICES, Prices
from .facts import CostLine, DurationFact, Estimate, MoneyFacts, RequestFact

ROWS_PER_SECOND: Final = (20_000, 80_000)
"""The measured rate of a rewrite: on a busy server with an index on the column, and on an idle one without."""

COPIES_PER_SECOND: Final = (500, 3_500)
"""Copies inside of the service: on a slow one, and what Amazon documents for one prefix ("Optimizing Amazon S3
performance", S3 user guide). docs/benchmarks.md has 1,381 against one small server."""

STREAMED_PER_SECOND: Final = (100, 1_000)
"""Objects that are read and written through this machine."""

STREAMED_BYTES_PER_SECOND: Final = (20 * 1024**2, 200 * 1024**2)
"""Their bytes: on a line of about 200 Mbit/s, and on one of 2 Gbit/s."""

LEAST_MEASURED: Final = 1_000
LEAST_MEASURED_S: Final = 2.0
"""A rate that was measured over less says little."""

GB: Final = 1024**3
"""As storage and transfer are billed."""


class Measured(NamedTuple):
    """Rates of the last migration that this state folder knows of; None: unknown."""

    copies_per_second: float | None = None
    rows_per_second: float | None = None


class Work(NamedTuple):
    """What a run would do.

    objects, bytes: to copy
    streamed: they are read and written through this machine
    rows: to rewrite
    reading_s: how long it took to list both sides and to read the rows just now
    readings: how often a run does that
    most_per_second: `rehome_objects_per_second`
    """

    objects: int
    bytes: int
    streamed: bool
    rows: int
    reading_s: float
    readings: int
    most_per_second: float | None


def measured_rate(amount: int, seconds: float) -> float | None:
    """Return the rate, or None if it says too little."""
    return amount / seconds if amount >= LEAST_MEASURED and seconds >= LEAST_MEASURED_S else None


def estimate(work: Work, requests: Sequence[RequestFact], measured: Measured, prices: Prices | None) -> Estimate:
    """Return what a run would take."""
    durations = [part for part in (_reading(work), _copying(work, measured), _rewriting(work, measured)) if part]
    return Estimate(
        requests=list(requests),
        bytes_stored=work.bytes,
        bytes_through=2 * work.bytes if work.streamed else 0,
        durations=durations,
        low_s=round(sum(part["low_s"] for part in durations), 1),
        high_s=round(sum(part["high_s"] for part in durations), 1),
        money=None if prices is None else money(requests, work.bytes, prices),
    )


def _reading(work: Work) -> DurationFact:
    seconds = round(work.reading_s * work.readings, 1)
    times = "once more" if work.readings == 1 else f"{work.readings} times"
    what = f"list both buckets and read the rows, {times}"
    return DurationFact(what=what, low_s=seconds, high_s=seconds, basis=f"this plan took {work.reading_s:,.1f} s")


def _copying(work: Work, measured: Measured) -> DurationFact | None:
    if not work.objects:
        return None
    what = f"copy {work.objects:,} objects" + " through this machine" * work.streamed
    if measured.copies_per_second is not None:
        low = high = work.objects / measured.copies_per_second
        basis = f"the last migration here copied {measured.copies_per_second:,.0f} objects/s"
    elif work.streamed:
        slow, fast = STREAMED_PER_SECOND
        slow_bytes, fast_bytes = STREAMED_BYTES_PER_SECOND
        low = max(work.objects / fast, work.bytes / fast_bytes)
        high = max(work.objects / slow, work.bytes / slow_bytes)
        basis = (
            f"{slow:,} to {fast:,} objects/s and {slow_bytes // 1024**2:,} to {fast_bytes // 1024**2:,} MiB/s are "
            "assumed, as nothing was measured here yet"
        )
    else:
        slow, fast = COPIES_PER_SECOND
        low, high = work.objects / fast, work.objects / slow
        basis = (
            f"{slow:,} to {fast:,} copies/s: the latter is what Amazon documents for one prefix; nothing was measured "
            "here yet, and large objects take longer"
        )
    if work.most_per_second is not None and work.objects / work.most_per_second > low:
        low = work.objects / work.most_per_second
        high = max(high, low)
        basis += f"; rehome_objects_per_second allows {work.most_per_second:,g}/s"
    return DurationFact(what=what, low_s=round(low, 1), high_s=round(high, 1), basis=basis)


def _rewriting(work: Work, measured: Measured) -> DurationFact | None:
    if not work.rows:
        return None
    what = f"rewrite {work.rows:,} rows"
    if measured.rows_per_second is not None:
        seconds = round(work.rows / measured.rows_per_second, 1)
        basis = f"the last migration here rewrote {measured.rows_per_second:,.0f} rows/s"
        return DurationFact(what=what, low_s=seconds, high_s=seconds, basis=basis)
    slow, fast = ROWS_PER_SECOND
    basis = f"{slow:,} to {fast:,} rows/s: measured on a busy and on an idle server; pauses of the throttle come on top"
    return DurationFact(what=what, low_s=round(work.rows / fast, 1), high_s=round(work.rows / slow, 1), basis=basis)


def money(requests: Iterable[RequestFact], stored: int, prices: Prices) -> MoneyFacts:
    """Return what requests and bytes cost by the operator's table.

    stored: bytes that are copied
    """
    quantities: dict[str, int] = dict.fromkeys(PRICES, 0)
    for request in requests:
        quantities[request["kind"]] += request["count"]
    quantities["transfer_gb"] = quantities["storage_gb_month"] = stored
    lines = [
        _line(name, count, prices.of)
        for name, count in quantities.items()
        if count and name in prices.of and name != "storage_gb_month"
    ]
    month = prices.of.get("storage_gb_month")
    return MoneyFacts(
        as_of=prices.as_of.isoformat(),
        currency=prices.currency,
        lines=lines,
        total=round(sum(line["amount"] for line in lines), 6),
        month=None if month is None else round(stored / GB * month, 6),
        without_price=[name for name, count in quantities.items() if count and name not in prices.of],
    )


def _line(name: str, count: int, prices: Mapping[str, float]) -> CostLine:
    price = prices[name]
    if name == "transfer_gb":
        size = count / GB
        return CostLine(what="transfer", quantity=f"{size:,.3f} GB", price=price, amount=round(size * price, 6))
    amount = round(count / 1000 * price, 6)
    return CostLine(what=f"{name.upper()} requests", quantity=f"{count:,}", price=price, amount=amount)


def duration(seconds: float) -> str:
    """Return a duration for people, in one unit."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"


def between(low_s: float, high_s: float) -> str:
    """Return a range of durations for people."""
    low, high = duration(low_s), duration(high_s)
    return low if low == high else f"{low} to {high}"

"""`python -m bench.throttling`: how much of a server's limit is used if the server refuses some requests."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import uvloop
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.s3.client.client import Client
from rehome.s3.copier.run import copy_objects
from rehome.s3.endpoint.resolve import resolve
from rehome.s3.objects.job import CopyOutcome

from .machine import our_versions
from .migration import given, side
from .null_replies import jobs
from .section import Section, Table, Verdict, at_least
from .servers import serving
from .suite import run_suite

LIMIT = 32
DELAY_S = 0.03
REFUSED = 0.1

ABOUT = """\
A server takes {limit} requests at once and keeps each for {delay:.0f} ms; what comes on top waits for its turn. It
answers {refused:.0%} of them, by chance, with 503 SlowDown, which takes as long. So it can grant {limit} requests in
{delay:.0f} ms less {refused:.0%}: {possible:,.0f} copies/s. One process copies {jobs:,} objects through `copy_objects`,
its slow start included, and tries every refusal again: a server under load must not be pushed, and must not be left
idle."""


def measure(quick: bool) -> Section:
    """Measure one run, long enough for chance to even out."""
    count = 2_000 if quick else 30_000
    possible = LIMIT / DELAY_S * (1 - REFUSED)
    arguments = ("--limit", str(LIMIT), "--delay", str(DELAY_S), "--refused", str(REFUSED))
    with (
        tempfile.TemporaryDirectory(prefix="rehome-bench-") as name,
        serving("canned_throttling", *arguments) as url,
    ):
        settings = read_settings(given(Path(name), side(url, "legacy", "image/"), side(url, "production", "avatar/")))
        wall, results, attempts = uvloop.run(_copy(settings, count))
    failures = count - results["copied"]
    reached = count / wall
    return Section(
        title="A server that refuses some of the requests",
        about=ABOUT.format(limit=LIMIT, delay=DELAY_S * 1000, refused=REFUSED, possible=possible, jobs=count),
        verdicts=(
            at_least("share of what a throttling server can grant", reached / possible * 100, 80, " %"),
            Verdict("objects that failed there", f"{failures:,}", "0", failures == 0),
        ),
        tables=(
            Table(
                ("copies/s", "possible", "requests per copy", "wall"),
                ((f"{reached:,.0f}", f"{possible:,.0f}", f"{attempts / count:.2f}", f"{wall:.1f} s"),),
            ),
        ),
        commands=(f"python -m bench.canned_throttling {' '.join(arguments)}", "python -m bench.throttling"),
        versions=our_versions(),
    )


async def _copy(settings: Settings, count: int) -> tuple[float, Counter[str], int]:
    results: Counter[str] = Counter()
    attempts = 0

    def note(outcome: CopyOutcome) -> None:
        nonlocal attempts
        results[outcome.result] += 1
        attempts += outcome.attempts

    async with Client(resolve(settings.source)) as source, Client(resolve(settings.target)) as target:
        began = time.monotonic()
        await copy_objects(source, target, jobs(count), note)
        return time.monotonic() - began, results, attempts


if __name__ == "__main__":
    sys.exit(run_suite("throttling", measure))

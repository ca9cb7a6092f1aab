"""`python -m bench.null_copies`: copies per second of one process against a server that does nothing."""

from __future__ import annotations

import gc
import ssl
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import uvloop
from rehome.config.read import read_settings
from rehome.s3.client.client import Client
from rehome.s3.copier.run import copy_objects
from rehome.s3.endpoint.resolve import resolve
from rehome.s3.objects.job import CopyOutcome
from rehome.s3.transport.endpoint import Endpoint

from . import nginx
from .cost import Cost
from .figures import Figure
from .machine import our_versions
from .migration import given, side
from .null_replies import jobs
from .rounds import spread
from .section import Section, Table, at_least
from .suite import BenchError, run_suite

ABOUT = """\
One process copies {jobs:,} objects through `copy_objects`, with the options that a migration uses, from an nginx (one
process, loopback, kept-alive connections) that answers every request with the same CopyObjectResult. Each reply is
checked as always. What is left is what Rehome itself costs; no server of objects is as fast. Over TLS the certificate
is verified. Median of {rounds} rounds (least … most), the connections already open."""


def measure(quick: bool) -> Section:
    """Measure plain HTTP and TLS."""
    count, warm_up, rounds = (5_000, 500, 1) if quick else (200_000, 20_000, 3)
    with tempfile.TemporaryDirectory(prefix="rehome-bench-") as name, nginx.null_server(Path(name)) as server:
        settings = read_settings(
            given(
                Path(name),
                side(server.http_url, "legacy", "image/"),
                side(server.https_url, "production", "avatar/", ca_bundle=str(server.ca_bundle)),
            )
        )
        plain = uvloop.run(_rounds(resolve(settings.source), count, warm_up, rounds))
        secure = uvloop.run(_rounds(resolve(settings.target), count, warm_up, rounds))
    rates = {
        figure: count / median(cost.wall_s for cost in costs)
        for figure, costs in ((Figure.COPIED_HTTP, plain), (Figure.COPIED_TLS, secure))
    }
    return Section(
        title="Copies per second against a server that does nothing",
        about=ABOUT.format(jobs=count, rounds=rounds),
        verdicts=(
            at_least("copies/s of one process, HTTP", rates[Figure.COPIED_HTTP], 20_000),
            at_least("copies/s of one process, TLS", rates[Figure.COPIED_TLS], 10_000),
        ),
        tables=(
            Table(
                ("", "copies/s", "CPU per copy"),
                tuple(
                    (
                        label,
                        spread([count / cost.wall_s for cost in costs], 0),
                        spread([cost.cpu_s / count * 1e6 for cost in costs], 1) + " µs",
                    )
                    for label, costs in (("HTTP", plain), ("TLS", secure))
                ),
            ),
        ),
        commands=("python -m bench.null_copies", "nginx -p FOLDER -c FOLDER/nginx.conf"),
        versions={**our_versions(), "nginx": nginx.version(), "OpenSSL": ssl.OPENSSL_VERSION.split()[1]},
        figures=rates,
    )


async def _rounds(endpoint: Endpoint, count: int, warm_up: int, rounds: int) -> list[Cost]:
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(Client(endpoint))
        target = await stack.enter_async_context(Client(endpoint))
        await _copy(source, target, warm_up)
        # as `copy_planned` does
        gc.freeze()
        stack.callback(gc.unfreeze)
        return [await _copy(source, target, count) for _ in range(rounds)]


async def _copy(source: Client, target: Client, count: int) -> Cost:
    results: Counter[str] = Counter()

    def note(outcome: CopyOutcome) -> None:
        results[outcome.result] += 1

    wall, cpu = time.monotonic(), time.process_time()
    await copy_objects(source, target, jobs(count), note)
    cost = Cost(time.monotonic() - wall, time.process_time() - cpu)
    if results != {"copied": count}:
        raise BenchError(f"of {count} copies: {dict(results)}")
    return cost


if __name__ == "__main__":
    sys.exit(run_suite("null_copies", measure))

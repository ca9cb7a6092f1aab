"""`python -m bench.null_copies`: copies per second of one process against a server that does nothing."""

from __future__ import annotations

import gc
import os
import shlex
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
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
from .cost import Cost, spend
from .figures import Figure
from .machine import our_versions
from .migration import given, side
from .null_replies import jobs
from .peers import PEERS, S5CMD
from .rounds import ratio, spread
from .section import Section, Table, at_least
from .suite import BenchError, run_suite

HTTP, TLS = "HTTP", "TLS"
ABOUT = """\
One process copies {jobs:,} objects through `copy_objects`, with the options that a migration uses, from an nginx (one
process, loopback, kept-alive connections) that answers every request with the same CopyObjectResult. Each reply is
checked as always. What is left is what Rehome itself costs; no server of objects is as fast. Over TLS the certificate
is verified. Median of {rounds} rounds (least … most), the connections already open.

s5cmd copies {few:,} objects through the same nginx by turns with us, 256 workers, over TLS with the certificate
verified, too. Of its CPU only what the copies take counts: what its `ls` of the same objects takes, with its start, is
taken off. It sends no condition and does not compare what the reply says. Both sides' CPU is that of the client alone.
{without}"""
WITHOUT = "Here it is missing, as the peers are not installed; `make bench` installs them."


def measure(quick: bool) -> Section:
    """Measure plain HTTP and TLS."""
    count, few, rounds = (5_000, 500, 1) if quick else (100_000, 10_000, 3)
    with tempfile.TemporaryDirectory(prefix="rehome-bench-") as name, nginx.null_server(Path(name), few) as server:
        settings = read_settings(
            given(
                Path(name),
                side(server.http_url, "legacy", "image/"),
                side(server.https_url, "production", "avatar/", ca_bundle=str(server.ca_bundle)),
            )
        )
        s5cmd = _S5cmd(server, Path(name), few)
        sides = ((HTTP, settings.source, server.http_url), (TLS, settings.target, server.https_url))
        found = {
            label: uvloop.run(_rounds(resolve(one), count, rounds, partial(s5cmd.copies_cpu_s, url)))
            for label, one, url in sides
        }
    rates = {
        figure: count / median(cost.wall_s for cost in found[label].ours)
        for figure, label in ((Figure.COPIED_HTTP, HTTP), (Figure.COPIED_TLS, TLS))
    }
    times = {
        label: ratio([cpu_s / few for cpu_s in one.s5cmd], [cost.cpu_s / count for cost in one.ours])
        for label, one in found.items()
        if one.s5cmd
    }
    return Section(
        title="Copies per second against a server that does nothing",
        about=ABOUT.format(jobs=count, few=few, rounds=rounds, without="" if times else WITHOUT).rstrip(),
        verdicts=(
            at_least("copies/s of one process, HTTP", rates[Figure.COPIED_HTTP], 26_000),
            at_least("copies/s of one process, TLS", rates[Figure.COPIED_TLS], 18_000),
            *(
                at_least(f"copies per CPU second, in times of s5cmd's, {label}", found_times, 10, digits=1)
                for label, found_times in times.items()
            ),
        ),
        tables=(
            Table(
                ("", "copies/s", "CPU per copy", "s5cmd's CPU per copy"),
                tuple(
                    (
                        label,
                        spread([count / cost.wall_s for cost in one.ours], 0),
                        spread([cost.cpu_s / count * 1e6 for cost in one.ours], 1) + " µs",
                        spread([cpu_s / few * 1e6 for cpu_s in one.s5cmd], 1) + " µs" if one.s5cmd else "",
                    )
                    for label, one in found.items()
                ),
            ),
        ),
        commands=("python -m bench.null_copies", "nginx -p FOLDER -c FOLDER/nginx.conf", *s5cmd.commands),
        versions={**our_versions(), "nginx": nginx.version(), "OpenSSL": ssl.OPENSSL_VERSION.split()[1]},
        figures=rates,
    )


class _S5cmd:
    """s5cmd's copies from the null server to itself; none where it is not installed.

    few: how many objects the server lists
    """

    def __init__(self, server: nginx.NullServer, folder: Path, few: int) -> None:
        self._program = next(PEERS.glob(S5CMD), None)
        self._few = few
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AWS_CA_BUNDLE": str(server.ca_bundle),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "BENCH",
            "AWS_SECRET_ACCESS_KEY": "bench",
        }

    @property
    def commands(self) -> tuple[str, ...]:
        """The command of its copies."""
        if self._program is None:
            return ()
        return (f"s5cmd --endpoint-url $ENDPOINT {shlex.join(_WORKERS)} {shlex.join(_COPIES)}",)

    def copies_cpu_s(self, url: str) -> float | None:
        """Let it copy everything. Return the CPU seconds of the copies alone."""
        if self._program is None:
            return None
        whole, _ = self._spend(url, *_COPIES)
        start, listed = self._spend(url, "ls", "s3://legacy/image/*")
        if listed.count("\n") != self._few:
            raise BenchError(f"s5cmd found {listed.count(chr(10))} of {self._few} objects")
        return whole.cpu_s - start.cpu_s

    def _spend(self, url: str, *arguments: str) -> tuple[Cost, str]:
        return spend([str(self._program), "--endpoint-url", url, *_WORKERS, *arguments], self._environment)


_WORKERS = ("--numworkers", "256")
_COPIES = ("--log", "error", "cp", "s3://legacy/image/*", "s3://production/avatar/")


@dataclass(frozen=True, slots=True)
class _Found:
    """ours: the cost of each round. s5cmd: CPU seconds of each round; none if it is not installed."""

    ours: list[Cost]
    s5cmd: list[float]


async def _rounds(endpoint: Endpoint, count: int, rounds: int, peer: Callable[[], float | None]) -> _Found:
    found = _Found([], [])
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(Client(endpoint))
        target = await stack.enter_async_context(Client(endpoint))
        await _copy(source, target, count // 10)
        # as `copy_planned` does
        gc.freeze()
        stack.callback(gc.unfreeze)
        stack.callback(gc.set_threshold, *gc.get_threshold())
        gc.set_threshold(20_000)
        for _ in range(rounds):
            found.ours.append(await _copy(source, target, count))
            if (cpu_s := peer()) is not None:
                found.s5cmd.append(cpu_s)
    return found


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

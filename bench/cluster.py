"""`python -m bench.cluster`: copies by workers of a cluster beside those of one process."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from sandbox.s3_server import SOURCE_BUCKET, TARGET_BUCKET

from . import nginx
from .figures import Figure
from .machine import our_versions, version_of
from .migration import given, write_given
from .movers import Copied, Movers, copied, keyless, movers, outcomes_of, planned
from .rounds import alternating, ratio, spread
from .section import Section, Table, Verdict, at_least, at_most
from .servers import serving
from .store import store
from .suite import run_suite, step

DELAY_S = 0.06
REQUESTS = 64
"""Of each worker, in flight at once: it cannot start more than REQUESTS ÷ DELAY_S a second, whatever it costs."""
LEFT = 2 / 3
"""Of the objects, when a worker is killed."""
PER_SECOND = 1_000
WINDOW_S = 1.0
LOOK_S = 0.02
"""How often the server is asked for its count, which it tells nobody by itself."""
FLAT = 1.15
ONE, MOVER = "one process", "1 worker"

ABOUT = """\
A scheduler and workers of dask.distributed on this machine, with mutual TLS and the settings that `make cluster-up`
gives them. Every side is the copy of a planned catalog as a migration runs it: the queue comes from the catalog, each
outcome goes back there and to files. The controller's part includes its connection to the cluster and the import of
dask: {start}.
CPU is that of worker, nanny, scheduler and controller, without the server's.

- **What a cluster costs**: {few:,} objects by one process and by one worker in turns, {rounds} rounds, from the nginx
  that answers every request with a copy's result; then {many:,} by one worker.
- **What it gains**: a service that takes {delay:.0f} ms for each request and any number of them, of which each worker
  has {requests} in flight. {scaled:,} objects by 1, 2 and 4 workers, from the first request to the last.
- **A worker that is lost**: {killed:,} objects by 4 workers, one of which is killed by `kill -9` together with its
  nanny after a third. The time from there on is held against that of 3 workers for as many objects as had not been
  asked for by then. The service refuses what is there already, as S3 does.
- **One rate**: `rehome_objects_per_second` {per_second:,} over 4 workers; each second from any moment on counts.
- **Streams**: {streamed:,} objects of 1 to 2 kB from one bucket of a SeaweedFS to another through this machine, whose
  two cores the workers share with it and with the controller."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many objects each part copies."""

    few: int
    rounds: int
    many: int
    scaled: int
    killed: int
    limited: int
    streamed: int
    crew: int = 4


WHOLE = Sizes(few=300_000, rounds=2, many=1_000_000, scaled=32_000, killed=80_000, limited=10_000, streamed=10_000)
QUICK = Sizes(few=4_000, rounds=1, many=8_000, scaled=2_000, killed=3_000, limited=1_000, streamed=200, crew=2)


def measure(quick: bool) -> Section:
    """Measure everything."""
    sizes = QUICK if quick else WHOLE
    with tempfile.TemporaryDirectory(prefix="rehome-bench-") as name:
        folder = Path(name)
        cost = _cost(folder / "cost", sizes)
        gain = _gain(folder / "gain", sizes)
        streams = _streams(folder / "streams", sizes)
    return Section(
        title="More than one machine",
        about=ABOUT.format(
            start=f"{cost.start_s:.1f} s of CPU, with the workers' part of it",
            delay=DELAY_S * 1000,
            requests=REQUESTS,
            per_second=PER_SECOND,
            few=sizes.few,
            rounds=sizes.rounds,
            many=sizes.many,
            scaled=sizes.scaled,
            killed=sizes.killed,
            streamed=sizes.streamed,
        ),
        verdicts=(*cost.verdicts(), *gain.verdicts()),
        tables=(cost.table(), gain.table(), _table_of_streams(streams)),
        commands=("python -m bench.cluster",),
        versions={**our_versions(), "distributed": version_of("distributed"), "nginx": nginx.version()},
        figures=cost.figures | gain.figures,
    )


# What a cluster costs


@dataclass(frozen=True, slots=True)
class Cost:
    """What copies from a server that costs nothing take.

    rounds: by contender
    many: a large number by one worker
    scheduler_bytes, mover_bytes: sizes after that; the mover's with its nanny
    start_s: CPU seconds of a copy of very few objects by one worker: what each run has once
    """

    rounds: Mapping[str, Sequence[Copied]]
    many: Copied
    scheduler_bytes: int
    mover_bytes: int
    start_s: float

    @property
    def figures(self) -> dict[Figure, float]:
        """What other pages work with."""
        return {
            Figure.FLEET_CONTROLLER_S: self.many.controller_s / self.many.objects,
            Figure.FLEET_SCHEDULER_S: self.many.members_s["scheduler"] / self.many.objects,
            Figure.FLEET_SCHEDULER_BYTES: self.scheduler_bytes,
            Figure.FLEET_MOVER_BYTES: self.mover_bytes,
        }

    def verdicts(self) -> Iterator[Verdict]:
        """Yield what is held against a bar."""
        one, mover, many = self.rounds[ONE], self.rounds[MOVER], self.many
        rates = ratio([cost.rate for cost in mover], [cost.rate for cost in one])
        yield at_least("1 worker, copies/s, in times of one process's", rates, 0.9, digits=2)
        spent = ratio([cost.cpu_s for cost in mover], [cost.cpu_s for cost in one])
        yield at_most("1 worker with scheduler and controller, CPU, in times of one process's", spent, 1.25)
        of = f"at {many.objects:,} objects"
        scheduler, controller = (_micro_s(many, part) for part in (many.members_s["scheduler"], many.controller_s))
        yield at_most(f"scheduler, CPU of an object {of}", scheduler, 5, " µs", 1)
        yield at_most(f"scheduler, memory {of}", self.scheduler_bytes / 1e6, 150, " MB", 0)
        yield at_most(f"controller, CPU of an object {of}", controller, 15, " µs", 1)
        grown = many.size_at(1) / max(1, many.size_at(0.1))
        yield at_most(f"controller, memory {of}, in times of that at a tenth of them", grown, FLAT)

    def table(self) -> Table:
        """Return what each process took."""
        header = ("", "copies/s", "CPU of an object", "worker", "nanny", "scheduler", "controller", "memory")
        rows = [self._row(f"{name}, {costs[0].objects:,} objects", costs) for name, costs in self.rounds.items()]
        return Table(header, (*rows, self._row(f"{MOVER}, {self.many.objects:,} objects", [self.many])))

    @staticmethod
    def _row(name: str, costs: Sequence[Copied]) -> tuple[str, ...]:
        parts = (
            f"{median(_micro_s(cost, cost.members_s[part]) for cost in costs):,.1f} µs" if costs[0].members_s else ""
            for part in ("workers", "nannies", "scheduler")
        )
        return (
            name,
            spread([cost.rate for cost in costs], 0),
            f"{spread([_micro_s(cost, cost.cpu_s) for cost in costs], 1)} µs",
            *parts,
            f"{median(_micro_s(cost, cost.controller_s) for cost in costs):,.1f} µs",
            f"{max(cost.size_at(1) for cost in costs) / 1e6:,.0f} MB",
        )


def _micro_s(cost: Copied, seconds: float) -> float:
    return seconds / cost.objects * 1e6


def _cost(folder: Path, sizes: Sizes) -> Cost:
    folder.mkdir()
    found: dict[str, list[Copied]] = {ONE: [], MOVER: []}
    with nginx.null_server(folder) as server, movers(folder / "fleet") as crew:
        crew.start(1)

        def copy(name: str, objects: int, by: Movers | None) -> Copied:
            with step(f"{name}, {objects:,} objects"):
                return copied(planned(folder / name.replace(" ", "-"), server.http_url, objects, by), objects, by)

        start = copy("start", 1, crew)
        contenders: dict[str, Movers | None] = {ONE: None, MOVER: crew}
        for number, names in enumerate(alternating(list(contenders), sizes.rounds)):
            for name in names:
                found[name].append(copy(f"{name} {number}", sizes.few, contenders[name]))
        many = copy("many", sizes.many, crew)
        return Cost(found, many, crew.scheduler_bytes(), crew.mover_bytes(), start.cpu_s)


# What it gains


@dataclass(frozen=True, slots=True)
class Gain:
    """What workers reach together.

    took_s: by how many workers copied, from the first request to the last
    left_s, fewer_s: after a worker was killed; by one worker less, as many objects
    as_undisturbed: whether the outcomes are those of a run in which none was
    per_second: requests in each second of the run with one rate, beginning at any moment
    average: requests per second of it
    """

    objects: int
    took_s: Mapping[int, float]
    left_s: float
    fewer_s: float
    as_undisturbed: bool
    most: int
    average: float

    @property
    def figures(self) -> dict[Figure, float]:
        """What other pages work with."""
        return {Figure.FLEET_OF_4: self.took_s[1] / self.took_s[4]} if 4 in self.took_s else {}

    def verdicts(self) -> Iterator[Verdict]:
        """Yield what is held against a bar."""
        alone = self.took_s[1]
        for workers, bar in ((2, 1.85), (4, 3.4)):
            if workers in self.took_s:
                name = f"{workers} workers, copies/s, in times of 1 worker's"
                yield at_least(name, alone / self.took_s[workers], bar, digits=2)
        name = (
            f"{max(self.took_s)} workers, one killed: time from there on, in times of {max(self.took_s) - 1} workers'"
        )
        yield at_most(name, self.left_s / self.fewer_s, 1.15)
        same = "as undisturbed" if self.as_undisturbed else "differ"
        yield Verdict("outcomes of that run", same, "as undisturbed", self.as_undisturbed)
        yield at_most("one rate over all workers: most in a second, in times of it", self.most / PER_SECOND, 1.1)
        yield at_least("one rate over all workers: average, in times of it", self.average / PER_SECOND, 0.85, digits=2)

    def table(self) -> Table:
        """Return what so many workers reach."""
        rows = [(f"{n}", f"{self.objects / took:,.0f}", f"{took:.1f} s") for n, took in self.took_s.items()]
        return Table(("workers", "copies/s", f"{self.objects:,} objects"), tuple(rows))


def _gain(folder: Path, sizes: Sizes) -> Gain:
    folder.mkdir()
    took_s: dict[int, float] = {}
    with serving("canned_latency", "--delay", str(DELAY_S)) as url, movers(folder / "fleet") as crew:

        def copy(name: str, objects: int, meanwhile: Callable[[], object] | None = None, **more: object) -> Path:
            settings = {"max_requests": REQUESTS, **more}
            with step(f"{name}, {objects:,} objects"):
                file = planned(folder / name.replace(" ", "-"), url, objects, crew, **settings)
                copied(file, objects, crew, meanwhile=meanwhile)
            return file

        for workers in (1, 2, 4):
            if workers <= sizes.crew:
                crew.start(workers)
                copy(f"{workers} workers", sizes.scaled)
                took_s[workers] = _length(_asked(url))
        copy("one rate", sizes.limited, objects_per_second=PER_SECOND)
        most, average = rate_of(_asked(url))
        undisturbed = copy("undisturbed", sizes.killed)
        _asked(url)
        kills = list[float]()
        disturbed = copy("one killed", sizes.killed, partial(_kill, crew, url, int(sizes.killed * (1 - LEFT)), kills))
        asked, (killed_at,) = _asked(url), kills
        left_s = max(asked) + DELAY_S - killed_at
        copy("one less", sizes.killed - sum(at <= killed_at for at in asked))
        fewer_s = _length(_asked(url))
        same = outcomes_of(undisturbed) == outcomes_of(disturbed)
        return Gain(sizes.scaled, took_s, left_s, fewer_s, same, most, average)


def _kill(crew: Movers, url: str, least: int, kills: list[float]) -> None:
    """Kill a worker once so many copies were asked for, and add when that was."""
    while json.loads(_get(f"{url}/count")) < least:
        time.sleep(LOOK_S)
    kills.append(time.monotonic())
    crew.kill_one()


def _asked(url: str) -> list[float]:
    """Return when each copy was asked for since the last call."""
    asked: list[float] = json.loads(_get(f"{url}/asked"))
    return asked


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url) as reply:  # noqa: S310 - our own server
        said: bytes = reply.read()
    return said


def _length(times: Sequence[float]) -> float:
    return max(times) - min(times) + DELAY_S


def rate_of(times: Sequence[float]) -> tuple[int, float]:
    """Return how many there were at most in a second, and how many per second on average."""
    first, most = 0, 0
    for last, at in enumerate(times):
        while at - times[first] >= WINDOW_S:
            first += 1
        most = max(most, last - first + 1)
    return most, len(times) / max(WINDOW_S, times[-1] - times[0])


# Streams


def _streams(folder: Path, sizes: Sizes) -> dict[str, Copied]:
    folder.mkdir()
    found: dict[str, Copied] = {}
    with store(folder / "store", sizes.streamed) as service:
        keys = service.user.access_key, service.user.secret_key
        with movers(folder / "fleet", *keys) as crew:
            crew.start(2)
            for name, by in ((ONE, None), ("2 workers", crew)):
                target = f"{name.replace(' ', '-')}/"
                own = folder / target
                own.mkdir()
                more: dict[str, Any] = {} if by is None else {"cluster": by.settings()}
                sides = keyless(service.url, SOURCE_BUCKET, "image/"), keyless(service.url, TARGET_BUCKET, target)
                file = write_given(own, given(own, *sides, copy_method="stream", **more))
                with step(f"streams by {name}, {sizes.streamed:,} objects"):
                    phases = ("probe", "scan", "plan", "copy")
                    found[name] = copied(file, sizes.streamed, by, keys=keys, phases=phases)
                service.check(target, sizes.streamed)
    return found


def _table_of_streams(found: Mapping[str, Copied]) -> Table:
    rows = [
        (name, f"{cost.rate:,.0f}", f"{cost.cpu_s / cost.objects * 1e6:,.0f} µs", f"{cost.wall_s:.1f} s")
        for name, cost in found.items()
    ]
    return Table(("streams by", "objects/s", "CPU of an object", "wall"), tuple(rows))


if __name__ == "__main__":
    sys.exit(run_suite("cluster", measure))

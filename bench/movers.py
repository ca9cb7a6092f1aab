"""A scheduler and workers for a benchmark, and what a copy costs with and without them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.progress import FILE

from sandbox.dask_fleet import DaskFleet, exported
from sandbox.errors import SandboxError

from .cost import spend
from .migration import given, side, write_given
from .ours import CATALOG
from .planned import plan_catalog
from .suite import BenchError

ACCESS_KEY, SECRET_KEY = "BENCH", "bench"
"""Of servers that check no signature."""
JOIN_S = 60.0
POLL_S = 0.1
"""How often the logs are read: a worker that has joined says so there."""
SETTLE_S = 1.0
"""What a worker still does once it has joined."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy cost.

    wall_s: of the copy's stage, the connection to the cluster included
    controller_s: CPU seconds of the same; without a cluster, of the one process
    members_s: CPU seconds of each other process meanwhile
    sizes: of the controller, in bytes, each with how many objects were done by then
    """

    objects: int
    wall_s: float
    controller_s: float
    members_s: Mapping[str, float] = field(default_factory=dict)
    sizes: Sequence[tuple[int, int]] = ()

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all processes."""
        return self.controller_s + sum(self.members_s.values())

    @property
    def rate(self) -> float:
        """Objects per second."""
        return self.objects / self.wall_s

    def size_at(self, share: float) -> int:
        """Return the controller's largest size until so much of the objects was done."""
        return max((size for done, size in self.sizes if done <= self.objects * share), default=0)


class Movers:
    """Workers on this machine. `copied` copies with all that have joined."""

    def __init__(self, fleet: DaskFleet) -> None:
        self._fleet = fleet

    def start(self, workers: int) -> None:
        """Start further workers until there are so many, and wait until they are idle. Raises BenchError."""
        while len(self._fleet.workers) < workers:
            self._fleet.start_worker()
        deadline = time.monotonic() + JOIN_S
        while sum("Registered to" in self._fleet.log(f"worker-{number}") for number in range(workers)) < workers:
            if time.monotonic() > deadline:
                raise BenchError(f"of {workers} workers, some have not joined within {JOIN_S:.0f} s")
            time.sleep(POLL_S)
        time.sleep(SETTLE_S)

    def kill_one(self) -> None:
        """Kill the worker that was started last, as if its machine had lost its power."""
        lost = self._fleet.workers.pop()
        os.killpg(lost.pid, signal.SIGKILL)
        lost.wait()

    def settings(self) -> dict[str, Any]:
        """Return `rehome_cluster`."""
        return self._fleet.settings(workers=len(self._fleet.workers))

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds that each member has used since its start."""
        found = {"scheduler": [] if self._fleet.scheduler is None else [self._fleet.scheduler.pid]}
        found["nannies"] = [nanny.pid for nanny in self._fleet.workers]
        found["workers"] = [worker.pid for worker in self._fleet.worker_processes()]
        return {name: sum(_cpu_s(pid) for pid in pids) for name, pids in found.items()}

    def scheduler_bytes(self) -> int:
        """Return the scheduler's resident size."""
        return 0 if self._fleet.scheduler is None else _size(self._fleet.scheduler.pid)

    def mover_bytes(self) -> int:
        """Return the resident size of a worker and its nanny: the largest of each."""
        nannies, workers = (nanny.pid for nanny in self._fleet.workers), self._fleet.worker_processes()
        return max(map(_size, nannies), default=0) + max((_size(worker.pid) for worker in workers), default=0)


@contextmanager
def movers(folder: Path, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> Iterator[Movers]:
    """Run a scheduler, for the length of the block, and whatever workers are started in it. Raises BenchError."""
    folder.mkdir()
    fleet = DaskFleet(folder, exported(access_key, secret_key))
    try:
        fleet.start_scheduler()
        yield Movers(fleet)
    except SandboxError as error:
        raise BenchError(str(error)) from error
    finally:
        fleet.stop()


def keyless(url: str, bucket: str, prefix: str) -> dict[str, object]:
    """Return a side whose keys are in the environment, as on a machine with a role."""
    return {
        name: value for name, value in side(url, bucket, prefix).items() if name not in ("access_key", "secret_key")
    }


def planned(folder: Path, url: str, objects: int, crew: Movers | None, **more: object) -> Path:
    """Make a planned catalog in a new folder. Return the file of its settings."""
    folder.mkdir()
    source, target = keyless(url, "legacy", "image/"), keyless(url, "production", "avatar/")
    if crew is not None:
        more["cluster"] = crew.settings()
    settings = given(folder, source, target, **more)
    with _environment(exported(ACCESS_KEY, SECRET_KEY)):
        plan_catalog(folder, read_settings(settings), objects)
    return write_given(folder, settings)


def copied(
    file: Path,
    objects: int,
    crew: Movers | None = None,
    *,
    keys: tuple[str, str] = (ACCESS_KEY, SECRET_KEY),
    phases: Sequence[str] = ("copy",),
    meanwhile: Callable[[], object] | None = None,
) -> Copied:
    """Run the phases of a planned catalog in a process of their own, the last of which copies.

    crew: whom the settings name
    meanwhile: called once while it runs, in a thread

    Raises BenchError unless every object is copied.
    """
    before = {} if crew is None else crew.cpu_s()
    threads = [Thread(target=meanwhile, daemon=True)] if meanwhile is not None else []
    with _Sizes(file.parent / FILE) as sizes:

        def started(pid: int) -> None:
            sizes.watch(pid)
            for thread in threads:
                thread.start()

        environment = {**os.environ, **exported(*keys)}
        _, said = spend([sys.executable, "-m", "bench.ours", str(file), *phases], environment, started)
    for thread in threads:
        thread.join()
    facts: dict[str, Any] = json.loads(said)
    if facts["counts"]["copied"] != objects:
        raise BenchError(f"of {objects} objects, {facts['counts']['copied']} were copied: {said}")
    spent = {} if crew is None else {name: value - before[name] for name, value in crew.cpu_s().items()}
    cost = facts["phases"]["copy"]
    return Copied(objects, cost["wall_s"], cost["cpu_s"], spent, tuple(sizes.found))


def outcomes_of(file: Path) -> list[tuple[Any, ...]]:
    """Return what was recorded of each object."""
    with Catalog.open(file.parent / CATALOG) as catalog:
        return catalog.query("SELECT suffix, result, target_etag, evidence FROM outcomes ORDER BY suffix")


class _Sizes:
    """Looks at the size of a process and at the progress that it tells. Used as a context manager."""

    def __init__(self, progress: Path) -> None:
        self.found: list[tuple[int, int]] = []
        self._progress = progress
        self._ended = Event()
        self._thread: Thread | None = None

    def watch(self, pid: int) -> None:
        self._thread = Thread(target=self._look, args=(psutil.Process(pid),), daemon=True)
        self._thread.start()

    def __enter__(self) -> _Sizes:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self, process: psutil.Process) -> None:
        while not self._ended.wait(POLL_S):
            with suppress(OSError, ValueError, psutil.Error):
                done = int(json.loads(self._progress.read_text())["done"])
                self.found.append((done, int(process.memory_info().rss)))


def _size(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

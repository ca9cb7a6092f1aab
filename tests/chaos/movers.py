"""The cluster of a lane: a scheduler and two movers, which a story kills and freezes, and an operator starts again."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import rehome.fleet.shards

from sandbox.dask_fleet import DaskFleet

MOVER_FAULTS = (
    "kill a mover",
    "kill a nanny",
    "kill a machine",
    "freeze a mover",
    "freeze a machine",
    "kill the scheduler",
)
NO_NANNY = "--no-nanny"
PROFILE = "mover"
"""Where movers find their keys: the controller's are in the settings, which may not have both otherwise."""
SHARD_OBJECTS = 4
"""Stories have few objects; of these, both movers get some."""
WAIT_S = 6.0
"""For movers that were lost, each time that a run connects."""
GIVEN_UP_AFTER_S = 5
"""The least that dask's scheduler waits for a worker of which nothing is heard."""
FROZEN_S = GIVEN_UP_AFTER_S + 3.0


class Movers:
    """Two movers, of which one has a nanny: it starts a mover that was killed again, and kills one that has frozen.

    The other one wakes up after it was given up, and copies what another one copies by then.

    keys: of the buckets
    """

    def __init__(self, folder: Path, keys: dict[str, str]) -> None:
        folder.mkdir()
        credentials = folder / "credentials"
        credentials.touch(mode=0o600)
        lines = f"[{PROFILE}]", f"aws_access_key_id={keys['access_key']}", f"aws_secret_access_key={keys['secret_key']}"
        credentials.write_text("\n".join(lines))
        environment = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials), "AWS_EC2_METADATA_DISABLED": "true"}
        self._fleet = DaskFleet(folder, environment)
        self._machines: list[subprocess.Popen[bytes] | None] = [None, None]
        self._frozen: list[psutil.Process] = []
        self._lock = threading.RLock()
        self._turn = 0

    def settings(self) -> dict[str, Any]:
        """Return the variables of a run that uses them."""
        side = "{{{{ sandbox_login | combine({{'bucket': sandbox_record.s3.{}, 'prefix': '{}', 'profile': '{}'}}) }}}}"
        return {
            "rehome_source": side.format("source_bucket", "image/", PROFILE),
            "rehome_target": side.format("target_bucket", "avatar/", PROFILE),
            "rehome_cluster": self._fleet.settings(workers=2, wait_s=WAIT_S),
        }

    def mend(self) -> None:
        """Start what is dead, and wait for it. What has frozen stays so."""
        with self._lock:
            if self._fleet.scheduler is None or self._fleet.scheduler.poll() is not None:
                self.stop()
                self._fleet.start_scheduler(DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL=f"{GIVEN_UP_AFTER_S}s")
            started = []
            for number, options in enumerate(((), (NO_NANNY,))):
                machine = self._machines[number]
                if machine is None or machine.poll() is not None:
                    self._machines[number] = machine = self._fleet.start_worker(*options)
                    started.append(machine)
            for machine in started:
                self._fleet.wait_until_joined(machine)

    def disrupt(self, fault: str) -> None:
        """Do to one of them what one of MOVER_FAULTS says, by turns."""
        with self._lock:
            self._turn += 1
            if fault == "kill the scheduler":
                if self._fleet.scheduler is not None:
                    self._fleet.scheduler.kill()
                    self._fleet.scheduler.wait()
                return
            machine = self._machines[0 if fault == "kill a nanny" else self._turn % 2]
            if machine is None:
                return
            verb, _, what = fault.partition(" a ")
            chosen = {"mover": _mover_of, "nanny": _self, "machine": _all_of}[what](machine)
            for process in chosen:
                with suppress(psutil.NoSuchProcess):
                    process.kill() if verb == "kill" else process.suspend()
            if verb == "freeze":
                self._frozen += chosen
                waking = threading.Timer(FROZEN_S, _wake, (chosen,))
                waking.daemon = True
                waking.start()

    def wake(self) -> None:
        """Wake up what is frozen now."""
        with self._lock:
            _wake(self._frozen)
            self._frozen.clear()

    def stop(self) -> None:
        """End them all: nothing copies any more."""
        with self._lock:
            self._frozen.clear()
            self._fleet.stop()
            self._fleet.workers.clear()
            self._fleet.scheduler = None
            self._machines = [None, None]


def cut_small_shards() -> None:
    """Give this process, and what it forks, shards that are small enough for a story."""
    rehome.fleet.shards.SHARD_OBJECTS = SHARD_OBJECTS


def _self(machine: subprocess.Popen[bytes]) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [psutil.Process(machine.pid)]
    return []


def _all_of(machine: subprocess.Popen[bytes]) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [one for first in _self(machine) for one in (first, *first.children(recursive=True))]
    return []


def _mover_of(machine: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return what copies: the nanny's child if there is one now, or the process itself without a nanny."""
    if NO_NANNY in machine.args:  # type: ignore[operator]
        return _self(machine)
    with suppress(psutil.NoSuchProcess):
        return [one for first in _self(machine) for one in first.children() if "spawn_main" in " ".join(one.cmdline())]
    return []


def _wake(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()

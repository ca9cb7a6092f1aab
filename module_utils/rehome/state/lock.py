"""One run at a time per state folder: a run holds it from its first module to its last, and each module until it ends.

`run.json` names the run (ansible-playbook's process) and the module that works for it. The kernel's lock on
`run.json.guard` is the module's own: a module that outlives its playbook keeps other runs out until it has ended, and a
dead run locks nothing.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import BaseFileLock, FileLock, Timeout

from ..codes import Code
from ..errors import RehomeError
from ..files import read_json, write_whole
from ..job import Job, job_words, user_name

FILE = "run.json"
GUARD_TIMEOUT_S = 10
"""How long to wait for a module that is just ending."""
_held: list[BaseFileLock] = []
"""The kernel's locks of this process, until it ends."""


class LockedError(RehomeError):
    """Another live run has locked the state folder; the text names it."""

    trouble = Code.FOLDER_LOCKED


@dataclass(frozen=True, slots=True)
class Worker:
    """A process, described so that another process with the same number is not mistaken for it.

    started: seconds from the machine's boot to the process's start, which setting the clock does not change
    """

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Worker:
        """Return the process `pid` of this machine. Raises psutil.NoSuchProcess."""
        return cls(pid, psutil.Process(pid).create_time() - psutil.boot_time())

    def is_same_process(self, started: float) -> bool:
        """Return whether a process of this number that started then is this one. Boot times are exact to a second."""
        return abs(started - self.started) < 2

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        try:
            zombie = psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
            return self.is_same_process(Worker.of(self.pid).started) and not zombie
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True, slots=True)
class Holder:
    """The run that holds a lock, and who works for it.

    run: ansible-playbook
    worker: the module that holds the lock just now, or was the last to hold it
    verb: the playbook's name
    since: when the run acquired the lock
    job: which job of AWX the run is, in words; empty outside of AWX
    """

    host: str
    user: str
    run: Worker
    worker: Worker
    verb: str
    since: str
    job: str = ""

    @classmethod
    def of(cls, pid: int, verb: str, job: Job | None = None) -> Holder:
        """Return the run of the process `pid` of this machine, as the holder of a lock that we acquire for it now."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        host, user, words = socket.gethostname(), user_name(), job_words(job)
        return cls(host, user, Worker.of(pid), Worker.of(os.getpid()), verb, now, words)

    @property
    def pid(self) -> int:
        """The run's process."""
        return self.run.pid

    @property
    def identity(self) -> str:
        """The run's id: the same whenever one run acquires the lock, different for any two runs."""
        return f"{self.host}:{self.pid}:{self.since}"

    def is_run_of(self, other: Holder) -> bool:
        """Return whether both are the same run."""
        same = (self.host, self.pid) == (other.host, other.pid)
        return same and self.run.is_same_process(other.run.started)

    def is_alive(self) -> bool:
        """Return whether the run or its module is at work. From another host that cannot be seen: it counts as yes."""
        if self.host != socket.gethostname() or self.run.is_alive():
            return True
        return self.worker.pid != os.getpid() and self.worker.is_alive()


def acquire(state_dir: Path, pid: int, verb: str = "", job: Job | None = None) -> Holder:
    """Lock `state_dir` for the run whose process is `pid`, and return its holder.

    A run may acquire its lock again. This process keeps it until it ends, whatever happens to the run.

    verb: the playbook's name, for the message to others, as is the job
    Raises LockedError while another run has locked it.
    """
    path = state_dir / FILE
    me = Holder.of(pid, verb, job)
    # before the kernel's lock, which the module of a run that is at work may hold for hours
    _refuse_if_held(me, path)
    lock = FileLock(state_dir / f"{FILE}.guard", timeout=GUARD_TIMEOUT_S, mode=0o600, is_singleton=True)
    try:
        lock.acquire()
    except Timeout as error:
        _refuse_if_held(me, path)
        raise LockedError(f"another run is locking {state_dir} right now; try again") from error
    try:
        _refuse_if_held(me, path)
        earlier = _read(path)
        if earlier and earlier.is_run_of(me):
            me = replace(me, since=earlier.since)
        write_whole(path, _written(me))
    except BaseException:
        lock.release()
        raise
    _held.append(lock)
    return me


def at_work(state_dir: Path) -> str | None:
    """Return which live run has locked the state folder, in words; None if none has. From elsewhere it cannot be seen.

    Raises RehomeError if the file that says so is damaged.
    """
    holder = _read(state_dir / FILE)
    if holder is None or not holder.is_alive():
        return None
    return f"{holder.verb or 'a run'} of {holder.user} on {holder.host}, since {holder.since}"


def _refuse_if_held(me: Holder, path: Path) -> None:
    holder = _read(path)
    if holder and not holder.is_run_of(me) and holder.is_alive():
        raise LockedError(_locked(holder, path))


def holder_of(state_dir: Path) -> Holder | None:
    """Return the live run that has locked `state_dir`; None if none has. Takes no lock itself.

    Raises RehomeError if the file cannot be read.
    """
    holder = _read(state_dir / FILE)
    return holder if holder and holder.is_alive() else None


def release(state_dir: Path, pid: int) -> None:
    """Release the lock of `state_dir` if the process `pid` holds it."""
    path = state_dir / FILE
    holder = _read(path)
    if holder and (holder.host, holder.pid) == (socket.gethostname(), pid):
        path.unlink(missing_ok=True)


def _read(path: Path) -> Holder | None:
    def parse(kept: Any) -> Holder:
        run = _worker(kept)
        # version 0.1.0 did not say who works for it
        worker = _worker(kept["worker"]) if "worker" in kept else run
        verb, job = str(kept.get("verb", "")), str(kept.get("job", ""))
        return Holder(str(kept["host"]), str(kept["user"]), run, worker, verb, str(kept["since"]), job)

    return read_json(path, parse, "It says which run has locked the state folder. If no run is in flight, delete it")


def _worker(kept: Any) -> Worker:
    return Worker(int(kept["pid"]), float(kept["started"]))


def _written(holder: Holder) -> str:
    fields = asdict(holder)
    return json.dumps(fields.pop("run") | fields)


def _locked(holder: Holder, path: Path) -> str:
    here = holder.host == socket.gethostname()
    orphan = here and not holder.run.is_alive()
    who = holder.worker.pid if orphan else holder.pid
    note = ", whose playbook has ended: it finishes what is in flight" if orphan else ""
    gone = f"{holder.job.partition(' of ')[0]} has ended, or is gone from AWX" if holder.job else "that run is dead"
    elsewhere = "" if here else f" If {gone}, delete {path}."
    verb = f"{holder.verb}, {holder.job}" if holder.job else holder.verb
    return (
        f"rehome_state_dir ({path.parent}): another run has locked it: process {who} of {holder.user} on "
        f"{holder.host} ({verb}{note}), since {holder.since}. Wait for it to end, or stop it.{elsewhere}"
    )

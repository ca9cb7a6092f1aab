"""One run at a time per state folder. The ansible-playbook process holds the lock, so a dead run locks nothing."""

from __future__ import annotations

import getpass
import json
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from ..errors import RehomeError
from ..files import read_json, write_whole

FILE = "run.json"
GUARD_TIMEOUT_S = 10


class LockedError(RehomeError):
    """Another live run has locked the state folder; the text names it."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock, described so that another process with the same number is not mistaken for it.

    started: seconds from the machine's boot to the process's start, which setting the clock does not change
    since: when it acquired the lock
    """

    host: str
    user: str
    pid: int
    started: float
    since: str

    @classmethod
    def of(cls, pid: int) -> Holder:
        """Return the process `pid` of this machine, as the holder of a lock that it acquires now."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(socket.gethostname(), getpass.getuser(), pid, _started(pid), now)

    @property
    def identity(self) -> str:
        """The run's id: the same whenever one run acquires the lock, different for any two runs."""
        return f"{self.host}:{self.pid}:{self.since}"

    def is_same_process(self, started: float) -> bool:
        """Return whether a process of this number that started then is this one. Boot times are exact to a second."""
        return abs(started - self.started) < 2

    def is_alive(self) -> bool:
        """Return whether the process runs. That cannot be seen from another host, so it counts as yes there."""
        if self.host != socket.gethostname():
            return True
        try:
            zombie = psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
            return self.is_same_process(_started(self.pid)) and not zombie
        except psutil.NoSuchProcess:
            return False


def acquire(state_dir: Path, pid: int) -> Holder:
    """Lock `state_dir` for the run whose process is `pid`, and return its holder. A run may acquire its lock again.

    Raises LockedError while another run has locked it.
    """
    me = Holder.of(pid)
    path = state_dir / FILE
    try:
        with FileLock(state_dir / f"{FILE}.guard", timeout=GUARD_TIMEOUT_S, mode=0o600):
            holder = _read(path)
            mine = holder and (holder.host, holder.pid) == (me.host, me.pid)
            if holder and mine and holder.is_same_process(me.started):
                return holder
            if holder and holder.is_alive():
                raise LockedError(_locked(holder, path))
            write_whole(path, json.dumps(asdict(me)))
    except Timeout as error:
        raise LockedError(f"another run is locking {state_dir} right now; try again") from error
    return me


def release(state_dir: Path, pid: int) -> None:
    """Release the lock of `state_dir` if the process `pid` holds it."""
    path = state_dir / FILE
    holder = _read(path)
    if holder and (holder.host, holder.pid) == (socket.gethostname(), pid):
        path.unlink(missing_ok=True)


def _started(pid: int) -> float:
    return psutil.Process(pid).create_time() - psutil.boot_time()


def _read(path: Path) -> Holder | None:
    def parse(kept: Any) -> Holder:
        return Holder(
            str(kept["host"]), str(kept["user"]), int(kept["pid"]), float(kept["started"]), str(kept["since"])
        )

    return read_json(path, parse, "It says which run has locked the state folder. If no run is in flight, delete it")


def _locked(holder: Holder, path: Path) -> str:
    elsewhere = "" if holder.host == socket.gethostname() else f" If that run is dead, delete {path}."
    return (
        f"rehome_state_dir ({path.parent}): another run has locked it: process {holder.pid} of {holder.user} on "
        f"{holder.host}, since {holder.since}. Wait for it to end, or stop it.{elsewhere}"
    )

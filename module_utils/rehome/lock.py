"""One run at a time per state folder. The holder is the ansible-playbook process, so a dead run holds nothing."""

from __future__ import annotations

import getpass
import json
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from .errors import RehomeError

FILE = "run.json"
GUARD_PATIENCE_S = 10


class LockedError(RehomeError):
    """Another live run holds the state folder; the text names it."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that a run belongs to, so told that another process with the same number is not taken for it."""

    host: str
    user: str
    pid: int
    created: float
    since: str

    @classmethod
    def of(cls, pid: int) -> Holder:
        created = psutil.Process(pid).create_time()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(socket.gethostname(), getpass.getuser(), pid, created, now)

    @property
    def identity(self) -> str:
        """Equal for two claims of one run, different for any two runs."""
        return f"{self.host}:{self.pid}:{self.created:.2f}"

    def is_alive(self) -> bool:
        """Whether the process runs; on another host there is no way to see, so that counts as yes."""
        if self.host != socket.gethostname():
            return True
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.created) < 0.05 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def claim(state_dir: Path, pid: int) -> Holder:
    """Hold `state_dir` for the run whose process is `pid`; claiming again for the same run is fine.

    Raises LockedError while another run holds it.
    """
    me = Holder.of(pid)
    path = state_dir / FILE
    try:
        with FileLock(state_dir / f"{FILE}.guard", timeout=GUARD_PATIENCE_S, mode=0o600):
            holder = _read(path)
            if holder and holder.identity == me.identity:
                return holder
            if holder and holder.is_alive():
                raise LockedError(_told(holder, path))
            temporary = path.with_suffix(".new")
            temporary.write_text(json.dumps(asdict(me)))
            temporary.replace(path)
    except Timeout as error:
        raise LockedError(f"another run is claiming {state_dir} right now; try again") from error
    return me


def release(state_dir: Path, identity: str) -> None:
    """Let go, where the run of that identity is the holder."""
    path = state_dir / FILE
    holder = _read(path)
    if holder and holder.identity == identity:
        path.unlink(missing_ok=True)


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise RehomeError(
            f"{path} should tell who holds this state folder and cannot be read ({error}). "
            "If no run is under way, delete that file."
        ) from error


def _told(holder: Holder, path: Path) -> str:
    elsewhere = "" if holder.host == socket.gethostname() else f" If that run is dead, delete {path}."
    return (
        f"rehome_state_dir ({path.parent}): another run holds it: process {holder.pid} of {holder.user} on "
        f"{holder.host}, since {holder.since}. Wait for it to end, or stop it.{elsewhere}"
    )

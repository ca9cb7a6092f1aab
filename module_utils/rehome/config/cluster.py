"""The settings of a copy on more than one machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..codes import Code
from ..errors import Finding
from ..files import write_whole

ALONE = "or leave rehome_cluster unset to work with this machine alone"
"""How every message about a cluster ends."""


def fault(name: str, value: str | None, problem: str, way_out: str, code: Code) -> Finding:
    """Return the finding that keeps a cluster from being used. It names the way without one, too. See `Finding`."""
    return Finding(name, value, problem, f"{way_out}, {ALONE}", code)


@dataclass(frozen=True, slots=True)
class Waited:
    """Whether a run has waited for all of its workers, in a file: its stages are processes of their own.

    run: its id. What another run has noted there does not count
    """

    file: Path
    run: str

    def is_noted(self) -> bool:
        """Return whether the run has waited."""
        return self.file.exists() and self.file.read_text(encoding="utf-8") == self.run

    def note(self) -> None:
        """Note that the run has waited."""
        write_whole(self.file, self.run)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A scheduler of dask.distributed, and its workers.

    address: of the scheduler, such as `tls://10.0.0.5:8786`
    ca, cert, key: the files of the cluster's authority, of our certificate and of its key
    workers: how many there are to be
    wait_s: how long to wait for them, in seconds
    absent: why there is no such cluster, which only matters to a run that copies
    waited: whether the run has waited for all of them; None: nobody notes it, and each connection waits
    """

    address: str
    ca: Path
    cert: Path
    key: Path
    workers: int
    wait_s: float
    absent: Finding | None = None
    waited: Waited | None = None

    @property
    def host(self) -> str:
        """The scheduler's host."""
        return urlsplit(self.address).hostname or ""

    @property
    def port(self) -> int:
        """The scheduler's port."""
        return urlsplit(self.address).port or 0

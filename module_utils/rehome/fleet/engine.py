"""Which engine this is: workers must run the same one, byte for byte."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path
from typing import NamedTuple

import botocore
import httptools
import uvloop

from .. import duckdb_engine as duckdb
from ..version import VERSION

_ENGINE = Path(__file__).parents[1]


class Engine(NamedTuple):
    """The versions and the code of a process that copies.

    python: major and minor version: code for another one may crash it
    digest: of the engine's source
    """

    python: str
    version: str
    digest: str

    def __str__(self) -> str:
        return f"Rehome {self.version} ({self.digest[:8]}) on Python {self.python}"


@cache
def this_engine() -> Engine:
    """Return the engine of this process."""
    digest = hashlib.sha256()
    for file in sorted(_ENGINE.rglob("*.py")):
        digest.update(f"{file.relative_to(_ENGINE).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return Engine(python_version(), VERSION, digest.hexdigest())


def python_version() -> str:
    """Return the major and minor version of this Python."""
    return ".".join(platform.python_version_tuple()[:2])


def package_versions() -> dict[str, str]:
    """Return the versions of the packages by which this process copies."""
    return {
        "botocore": botocore.__version__,
        "duckdb": duckdb.__version__,
        "httptools": httptools.__version__,
        "uvloop": uvloop.__version__,  # type: ignore[attr-defined]
    }

"""The state folder's copy in a bucket, so that runners which are thrown away after a job lose nothing.

What later runs need lies under the URI as it does in the folder. What tells of one run lies under `runs/<its start>/`
there, so that nothing has ever to be deleted.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..config.settings import Settings
from ..errors import RehomeError
from ..report.summary import Summary

if TYPE_CHECKING:
    from .bucket import StateBucket

LASTING = (
    "outcomes/*.parquet",
    "plans/*/*",
    "removed/*",
    "retired/*",
    "capabilities.json",
    "uploads.sqlite",
    "completion.json",
    "redirect.json",
)
OF_A_RUN = ("summary.json", "preflight.json", "lists/*.jsonl")
RUNS = "runs"


def fetch_state(settings: Settings) -> None:
    """Bring what earlier runs have left under `rehome_state_uri` into the state folder, where it is missing.

    Raises RehomeError where it cannot be read.
    """
    if settings.state_uri is None:
        return
    store = _bucket(settings)
    for name in store.names():
        path = settings.state_dir / name
        if _is_lasting(name) and not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            store.get(name, path)


def save_state(settings: Settings) -> None:
    """Put what is new or has changed in the state folder under `rehome_state_uri`.

    Raises RehomeError where it cannot be written.
    """
    if settings.state_uri is None:
        return
    store = _bucket(settings)
    there = store.names()
    for pattern in LASTING:
        for path in sorted(settings.state_dir.glob(pattern)):
            name = path.relative_to(settings.state_dir).as_posix()
            if there.get(name) != _md5(path):
                store.put(name, path)
    try:
        began = Summary.load(settings.state_dir).fields["started_at"]
    except RehomeError:
        return  # it failed before its first stage, and has nothing to tell
    for pattern in OF_A_RUN:
        for path in sorted(settings.state_dir.glob(pattern)):
            store.put(f"{RUNS}/{began}/{path.relative_to(settings.state_dir).as_posix()}", path)


def _is_lasting(name: str) -> bool:
    path = PurePosixPath(name)
    # a name such as ../x cannot match: every part of a pattern stands for one name
    return ".." not in path.parts and any(path.match(pattern) for pattern in LASTING) and not name.startswith(RUNS)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _bucket(settings: Settings) -> StateBucket:
    # most runs have none, and would load botocore in each of their modules
    from .bucket import StateBucket  # noqa: PLC0415

    return StateBucket(settings)

"""Upload and download the state folder to and from a bucket, so that ephemeral runners lose nothing.

Files that later runs need have the same names under the URI as in the folder. The reports of one run are stored under
`runs/<its start>/`, so nothing ever has to be deleted there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..config.settings import Settings
from ..errors import RehomeError
from ..report.places import REPORTS, run_prefix
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
    "discover.json",
    "discover.txt",
    "discover-unfinished.json",
    "redirect.json",
    "report-migrate.json",
)


def download_state(settings: Settings) -> None:
    """Download the files that earlier runs left under `rehome_state_uri` and that the state folder does not have.

    Raises RehomeError if they cannot be read.
    """
    if settings.state_uri is None:
        return
    store = _bucket(settings)
    for name in store.names():
        path = settings.state_dir / name
        if _is_lasting(name) and not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            store.get(name, path)


def upload_state(settings: Settings) -> None:
    """Upload the files of the state folder that are new or have changed, and this run's reports.

    Raises RehomeError if they cannot be written.
    """
    if settings.state_uri is None:
        return
    store = _bucket(settings)
    stored = store.names()
    for pattern in LASTING:
        for path in sorted(settings.state_dir.glob(pattern)):
            name = path.relative_to(settings.state_dir).as_posix()
            if stored.get(name) != _md5(path):
                store.put(name, path)
    try:
        began = Summary.load(settings.state_dir).fields["started_at"]
    except RehomeError:
        return  # the run failed before its first stage, and has no reports
    for pattern in REPORTS:
        for path in sorted(settings.state_dir.glob(pattern)):
            store.put(f"{run_prefix(began)}{path.relative_to(settings.state_dir).as_posix()}", path)


@contextmanager
def uploading(settings: Settings) -> Iterator[Callable[[Path], object] | None]:
    """Yield what uploads a file of the state folder beside the work of the block; None without `rehome_state_uri`.

    A machine may be lost in the middle of a copy that takes hours. What cannot be uploaded, or is not by the end of the
    block, is left to the end of the stage.
    """
    if settings.state_uri is None:
        yield None
        return
    stores: list[StateBucket] = []

    def put(path: Path) -> None:
        if not stores:
            stores.append(_bucket(settings))
        stores[0].put(path.relative_to(settings.state_dir).as_posix(), path)

    pool = ThreadPoolExecutor(1)
    try:
        yield lambda path: pool.submit(put, path)  # nobody asks for its failure
    finally:
        pool.shutdown(cancel_futures=True)


def _is_lasting(name: str) -> bool:
    # the names come from the bucket, and must not point out of the state folder
    path = PurePosixPath(name)
    inside = not path.is_absolute() and ".." not in path.parts
    return inside and any(PurePosixPath("/", path).match(f"/{pattern}") for pattern in LASTING)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _bucket(settings: Settings) -> StateBucket:
    # most runs have no state URI, and need not load botocore for it
    from .bucket import StateBucket  # noqa: PLC0415

    return StateBucket(settings)

"""The benchmark's own SeaweedFS, with the avatars that every contender copies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import uvloop

from sandbox.s3_server import TARGET_BUCKET, S3User
from sandbox.seaweedfs import SeaweedFS
from sandbox.seed.objects import open_objects

from .suite import BenchError


@dataclass(frozen=True, slots=True)
class Store:
    """The running store. All contenders are the same user."""

    seaweedfs: SeaweedFS
    objects: int

    @property
    def url(self) -> str:
        """The URL of its endpoint."""
        return self.seaweedfs.endpoint_url

    @property
    def user(self) -> S3User:
        """The user that every contender is."""
        return self.seaweedfs.users["admin"]

    @property
    def cpu_s(self) -> float:
        """Return the CPU seconds that it has used since its start."""
        (process,) = self.seaweedfs.processes
        times = psutil.Process(process.pid).cpu_times()
        return float(times.user + times.system)

    def check(self, prefix: str, expected: int) -> None:
        """Raise BenchError unless the target has everything."""
        pages = self.seaweedfs.client().get_paginator("list_objects_v2").paginate(Bucket=TARGET_BUCKET, Prefix=prefix)
        found = sum(page["KeyCount"] for page in pages)
        if found != expected:
            raise BenchError(f"of {expected} objects, {found} are in {TARGET_BUCKET}/{prefix}")


@contextmanager
def store(folder: Path, objects: int) -> Iterator[Store]:
    """Run it, filled, for the length of the block."""
    seaweedfs = SeaweedFS(folder / "seaweedfs")
    try:
        seaweedfs.up()
        uvloop.run(_fill(seaweedfs, objects))
        yield Store(seaweedfs, objects)
    finally:
        seaweedfs.destroy()


async def _fill(seaweedfs: SeaweedFS, objects: int) -> None:
    async with open_objects(seaweedfs) as bucket:
        await bucket.put_avatars(range(1, objects + 1))

"""A real scheduler and real workers for the tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sandbox.dask_fleet import ROOT, DaskFleet, exported
from sandbox.s3_server import S3Server

__all__ = ["ROOT", "FleetOfTest", "exported", "keys_of", "running_fleet"]

FleetOfTest = DaskFleet


def keys_of(store: S3Server, user: str) -> dict[str, str]:
    """Return the environment of a process that has this user's keys."""
    keys = store.users[user]
    return exported(keys.access_key, keys.secret_key)


@contextmanager
def running_fleet(folder: Path, keys: Mapping[str, str]) -> Iterator[FleetOfTest]:
    """Run a scheduler and two workers with these keys in their environment."""
    made = FleetOfTest(folder, keys)
    try:
        made.start_scheduler()
        made.start_worker()
        made.start_worker()
        yield made
    finally:
        made.stop()

"""A small disk that a test may fill."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """A disk of its own with a megabyte."""
    assert os.geteuid() == 0, "a file system is mounted by root alone: run these tests as root"
    mount, umount = shutil.which("mount"), shutil.which("umount")
    assert mount and umount
    path.mkdir()
    subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "rehome-test", path], check=True)
    try:
        yield path
    finally:
        subprocess.run([umount, "--lazy", path], check=True)


def fill_up(disk: Path) -> None:
    """Leave no room on it."""
    with suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    assert shutil.disk_usage(disk).free == 0

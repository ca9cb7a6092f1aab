"""Create the state folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..codes import Code
from ..errors import Finding, RefusedError

ROOT = 0
"""Whoever is root reads and writes everything anyway."""


def prepare_state_dir(path: Path) -> None:
    """Create the state folder, readable by its owner only. Raises RefusedError if it is not writable."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if foreign := _of_somebody_else(path):
            raise RefusedError.of(
                "rehome_state_dir",
                str(path),
                f"{foreign} is of another user, or a link, in a folder that everybody may write",
                "Name a folder of your own",
                code=Code.STATE_FOLDER,
            )
        probe = path / ".writable"
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        finding = Finding(
            "rehome_state_dir",
            str(path),
            f"cannot be written ({os.strerror(error.errno or 0)})",
            "Name a folder that the user who runs the playbook may write",
            Code.STATE_FOLDER,
        )
        raise RefusedError([finding]) from error


def _of_somebody_else(path: Path) -> Path | None:
    """Return what lies on the way to the folder, in a place such as /tmp, and was prepared by somebody else there."""
    for place in (path, *path.parents[:-1]):
        mode = place.parent.stat().st_mode
        if mode & stat.S_ISVTX and mode & stat.S_IWOTH:
            found = place.lstat()
            if stat.S_ISLNK(found.st_mode) or found.st_uid not in (ROOT, os.geteuid()):
                return place
    return None

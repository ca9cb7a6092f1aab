"""Create the state folder."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import Finding, RefusedError


def prepare_state_dir(path: Path) -> None:
    """Create the state folder, readable by its owner only. Raises RefusedError if it is not writable."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        finding = Finding(
            "rehome_state_dir",
            str(path),
            f"cannot be written ({os.strerror(error.errno or 0)})",
            "Name a folder that the user who runs the playbook may write",
        )
        raise RefusedError([finding]) from error

"""A sandbox for one benchmark, with an inventory of its own, and the playbooks that an operator runs against it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.lifecycle import Sandbox

from .cost import ROOT

BIN = Path(sys.executable).parent
NOT_OPERATORS = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
"""What machines that build and test set: without bytecode, each module compiles the whole engine."""


@dataclass(frozen=True, slots=True)
class OwnSandbox:
    """folder: holds the inventory, and the sandbox in `.sandbox`."""

    folder: Path

    @property
    def state(self) -> Path:
        """The state folder of its migration."""
        return self.folder / ".sandbox" / "state"

    def seed(self, objects: int) -> None:
        """Fill it as `make demo` does: both buckets and the table emptied, and no trace of an earlier migration."""
        shutil.rmtree(self.state, ignore_errors=True)
        command = [sys.executable, "-m", "sandbox.seed", "--folder", str(self.folder / ".sandbox"), "--reset"]
        subprocess.run(
            [*command, "--objects", str(objects)],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def command(self, playbook: str, *arguments: str) -> list[str]:
        """Return the command of a playbook, to be run in the project's root."""
        inventory = str(self.folder / "inventory")
        return [str(BIN / "ansible-playbook"), playbook, "-i", inventory, "-e", "env=sandbox", *arguments]


def environment() -> dict[str, str]:
    """Return the environment of an operator who has activated Rehome's, and who does not forbid Python its caches."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_OPERATORS}
    return kept | {"PATH": f"{BIN}:{os.environ['PATH']}"}


@contextmanager
def own_sandbox(db: str) -> Iterator[OwnSandbox]:
    """Start a sandbox with this database, and remove it in the end."""
    with tempfile.TemporaryDirectory(prefix="rehome-bench-") as name:
        folder = Path(name)
        shutil.copytree(ROOT / "inventory", folder / "inventory")
        sandbox = Sandbox(folder / ".sandbox")
        try:
            sandbox.up(db)
            yield OwnSandbox(folder)
        finally:
            sandbox.down()

"""Real runs to take pictures of: a private sandbox in a folder that is thrown away."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.lifecycle import Sandbox
from sandbox.seed.__main__ import fill

from .screen import Run

ROOT = Path(__file__).absolute().parents[1]
BIN = Path(sys.executable).parent


class Runs:
    """Verbs in the sandbox of `folder`."""

    def __init__(self, folder: Path) -> None:
        self._inventory = folder / "inventory"

    def start(self, playbook: str, **variables: str) -> Run:
        """Start a playbook at a terminal."""
        extra = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
        command = [str(BIN / "ansible-playbook"), playbook, "-i", str(self._inventory), "-e", "env=sandbox", *extra]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "NO_COLOR"))},
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
        }
        return Run(command, environment, ROOT)


@contextmanager
def sandbox(objects: int) -> Iterator[Runs]:
    """Yield the runs of a sandbox with so many objects, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="shop-") as name:
        folder = Path(name)
        shutil.copytree(ROOT / "inventory", folder / "inventory")
        made = Sandbox(folder / ".sandbox")
        try:
            made.up("mariadb")
            fill(made, objects=objects, with_oddities=False, reset=True)
            yield Runs(folder)
        finally:
            made.down()

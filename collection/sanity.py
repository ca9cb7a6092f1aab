"""Run Ansible's sanity tests on the collection, without the network: `python -m collection.sanity`.

`ansible-test sanity` itself installs an environment for each test from the internet. Its tests are programs of their
own, in the folder `sanity` of the package ansible_test: they are run here on a collection in a temporary folder.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from collection.build import COLLECTION, assemble

IGNORED = {
    "no-assert": "An assert tells mypy what cannot be None; ruff (S101) allows each by name.",
    "missing-gplv3-license": "The project is under the MIT licence; Ansible asks for the GPL in its own distribution.",
}
"""Rules that do not hold here, each with its reason."""

NOT_RUN = {
    "changelog": "Reads fragments of antsibull-changelog; the changelog here is one file written by hand.",
    "ansible-doc": "tests/unit/ansible/test_contract.py runs it on every module.",
    "compile": "ruff and mypy read every file for the oldest Python that is supported.",
    "import": "Wants an environment for each Python without the packages in requirements.txt, which the modules need.",
    "pep8": "ruff checks and formats.",
    "pylint": "ruff and mypy (strict) check; its own rules are about Python 2 and about Ansible's own repository.",
    "pslint": "There is no PowerShell.",
    "shellcheck": "There is no shell script in the collection.",
}
"""Sanity tests that are left out, each with its reason."""


def problems(folder: Path) -> list[str]:
    """Return what the sanity tests find in the collection in `folder`, one line each, without what is ignored."""
    found = [*_code_smells(folder), *_yamllint(folder), *_validate_modules(folder)]
    return [line for line in found if not any(re.search(rf"(?<!\S){code}\b", line) for code in IGNORED)]


def _programs() -> Path:
    spec = importlib.util.find_spec("ansible_test")
    assert spec is not None and spec.submodule_search_locations, "ansible-core has ansible_test"  # noqa: S101
    return Path(spec.submodule_search_locations[0]) / "_util"


def _run(folder: Path, program: str, arguments: Sequence[str], given: str = "") -> str:
    """Run a sanity test in the collection's folder and return what it prints.

    Raises RuntimeError if the test does not work: it exits 3 where it has found something.
    """
    parent = folder.parents[2]
    paths = [parent, _programs() / "target" / "sanity", folder / "plugins" / "module_utils"]
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(parent),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
    }
    script = _programs() / "controller" / "sanity" / program
    command = [sys.executable, str(script), *arguments]
    done = subprocess.run(  # noqa: S603 - programs of ansible-core
        command, cwd=folder, env=environment, input=given, capture_output=True, text=True, check=False
    )
    if done.stderr or done.returncode not in (0, 3):
        raise RuntimeError(f"{program}: {done.stderr or done.stdout}")
    return done.stdout


def _code_smells(folder: Path) -> Iterator[str]:
    """Those that read a list of paths and print a line for each problem."""
    for script in sorted((_programs() / "controller" / "sanity" / "code-smell").glob("*.py")):
        if script.stem not in NOT_RUN:
            wanted = json.loads(script.with_suffix(".json").read_text(encoding="utf-8"))
            paths = "\n".join(_paths(folder, wanted))
            for line in _run(folder, f"code-smell/{script.name}", [], paths).splitlines() if paths else []:
                yield f"{script.stem}: {line}"


def _paths(folder: Path, wanted: dict[str, Any]) -> Iterator[str]:
    """Return the collection's paths that a test's configuration asks for."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        fits = (
            (not path.is_symlink() or wanted.get("include_symlinks", False))
            and name.startswith(tuple(wanted.get("prefixes", ("",))))
            and name.endswith(tuple(wanted.get("extensions", ("",))))
            and path.name in wanted.get("files", (path.name,))
        )
        if fits and path.is_dir() and wanted.get("include_directories", False):
            yield f"{name}/"
        elif fits and not path.is_dir():
            yield name


def _yamllint(folder: Path) -> Iterator[str]:
    """The YAML files, and the YAML in the modules' documentation."""
    prefixes = ["meta/", "playbooks/", "plugins/", "roles/"]
    paths = _paths(folder, {"extensions": [".yml", ".py"], "prefixes": prefixes})
    messages = json.loads(_run(folder, "yamllint/yamllinter.py", [], "\n".join(paths)))["messages"]
    for about in messages:
        yield f"yamllint: {about['path']}:{about['line']}: {about['code']} {about['message']}"


def _validate_modules(folder: Path) -> Iterator[str]:
    """The modules' documentation beside their argument specs."""
    version = yaml.safe_load((folder / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    collection = f"ansible_collections/{COLLECTION.replace('.', '/')}"
    arguments = ["--format", "json", "--arg-spec", "--collection", collection, "--collection-version", version]
    modules = _paths(folder, {"extensions": [".py"], "prefixes": ["plugins/modules/"]})
    report = json.loads(_run(folder, "validate-modules/validate.py", [*arguments, *modules]))
    for path, about in report.items():
        for error in about["errors"]:
            yield f"validate-modules: {path}: {error['code']} {error['msg']}"


def main() -> int:
    """Print what is found, and say by the exit status whether there is anything."""
    with tempfile.TemporaryDirectory() as temporary:
        found = problems(assemble(Path(temporary)))
    for line in found:
        sys.stderr.write(f"{line}\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())

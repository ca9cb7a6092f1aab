from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.cluster.programs import ROOT, load

bundle = load("cluster", "bundle")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with the lists and an engine of one file."""
    for name in bundle.LISTS:
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / bundle.ENGINE).mkdir(parents=True)
    (tmp_path / bundle.ENGINE / "__init__.py").write_text("")
    return tmp_path


@pytest.mark.parametrize("changed", [*bundle.LISTS, bundle.ENGINE / "__init__.py"])
def test_the_digest_is_that_of_packages_and_engine(changed: str, project: Path) -> None:
    before = bundle.digest_of(project)
    (project / bundle.ENGINE / "notes.txt").write_text("no code")
    assert bundle.digest_of(project) == before
    with (project / changed).open("a") as file:
        file.write("# another\n")
    assert bundle.digest_of(project) != before


def test_a_folder_that_lacks_wheels_is_told_with_their_names(project: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    assert bundle.problem_of(project, wheels) == "is no folder"
    wheels.mkdir()
    (wheels / "distributed-2020.1.0-py3-none-any.whl").touch()
    told = bundle.problem_of(project, wheels)
    assert told.startswith("has no wheel of distributed==")
    assert "botocore==" in told

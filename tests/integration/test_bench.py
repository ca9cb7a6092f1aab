"""The suites that need no peer come to an end: after a change of the engine one of them measured nothing at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.cost import ROOT
from bench.figures import Figure
from bench.section import read_json

SUITES = {
    "listing": {Figure.LISTED},
    "memory": {Figure.COPIED_PLANNED},
    "no_op": set(),
    "null_copies": {Figure.COPIED_HTTP, Figure.COPIED_TLS},
    "throttling": set(),
}


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_measures_something(suite: str, tmp_path: Path) -> None:
    out = tmp_path / "section.json"
    command = [sys.executable, "-m", f"bench.{suite}", "--quick", "--json", str(out)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    section = read_json(out)
    assert section.verdicts
    assert set(section.figures) == SUITES[suite]
    assert all(value > 0 for value in section.figures.values())

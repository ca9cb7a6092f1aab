"""The report in a real browser: Debian's Chromium, driven by playwright-core, and judged by axe-core."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rehome.report.charts import charts_of, draw
from rehome.report.facts import KeptFacts
from rehome.report.page import render_page
from rehome.report.tables import tables_of

from matrix.npm import unpack
from tests.unit.report.facts_of_runs import report_of, settings_in
from tests.unit.report.test_page import HOSTILE, points, written

PLAYWRIGHT, AXE = ("playwright-core", "1.65.1"), ("axe-core", "4.14.1")
LOOK = Path(__file__).with_name("look.cjs")


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a browser found of the report of a large run that has left much."""
    folder = tmp_path_factory.mktemp("page")
    keys = [f"image/avatar-{number}.png" for number in range(5_000)]
    lists = {
        "objects-conflict": written(folder, "objects-conflict", [{"key": key, "target_key": key} for key in keys]),
        "objects-failed": written(folder, "objects-failed", [{"key": key, "message": key} for key in HOSTILE]),
    }
    kept = KeptFacts(
        stages=[{"stage": "copy", "number": 1, "began": "2026-11-29T09:00:00", "seconds": 40.0, "changed": {}}],
        proofs={"copied": [{"evidence": "etag", "objects": 9_990_000, "bytes": 10**12}]},
    )
    report = report_of(
        settings_in(folder),
        "migrate",
        kept,
        lists=lists,
        complete=False,
        problems=["5,000 objects are in the target with other content"],
        objects_copied=9_990_000,
        objects_conflict=5_000,
        objects_failed=len(HOSTILE),
        rows_rewritten=9_990_000,
        left={"objects_conflict": 5_000},
    )
    report["timeline"] = points()
    page = folder / "report.html"
    drawn = draw(charts_of(report["timeline"]))
    assert drawn.problem is None
    page.write_text(render_page(report, tables_of(folder, report["lists"]), drawn))
    packages = [str(unpack(name, name, version, lambda _: None)) for name, version in (PLAYWRIGHT, AXE)]
    node, chromium = shutil.which("node"), shutil.which("chromium")
    assert node, "nodejs is not installed: make packages installs it"
    assert chromium, "chromium is not installed: make packages installs it"
    command = [node, LOOK, *packages, chromium, page, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_it_loads_nothing_and_says_nothing_on_the_console(looked: dict[str, Any]) -> None:
    assert looked["said"] == []
    assert set(looked["asked"]) <= {"file", "data"}


def test_at_every_size_light_and_dark_it_fits_and_has_no_barrier(looked: dict[str, Any]) -> None:
    assert len(looked["looks"]) == 6
    for where, found in looked["looks"].items():
        assert found == {"wider": 0, "violations": []}, where


def test_its_tables_are_filtered_and_its_tabs_work_by_mouse_and_by_keys(looked: dict[str, Any]) -> None:
    assert looked["tabs"] == ["objects conflict", "objects failed"]
    (before, after, said), (of_failed, none, _) = looked["filtered"]
    assert (before, after) == (1_000, 1)
    assert said == "1 of 1,000 rows"
    assert (of_failed, none) == (len(HOSTILE), 0)
    assert looked["byKey"] == "objects failed"


def test_on_paper_it_has_all_lists(looked: dict[str, Any]) -> None:
    assert looked["hidden"] == 2
    assert looked["pdf"] > 20_000

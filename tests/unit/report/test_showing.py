"""What `show` finds of a class, in the last run or in those before it, and how it writes it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from rehome.errors import RehomeError
from rehome.report.again import earlier_reports
from rehome.report.document import write_report
from rehome.report.facts import Report, Sample, Samples
from rehome.report.showing import Class, Shown, find, lines_of

from tests.unit.report.facts_of_runs import report_of, settings_in


def left(folder: Path, verb: str, at: str, *, shown: bool, **counts: int) -> Report:
    """Return the report of a run of this verb, which lies in the folder."""
    report = report_of(settings_in(folder), verb)
    report["run"], report["started_at"] = f"run of {verb}", at
    report["counts"] = counts  # type: ignore[typeddict-item]
    kept = [Sample(where="", before=f"static/{verb}.png", after="", note="")] if shown else []
    report["samples"] = [Samples(kind="rows", name="foreign", count=1, shown=kept)]
    write_report(folder, report)
    return report


def found(folder: Path, last: Report, name: str = "foreign") -> tuple[str, str | None]:
    made = find(folder, [last, *earlier_reports(folder, last)], name, 20)
    return " ".join(str(entry["before"]) for part in made.parts for entry in part.entries), made.older


def test_a_class_that_the_last_run_has_not_counted_or_kept_is_that_of_the_newest_run_that_has(tmp_path: Path) -> None:
    left(tmp_path, "plan", "2026-11-29T10:00:00", shown=True, rows_foreign=1)
    last = left(tmp_path, "migrate", "2026-11-29T11:00:00", shown=True, rows_foreign=1)
    assert found(tmp_path, last) == ("static/migrate.png", None)

    last = left(tmp_path, "rollback-check", "2026-11-29T12:00:00", shown=False, rows_kept=1)
    shown, older = found(tmp_path, last)
    assert shown == "static/migrate.png"
    assert older is not None
    assert "The last run (rollback-check, 2026-11-29T12:00:00 UTC) has not counted this class" in older
    assert "(migrate, 2026-11-29T11:00:00 UTC)" in older

    last = left(tmp_path, "verify", "2026-11-29T13:00:00", shown=False, rows_foreign=1)
    shown, older = found(tmp_path, last)
    assert shown == "static/migrate.png"
    assert older is not None
    assert "(verify, 2026-11-29T13:00:00 UTC) has kept nothing of this class but its count" in older


def test_a_class_that_every_run_has_only_counted_is_that_of_the_last_run(tmp_path: Path) -> None:
    left(tmp_path, "plan", "2026-11-29T10:00:00", shown=False, rows_foreign=2)
    last = left(tmp_path, "verify", "2026-11-29T11:00:00", shown=False, rows_foreign=1)
    made = find(tmp_path, [last, *earlier_reports(tmp_path, last)], "foreign", 20)
    assert made.older is None
    assert [part.of.count for part in made.parts] == [1]


def test_a_damaged_report_of_an_earlier_run_hides_no_other(tmp_path: Path) -> None:
    left(tmp_path, "plan", "2026-11-29T10:00:00", shown=True, rows_foreign=1)
    last = left(tmp_path, "verify", "2026-11-29T11:00:00", shown=False, rows_done=1)
    (tmp_path / "report-migrate.json").write_text("{")
    assert found(tmp_path, last)[0] == "static/plan.png"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("confict", "class (confict): no run, of which the last is verify"),
        ("  ", "class (unset): it says"),
    ],
)
def test_a_class_that_no_run_has_names_those_of_all_runs(tmp_path: Path, name: str, problem: str) -> None:
    left(tmp_path, "plan", "2026-11-29T10:00:00", shown=True, rows_foreign=7)
    last = left(tmp_path, "verify", "2026-11-29T11:00:00", shown=False, rows_done=5)
    with pytest.raises(RehomeError) as refused:
        found(tmp_path, last, name)
    assert problem in str(refused.value)
    assert "rows-done (5), rows-foreign (7)" in str(refused.value)


@pytest.mark.parametrize("form", ["text", "csv", "json"])
@pytest.mark.parametrize(
    "hostile", ["\x1b[31m", "\n", "\r", "\u2028", "\u202e", "\x00", "<script>", "\ud800", "z" * 2_000, '",']
)
def test_no_key_ends_a_line_or_reaches_the_terminal_as_a_command(form: str, hostile: str) -> None:
    entry: dict[str, Any] = {"key": f"image/é{hostile}", "row": [hostile, 1], "value": None}
    lines = lines_of([Shown(Class("rows", "foreign", 1), [entry], "its list", None)], form)
    assert len(lines) == 2 - (form == "json")
    assert [line for line in lines if not line.isprintable()] == []


def test_programs_get_each_class_and_every_column_once() -> None:
    some = [Shown(Class("objects", "orphan", 1), [{"key": "image/a,b", "plan_class": "to_copy"}], "the catalog", None)]
    assert list(csv.DictReader(lines_of(some, "csv"))) == [
        {"class": "objects-orphan", "key": "image/a,b", "plan_class": "to_copy"}
    ]
    (line,) = lines_of(some, "json")
    assert json.loads(line) == {"class": "objects-orphan", "key": "image/a,b", "plan_class": "to_copy"}

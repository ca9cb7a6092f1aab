"""The page of big catalogs, from what is kept of its measurements."""

from __future__ import annotations

from pathlib import Path

from bench.figures_kept import Kept
from bench.scale_page import BIG, HUGE, verdicts
from bench.scale_page import page as whole_page
from bench.scale_results import Result, Step, keep, read_all
from bench.section import Section


def result(objects: int, rows: int, cpu_s: float, *, complete: bool = True, busy: float = 0) -> Result:
    steps = {"rows": Step(2.0, cpu_s / 2, 100_000_000), "listing": Step(3.0, cpu_s / 2, 300_000_000)}
    return Result("plan", objects, rows, "2 cores", {"x": "1"}, "2026-01-01", busy, steps, 500_000_000, complete)


def page(results: list[Result]) -> str:
    return whole_page(results, Kept())


def test_what_is_kept_is_read_again_the_largest_last(tmp_path: Path) -> None:
    many, few = result(200, 100, 2), result(100, 100, 1, complete=False)
    copied = Result("copy", 10, 0, "2 cores", {}, "2026-01-01", 0)
    for one in (copied, many, few, result(200, 20, 1)):
        keep(one, tmp_path)
    assert read_all(tmp_path) == [few, result(200, 20, 1), many, copied]


def test_an_object_of_the_huge_catalog_is_held_against_one_of_the_big_with_as_many_rows_to_an_object() -> None:
    found = verdicts([result(BIG, BIG, 150), result(BIG, BIG // 10, 80), result(HUGE, HUGE // 10, 1_000)])
    assert [(one.figure, one.met) for one in found] == [
        ("150 s", True),
        ("300 MB", True),
        ("500 MB", True),
        ("1.25", False),
        ("300 MB", True),
    ]


def test_what_did_not_come_to_its_end_is_shown_as_that_and_held_against_nothing() -> None:
    partial = result(HUGE, HUGE // 10, 1_000, complete=False)
    assert verdicts([result(BIG, BIG // 10, 80), partial]) == []
    assert "did not come to its end" in page([partial])
    assert "did not come to its end" not in page([result(BIG, BIG, 1)])


def test_a_machine_that_others_used_is_told() -> None:
    assert "rows †" in page([result(BIG, BIG, 1, busy=40)])
    assert "rows †" not in page([result(BIG, BIG, 1)])


def test_the_steps_that_were_measured_are_explained_and_no_others() -> None:
    text = page([result(BIG, BIG, 1)])
    assert ("- **rows**: " in text, "- **listing**: " in text, "- **recall**: " in text) == (True, True, False)


def test_every_section_names_the_command_that_measures_it() -> None:
    text = page([result(BIG, BIG, 1), result(BIG, BIG // 10, 1)])
    assert "$ python -m bench.scale plan 10000000\n" in text
    assert "$ python -m bench.scale plan 10000000 --every 10\n" in text


def test_what_the_suite_of_the_cluster_found_is_between_the_arithmetic_and_the_big_catalogs() -> None:
    text = whole_page([result(BIG, BIG, 1)], Kept(cluster=Section("More than one machine", "about")))
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[1] == "## More than one machine"
    assert "## More than one machine" not in page([result(BIG, BIG, 1)])

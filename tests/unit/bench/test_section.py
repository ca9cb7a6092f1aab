"""What a suite found, as Markdown and as JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.figures import Figure
from bench.section import (
    Section,
    Table,
    Verdict,
    at_least,
    at_most,
    duration,
    markdown,
    markdown_table,
    read_json,
    verdict_table,
    write_json,
)

SECTION = Section(
    title="A suite",
    about="What it does.",
    verdicts=(at_most("wall", 0.8, 0.7), at_least("rate", 30_000, 20_000)),
    tables=(Table(("", "wall"), (("ours", "1.00 s"),)),),
    commands=("ours --fast", "theirs | cat"),
    versions={"theirs": "1.2"},
    figures={Figure.LISTED: 5.5},
    busy=25.0,
    took_s=150.0,
)


@pytest.mark.parametrize(("value", "met"), [(0.69, True), (0.70, True), (0.71, False)])
def test_a_value_that_must_be_small(value: float, met: bool) -> None:
    assert at_most("wall", value, 0.70) == Verdict("wall", f"{value:.2f}", "≤ 0.70", met)


@pytest.mark.parametrize(("value", "met"), [(99_999, False), (100_000, True), (100_001, True)])
def test_a_value_that_must_be_large(value: float, met: bool) -> None:
    assert at_least("rate", value, 100_000, "/s") == Verdict("rate", f"{value:,}/s", "≥ 100,000/s", met)


def test_rounding_does_not_turn_a_miss_into_a_hit() -> None:
    assert not at_most("wall", 0.7004, 0.70).met


def test_a_missed_bar_stands_out() -> None:
    lines = verdict_table(SECTION.verdicts).splitlines()
    assert lines == [
        "| measure | figure | bar | met |",
        "| --- | --- | --- | --- |",
        "| wall | 0.80 | ≤ 0.70 | **no** |",
        "| rate | 30,000 | ≥ 20,000 | yes |",
    ]


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert markdown_table(("a",), [("b|c",)]).splitlines()[-1] == "| b\\|c |"


def test_a_section_shows_everything() -> None:
    text = markdown(SECTION)
    for part in (
        "## A suite",
        "What it does.",
        "**no**",
        "| ours | 1.00 s |",
        "$ ours --fast\n$ theirs | cat",
        "25 %",
        "took 2.5 min",
    ):
        assert part in text


def test_a_section_survives_its_file(tmp_path: Path) -> None:
    write_json(SECTION, tmp_path / "section.json")
    assert read_json(tmp_path / "section.json") == SECTION


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(0.25, "0.2 s"), (9.5, "9.5 s"), (9.96, "10 s"), (119, "119 s"), (120, "2.0 min"), (7_199, "120 min")],
        *[(7_200, "2.0 h"), (172_799, "48 h"), (172_800, "2.0 days"), (8_640_000_000, "100,000 days")],
    ],
)
def test_a_duration_is_told_in_a_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text

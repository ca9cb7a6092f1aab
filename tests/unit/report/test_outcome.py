"""The outcome: "complete" never stands without what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from rehome.config.read import read_settings
from rehome.report.fields import KEPT_COPIES, KEPT_OBJECTS
from rehome.report.outcome import outcome_of
from rehome.report.summary import Summary

from tests.unit.config.test_settings import given

LEFT = (
    "objects_conflict",
    "objects_archived",
    "objects_unroutable",
    "objects_to_copy",
    "objects_outdated",
    "objects_deferred",
    "rows_remaining",
    "rows_without_object",
    "rows_in_other_forms",
    "rows_rewritten",
    "rows_changed_since",
    "rows_gone",
    "rows_foreign",
    "source_empty",
    *(f"objects_kept_{reason}" for reason in KEPT_OBJECTS),
    *(f"copies_kept_{reason}" for reason in KEPT_COPIES),
    "copies_expected",
)
"""Every class that a verb may leave."""


def outcome(**fields: Any) -> str:
    return outcome_of({"complete": True, "problems": [], "dry_run": False, "left": {}} | fields)  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("left", "text"),
    [
        ({}, "complete"),
        ({"objects_conflict": 1, "rows_remaining": 2}, "complete, but 1 conflict and 2 rows remain"),
        ({"rows_remaining": 1}, "complete, but 1 row remains"),
        ({"objects_conflict": 1200}, "complete, but 1,200 conflicts remain"),
        (
            {"rows_in_other_forms": 3},
            "complete, but 3 rows hold the key in a form that no reference names",
        ),
        (
            {"objects_conflict": 1, "rows_remaining": 1, "rows_without_object": 1},
            "complete, but 1 conflict and 1 row remain; 1 row names no object",
        ),
        ({"source_empty": 1}, "complete, but no object of the source is under the map"),
        (
            {"objects_kept_referenced": 2, "objects_kept_too_young": 1},
            "complete, but 3 objects kept (2 referenced, 1 too young)",
        ),
        ({"copies_kept_locked": 1}, "complete, but 1 copy kept (1 locked)"),
        (
            {"rows_changed_since": 1, "rows_gone": 2},
            "complete, but 1 row holds what the application wrote since; 2 rows were deleted since",
        ),
    ],
)
def test_what_is_left_is_in_the_line_that_says_complete(left: dict[str, int], text: str) -> None:
    assert outcome(left=left) == text


def test_rows_that_the_application_changed_are_told_and_a_dry_run_tells_what_a_run_would_leave() -> None:
    assert outcome(rows_changed_by_app=2) == "complete, but 2 rows were changed by the application"
    dry = outcome(complete=False, dry_run=True, left={"objects_conflict": 1, "rows_remaining": 1})
    assert dry == "a dry run: nothing was written, and after a run 1 conflict and 1 row remain"
    assert outcome(complete=False, dry_run=True) == "a dry run: nothing was written"
    assert outcome(complete=False, problems=["no"]) == "NOT COMPLETE"


@for_all(st.dictionaries(st.sampled_from(LEFT), st.integers(1, 10_000), min_size=1))
def test_no_class_can_be_left_without_a_word(left: dict[str, int]) -> None:
    text = outcome(left=left)
    assert text.startswith("complete, but ")
    for name, count in left.items():
        assert f"{count:,} " in text or name == "source_empty"


def test_the_outcome_is_in_the_file_beside_complete(tmp_path: Path) -> None:
    summary = Summary.start(read_settings(given(state_dir=str(tmp_path))), "run", "migrate", dry_run=False)
    assert Summary.load(tmp_path).fields["outcome"] == "NOT COMPLETE"
    summary.add(complete=True, problems=[], left={"objects_conflict": 1})
    kept = Summary.load(tmp_path)
    assert kept.fields["outcome"] == "complete, but 1 conflict remains"

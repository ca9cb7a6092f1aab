from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.planning.plan import Plan, make_plan
from rehome.stages.passes import is_last_pass, unmoved_of_slice
from rehome.stages.verify import problems

from tests.unit.config.test_settings import given


def plan_of(folder: Path, to_copy: int = 0, outdated: int = 0, present: int = 0, **changes: object) -> Plan:
    """Return a plan of so many objects in each state, with one row each."""
    with Catalog.create(folder / "catalog.duckdb", {}) as catalog:
        for kind, count in (("new", to_copy), ("old", outdated), ("same", present)):
            for number in range(count):
                suffix = f"{kind}-{number}"
                catalog.append("source_objects", [(suffix, 5, "a", "", "STANDARD", "", "", None)])
                catalog.append("reference_rows", [("avatars.path", number, f"[{number}]", suffix, suffix, True, False)])
                if kind != "new":
                    catalog.append("target_objects", [(suffix, 5, "a" if kind == "same" else "b")])
                if kind == "old":
                    catalog.append("own_copies", [(suffix,)])
        return make_plan(catalog, read_settings(given(**changes)))


def test_an_untouched_copy_of_ours_is_copied_again_where_the_source_was_overwritten(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, outdated=2)
    assert (plan.objects["outdated"], plan.objects["conflict"], plan.bytes_to_copy) == (2, 0, 10)
    assert plan.rows["to_rewrite"] == 2
    assert "2 objects were overwritten in the source" in problems(plan, read_settings(given()))[0]


def test_a_run_goes_on_in_passes_until_one_finds_nothing_or_little(tmp_path: Path) -> None:
    busy, quiet = plan_of(tmp_path, to_copy=2, outdated=1), plan_of(tmp_path, present=3)
    assert not is_last_pass(read_settings(given()), busy, 1)
    assert is_last_pass(read_settings(given()), quiet, 1)
    assert is_last_pass(read_settings(given(quiet_objects=3)), busy, 1)
    assert not is_last_pass(read_settings(given(quiet_objects=2)), busy, 1)
    assert is_last_pass(read_settings(given(max_passes=2)), busy, 2)


@pytest.mark.parametrize("setting", [{"limit": 2}, {"approved_plan": "a" * 8}])
def test_a_slice_and_an_approved_plan_are_one_pass(tmp_path: Path, setting: dict[str, Any]) -> None:
    settings = read_settings(given(**setting))
    assert is_last_pass(settings, plan_of(tmp_path, to_copy=3), 1)
    assert not settings.whole


def test_a_slice_takes_the_first_objects_and_their_rows_and_defers_the_rest(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, to_copy=3, present=2, limit=2)
    assert (plan.objects["to_copy"], plan.objects["present"], plan.objects["deferred"]) == (2, 0, 3)
    assert (plan.rows["to_rewrite"], plan.rows["deferred"]) == (2, 3)
    assert plan.bytes_to_copy == 10


def test_objects_that_rows_name_come_first_in_a_slice(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "catalog.duckdb", {}) as catalog:
        for suffix in ("a-orphan", "b-named"):
            catalog.append("source_objects", [(suffix, 5, "a", "", "STANDARD", "", "", None)])
        catalog.append("reference_rows", [("avatars.path", 0, "[0]", "v", "b-named", True, False)])
        make_plan(catalog, read_settings(given(limit=1)))
        assert dict(catalog.query("SELECT suffix, class FROM objects")) == {
            "a-orphan": "deferred",
            "b-named": "to_copy",
        }


def test_a_row_whose_object_is_only_in_the_target_is_not_part_of_a_slice(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "catalog.duckdb", {}) as catalog:
        catalog.append("target_objects", [("gone", 5, "a")])
        catalog.append("reference_rows", [("avatars.path", 0, "[0]", "v", "gone", True, False)])
        plan = make_plan(catalog, read_settings(given(limit=1)))
    assert plan.rows["deferred"] == 1


def test_what_lies_beyond_a_slice_is_no_problem_but_what_of_it_was_not_moved_is(tmp_path: Path) -> None:
    settings = read_settings(given(limit=2))
    assert problems(plan_of(tmp_path, to_copy=3, outdated=1), settings) == []
    counts = {"objects_failed": 1, "objects_changed": 0, "objects_found_archived": 0, "rows_refused": 0}
    assert unmoved_of_slice(settings, counts) == ["1 objects of the slice could not be copied [RH-602]"]
    assert unmoved_of_slice(read_settings(given()), counts) == []

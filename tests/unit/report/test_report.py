from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.planning.plan import make_plan
from rehome.report.fields import KEPT_COPIES, KEPT_OBJECTS, SummaryFields
from rehome.report.lines import plan_lines
from rehome.report.lists import OUTCOME_LISTS, PLAN_LISTS, failures, write_lists
from rehome.report.summary import Summary
from rehome.stages.copy_objects import CopyCounts
from rehome.stages.delete_objects import DeleteCounts
from rehome.stages.restore_archived import RestoreCounts
from rehome.stages.rewrite_rows import RewriteCounts
from rehome.stages.rollback_rows import RollbackCounts
from rehome.stages.verify import Verdict
from rehome.stages.verify_rows import RowsCheck
from rehome.stages.verify_sample import SampleCounts

from tests.unit.config.test_settings import given


def catalog_with_leftovers(folder: Path) -> tuple[Catalog, Settings]:
    settings = read_settings(given(state_dir=str(folder)))
    catalog = Catalog.create(folder / "catalog.duckdb", {})
    catalog.append(
        "source_objects",
        [("a\n\"b'é😀.png", 1, "a", "", "STANDARD", "", "", None), ("cold.png", 2, "b", "", "GLACIER", "", "", None)],
    )
    catalog.append("target_objects", [("a\n\"b'é😀.png", 3, "c")])
    catalog.append("reference_rows", [("avatars.path", 0, '[1, "x"]', "image/gone.png", "gone.png", True, False)])
    catalog.append("outcomes", [("cold.png", 2, "b", "failed", None, None, 3, "AccessDenied", "no", 0.5, 0)])
    make_plan(catalog, settings)
    return catalog, settings


def test_each_class_that_needs_a_human_is_listed_in_full(tmp_path: Path) -> None:
    catalog, settings = catalog_with_leftovers(tmp_path)
    lists = write_lists(catalog, settings, PLAN_LISTS | OUTCOME_LISTS)
    assert {name: facts["count"] for name, facts in lists.items()} == {
        "objects-conflict": 1,
        "objects-archived": 1,
        "objects-failed": 1,
        "rows-dangling": 1,
    }
    (conflict,) = [json.loads(line) for line in Path(lists["objects-conflict"]["file"]).read_text().splitlines()]
    assert conflict["key"] == "image/a\n\"b'é😀.png"
    assert conflict["target_key"] == "avatar/a\n\"b'é😀.png"
    (row,) = [json.loads(line) for line in Path(lists["rows-dangling"]["file"]).read_text().splitlines()]
    assert row == {"reference": "avatars.path", "key": [1, "x"], "value": "image/gone.png"}


def test_a_result_names_a_list_by_file_count_and_digest(tmp_path: Path) -> None:
    catalog, settings = catalog_with_leftovers(tmp_path)
    for facts in write_lists(catalog, settings, PLAN_LISTS).values():
        assert facts["sha256"] == hashlib.sha256(Path(facts["file"]).read_bytes()).hexdigest()


def test_a_list_that_is_empty_now_is_taken_away(tmp_path: Path) -> None:
    catalog, settings = catalog_with_leftovers(tmp_path)
    (conflicts,) = [facts for name, facts in write_lists(catalog, settings, PLAN_LISTS).items() if "conflict" in name]
    catalog.run("DELETE FROM target_objects")
    make_plan(catalog, settings)
    assert "objects-conflict" not in write_lists(catalog, settings, PLAN_LISTS)
    assert not Path(conflicts["file"]).exists()


def test_a_summary_has_every_count_from_its_beginning_and_is_not_complete(tmp_path: Path) -> None:
    Summary.start(read_settings(given(state_dir=str(tmp_path))), "run", "migrate", dry_run=False)
    fields = Summary.load(tmp_path).fields
    promised = (
        "objects_to_copy objects_copied objects_present objects_conflict objects_failed bytes_copied rows_to_rewrite"
        " rows_rewritten rows_done rows_dangling rows_changed_by_app rows_remaining plan_sha256 elapsed_s"
    )
    assert set(promised.split()) <= fields.keys()
    assert fields["complete"] is False
    assert fields["problems"]


def test_every_count_of_a_stage_is_a_field_of_the_summary(tmp_path: Path) -> None:
    catalog, settings = catalog_with_leftovers(tmp_path)
    plan = make_plan(catalog, settings)
    verdict = Verdict(plan, SampleCounts(), RowsCheck(), [], complete=True, left={})
    counted = [plan, verdict, CopyCounts(), RestoreCounts(), RewriteCounts(), RollbackCounts()]
    names = {name for stage in counted for name in stage.counts()}
    names |= DeleteCounts().named("objects", "retire", KEPT_OBJECTS).keys()
    names |= DeleteCounts().named("copies", "remove", KEPT_COPIES).keys()
    assert names <= SummaryFields.__annotations__.keys()


def test_what_a_stage_adds_is_on_disk_at_once(tmp_path: Path) -> None:
    Summary.start(read_settings(given(state_dir=str(tmp_path))), "run", "migrate", dry_run=False)
    Summary.load(tmp_path).add(objects_copied=7)
    assert Summary.load(tmp_path).fields["objects_copied"] == 7


def test_a_verbs_summary_outlives_the_other_verbs_that_follow(tmp_path: Path) -> None:
    settings = read_settings(given(state_dir=str(tmp_path)))
    Summary.start(settings, "one", "migrate", dry_run=False).add(rows_rewritten=7)
    Summary.start(settings, "two", "migrate-check", dry_run=True).add(rows_to_rewrite=3)
    assert Summary.load(tmp_path).fields["verb"] == "migrate-check"
    kept = json.loads((tmp_path / "summary-migrate.json").read_text())
    assert (kept["verb"], kept["rows_rewritten"]) == ("migrate", 7)
    assert json.loads((tmp_path / "summary-migrate-check.json").read_text())["rows_to_rewrite"] == 3


def test_the_lines_name_what_is_there_and_leave_out_what_is_not(tmp_path: Path) -> None:
    catalog, settings = catalog_with_leftovers(tmp_path)
    plan = make_plan(catalog, settings)
    assert plan_lines(plan.counts()) == [
        "seen     2 objects and 1 rows under the map; 0 objects and 0 rows are not",
        "objects  0 to copy (0 bytes), 0 present",
        "         1 conflict, 1 archived",
        "         of these 2 orphan",
        "rows     0 to rewrite, 0 done",
        "         1 dangling",
    ]


def test_the_lines_tell_how_objects_are_copied_why_some_are_not_and_that_a_run_was_a_slice(tmp_path: Path) -> None:
    catalog, _ = catalog_with_leftovers(tmp_path)
    keys = tmp_path / "keys.jsonl"
    keys.write_text('{"key": "image/avatar-1.png"}\n')
    settings = read_settings(given(only_keys=str(keys), state_dir=str(tmp_path)))
    summary = Summary.start(settings, "run", "migrate", dry_run=False)
    subjects = ("only ", "method ", "failed ")
    assert [line for line in summary.lines() if line.startswith(subjects)] == [
        "only     1 keys and their rows (rehome_only_keys)"
    ]
    summary.add(objects_copied=1, objects_failed=1, copy_method="stream", failures=failures(catalog))
    assert [line for line in summary.lines() if line.startswith(subjects)][1:] == [
        "method   stream: objects are read here and written there",
        "failed   1 by AccessDenied",
    ]


def test_a_rollbacks_lines_are_about_rows_and_a_verifications_say_how_many_it_checked(tmp_path: Path) -> None:
    settings = read_settings(given(state_dir=str(tmp_path)))
    summary = Summary.start(settings, "run", "rollback", dry_run=False, kind="rollback")
    summary.add(rows_journalled=1003, rows_restored=1000, rows_changed_since=2, rows_kept=1, problems=["one is kept"])
    assert summary.lines()[1:6] == [
        "before   1,003 rows were as the migration had rewritten them",
        "rows     1,000 restored, 0 restored before",
        "         2 changed since, 1 kept",
        "after    1 rows are as the migration had rewritten them",
        "problem  one is kept",
    ]
    dry = Summary.start(settings, "run", "rollback-check", dry_run=True, kind="rollback")
    dry.add(rows_to_restore=5, since="2026-01-31T14:30:00+00:00", problems=[])
    assert dry.lines()[1:4] == [
        "before   0 rows were as the migration had rewritten them since 2026-01-31T14:30:00+00:00",
        "rows     5 would be restored, 0 restored before",
        f"outcome  a dry run: nothing was written ({dry.fields['elapsed_s']:.1f} s)",
    ]
    verified = Summary.start(settings, "run", "verify", dry_run=True)
    assert not [line for line in verified.lines() if line.startswith("journal")]
    verified.add(objects_present=7, rows_done=9, objects_sampled=2)
    assert verified.lines()[2:5] == [
        "objects  0 to copy (0 bytes), 7 present",
        "         of these 2 sampled",
        "rows     0 to rewrite, 9 done",
    ]
    verified.add(rows_checked=0, rows_wrong=0, rows_without_object=0)
    unseen = "none was rewritten, all were rolled back, or this user cannot see it"
    assert f"journal  0 rows checked: {unseen}" in verified.lines()
    verified.add(rows_checked=1000)
    assert "journal  1,000 rows checked: all as they were rewritten" in verified.lines()
    verified.add(rows_wrong=3, rows_gone=1)
    assert "journal  1,000 rows checked: 3 wrong, 1 gone" in verified.lines()

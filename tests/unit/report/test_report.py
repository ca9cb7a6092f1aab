from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.planning.plan import make_plan
from rehome.report.fields import KEPT_COPIES, KEPT_OBJECTS, SummaryFields
from rehome.report.lists import OUTCOME_LISTS, PLAN_LISTS, write_lists
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

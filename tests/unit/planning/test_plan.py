from __future__ import annotations

import random
from pathlib import Path

import duckdb
import pytest
from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.planning.plan import Plan, make_plan, refusals
from rehome.stages.verify import problems

from tests.unit.config.test_settings import given

# suffix, size, etag, last modified, storage class, restore, tier, why unroutable
SOURCE = [
    ("copy", 1, "a", "", "STANDARD", "", "", None),
    ("same", 1, "a", "", "STANDARD", "", "", None),
    ("same-by-comparison", 1, "a-2", "", "STANDARD", "", "", None),
    ("other-bytes", 1, "a", "", "STANDARD", "", "", None),
    ("other-size", 1, "a", "", "STANDARD", "", "", None),
    ("cold", 1, "a", "", "DEEP_ARCHIVE", "in_progress", "", None),
    ("cold-tier", 1, "a", "", "INTELLIGENT_TIERING", "", "ARCHIVE_ACCESS", None),
    ("thawed", 1, "a", "", "GLACIER", "restored", "", None),
    ("cold-but-there", 1, "a", "", "GLACIER", "", "", None),
    ("weakly-proven", 1, "a-2", "", "STANDARD", "", "", None),
    ("too-long", 1, "a", "", "STANDARD", "", "", "because"),
    ("orphan", 1, "a", "", "STANDARD", "", "", None),
]
TARGET = [
    ("same", 1, "a"),
    ("same-by-comparison", 1, "b"),
    ("other-bytes", 1, "b"),
    ("other-size", 2, "a"),
    ("cold-but-there", 1, "a"),
    ("weakly-proven", 1, "b"),
    ("only-target", 1, "a"),
]
COMPARED = [("same-by-comparison", "checksum"), ("other-bytes", None), ("weakly-proven", "size")]
# suffix, is old, overflows → class
ROWS = {
    ("copy", True, False): "to_rewrite",
    ("same", True, False): "to_rewrite",
    ("same-by-comparison", True, False): "to_rewrite",
    ("only-target", True, False): "to_rewrite",
    ("other-bytes", True, False): "blocked",
    ("cold", True, False): "blocked",
    ("too-long", True, False): "blocked",
    ("cold-but-there", True, True): "overflowing",
    ("nowhere", True, False): "dangling",
    ("nowhere-too", False, False): "dangling",
    ("same", False, False): "done",
    ("only-target", False, False): "done",
    ("copy", False, False): "done",
    ("other-size", False, False): "done",
}


def planned(folder: Path, order: int = 0, **changes: object) -> tuple[Plan, Catalog, Settings]:
    settings = read_settings(given(**changes))
    shuffle = random.Random(order).sample
    catalog = Catalog.create(folder / f"{order}.duckdb", {})
    catalog.append("source_objects", shuffle(SOURCE, len(SOURCE)))
    catalog.append("target_objects", shuffle(TARGET, len(TARGET)))
    catalog.append("compared", COMPARED)
    rows = [
        ("avatars.path", n, f"[{n}]", f"value-{n}", suffix, is_old, overflows)
        for n, (suffix, is_old, overflows) in enumerate(ROWS)
    ]
    catalog.append("reference_rows", shuffle(rows, len(rows)))
    catalog.note("source_foreign", 7)
    catalog.note("rows_foreign", 9)
    return make_plan(catalog, settings), catalog, settings


def test_every_object_has_one_class(tmp_path: Path) -> None:
    plan, catalog, _ = planned(tmp_path)
    assert dict(catalog.query("SELECT suffix, class FROM objects")) == {
        "copy": "to_copy",
        "same": "present",
        "same-by-comparison": "present",
        "other-bytes": "conflict",
        "other-size": "conflict",
        "cold": "archived",
        "cold-tier": "archived",
        "thawed": "to_copy",
        "weakly-proven": "present",
        "cold-but-there": "present",
        "too-long": "unroutable",
        "orphan": "to_copy",
    }
    assert sum(plan.objects.values()) == len(SOURCE) + 7


def test_every_row_has_one_class(tmp_path: Path) -> None:
    plan, catalog, _ = planned(tmp_path)
    found = dict(catalog.query("SELECT ordinal, class FROM planned_rows"))
    assert [found[n] for n in range(len(ROWS))] == list(ROWS.values())
    assert sum(plan.rows.values()) == len(ROWS) + 9


def test_counts_that_are_no_class_are_right_too(tmp_path: Path) -> None:
    plan, _, _ = planned(tmp_path)
    assert plan.orphans == 4
    assert plan.weak == 1
    assert plan.bytes_to_copy == 3
    assert plan.rows_remaining == sum(is_old for _, is_old, _ in ROWS)


def test_under_overwrite_conflicts_are_copied_and_their_rows_rewritten(tmp_path: Path) -> None:
    plan, _, _ = planned(tmp_path, on_conflict="overwrite")
    assert plan.bytes_to_copy == 5
    assert plan.rows["blocked"] == 2
    assert plan.objects["conflict"] == 2


def test_the_digest_does_not_depend_on_the_order_of_things(tmp_path: Path) -> None:
    assert planned(tmp_path, 1)[0].sha256 == planned(tmp_path, 2)[0].sha256


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE source_objects SET etag = 'z' WHERE suffix = 'copy'",
        "UPDATE target_objects SET etag = 'z' WHERE suffix = 'other-bytes'",
        "DELETE FROM source_objects WHERE suffix = 'orphan'",
        "UPDATE reference_rows SET value = 'z' WHERE ordinal = 0",
        "INSERT INTO reference_rows VALUES ('avatars.path', 99, '[99]', 'v', 'copy', true, false)",
    ],
)
def test_the_digest_knows_of_every_change_that_matters(tmp_path: Path, change: str) -> None:
    plan, catalog, settings = planned(tmp_path)
    catalog.run(change)
    assert make_plan(catalog, settings).sha256 != plan.sha256


def test_the_digest_does_not_know_what_is_done_already(tmp_path: Path) -> None:
    plan, catalog, settings = planned(tmp_path)
    catalog.run("INSERT INTO source_objects VALUES ('done', 1, 'a', '', 'STANDARD', '', '', NULL)")
    catalog.run("INSERT INTO target_objects VALUES ('done', 1, 'a')")
    assert make_plan(catalog, settings).sha256 == plan.sha256


def test_a_policy_of_fail_refuses_and_names_itself_the_count_and_the_list(tmp_path: Path) -> None:
    plan, _, _ = planned(tmp_path)
    texts = [str(finding) for finding in refusals(plan, "fail", "fail")]
    assert len(texts) == 4
    assert "rehome_on_conflict (fail): 2 target objects" in texts[0]
    assert "rehome_on_dangling (fail): 2 rows" in texts[1]
    assert "rows-overflowing.jsonl" in texts[2]
    assert "objects-unroutable.jsonl" in texts[3]


def test_the_other_policies_refuse_only_what_cannot_be_done(tmp_path: Path) -> None:
    plan, _, _ = planned(tmp_path)
    assert len(refusals(plan, "skip", "keep")) == 2


def test_a_verdict_names_all_that_is_left(tmp_path: Path) -> None:
    plan, _, settings = planned(tmp_path)
    assert len(problems(plan, settings)) == 8


def test_what_a_policy_keeps_is_no_problem(tmp_path: Path) -> None:
    plan, _, settings = planned(tmp_path, on_conflict="skip", on_dangling="keep")
    assert not any("dangling" in text or "other content" in text for text in problems(plan, settings))


@pytest.mark.parametrize("blank", ["", "0" * 32 + "-1"])
def test_an_etag_that_every_object_may_have_makes_none_present(tmp_path: Path, blank: str) -> None:
    settings = read_settings(given())
    with Catalog.create(tmp_path / "catalog.duckdb", {}) as catalog:
        for suffix in ("proven", "unproven"):
            catalog.append("source_objects", [(suffix, 1, blank, "", "STANDARD", "", "", None)])
            catalog.append("target_objects", [(suffix, 1, blank)])
        catalog.append("compared", [("proven", "bytes"), ("unproven", None)])
        make_plan(catalog, settings)
        found = dict(catalog.query("SELECT suffix, class FROM objects"))
    assert found == {"proven": "present", "unproven": "conflict"}


MANY = 300_000
"""More than two of DuckDB's row groups."""


def many(tmp_path: Path, *changes: str) -> Catalog:
    """Return a catalog of `MANY` objects and rows, some of which are gone again by `changes`."""
    catalog = Catalog.create(tmp_path / "many.duckdb", {})
    numbers = f"(SELECT i, format('{{}}.png', i) AS suffix FROM range({MANY}) n(i))"
    catalog.run(f"INSERT INTO source_objects SELECT suffix, i, 'e' || i, '', 'STANDARD', '', '', NULL FROM {numbers}")
    # the target's half in another order, every third with other content
    catalog.run(
        f"INSERT INTO target_objects SELECT suffix, i, if(i % 3 = 0, 'other', 'e' || i) FROM {numbers} "
        "WHERE i % 2 = 0 ORDER BY hash(i)"
    )
    catalog.run(
        "INSERT INTO reference_rows SELECT 'avatars.path', i, format('[{}]', i), suffix, suffix, true, false "
        f"FROM {numbers} ORDER BY hash(i + 1)"
    )
    for change in changes:
        catalog.run(change)
    return catalog


RIGHT = "CASE WHEN size % 2 <> 0 THEN 'to_copy' WHEN size % 3 = 0 THEN 'conflict' ELSE 'present' END"
WRONG_OBJECTS = f"""
SELECT * FROM objects WHERE class <> {RIGHT} OR target_etag IS DISTINCT FROM
    CASE WHEN size % 2 <> 0 THEN NULL WHEN size % 3 = 0 THEN 'other' ELSE etag END
    OR target_size IS DISTINCT FROM CASE WHEN size % 2 = 0 THEN size END OR suffix <> size || '.png'
"""
WRONG_ROWS = f"""
SELECT * FROM planned_rows WHERE object_class <> {RIGHT.replace("size", "ordinal")} OR suffix <> ordinal || '.png'
"""
GONE = (
    "DELETE FROM source_objects WHERE size BETWEEN 100000 AND 250000 OR size % 7 = 3",
    "DELETE FROM reference_rows WHERE ordinal BETWEEN 100000 AND 250000 OR ordinal % 7 = 3",
)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("changes", [(), GONE], ids=["all", "gaps"])
def test_each_of_many_has_its_own_class(tmp_path: Path, changes: tuple[str, ...], threads: int) -> None:
    with many(tmp_path, f"SET threads = {threads}", *changes) as catalog:
        make_plan(catalog, read_settings(given()))
        for _ in range(2):
            assert catalog.count("FROM objects") == catalog.count("FROM source_objects")
            assert catalog.count("FROM planned_rows") == catalog.count("FROM reference_rows")
            assert catalog.query(WRONG_OBJECTS) == catalog.query(WRONG_ROWS) == []
            catalog.run("CHECKPOINT")


def test_nothing_that_was_listed_or_read_is_written_again(tmp_path: Path) -> None:
    with many(tmp_path) as catalog:
        make_plan(catalog, read_settings(given()))
        columns = catalog.query(
            "SELECT column_name FROM duckdb_columns() WHERE table_name IN ('object_verdicts', 'row_verdicts')"
        )
        assert not {"suffix", "key", "value", "etag", "size"} & {name for (name,) in columns}
        assert catalog.count("FROM object_verdicts WHERE other_etag IS NOT NULL") == MANY / 6


@pytest.mark.parametrize("table", ["source_objects", "target_objects"])
def test_a_key_that_a_bucket_lists_twice_is_planned_once(tmp_path: Path, table: str) -> None:
    with many(tmp_path, f"INSERT INTO {table} FROM {table} WHERE size < 1000") as catalog:
        plan = make_plan(catalog, read_settings(given()))
        assert (plan.objects_seen, plan.rows_seen) == (MANY, MANY)
        assert catalog.query(WRONG_OBJECTS) == catalog.query(WRONG_ROWS) == []


def test_an_object_that_joined_after_the_plan_is_no_object_without_a_class(tmp_path: Path) -> None:
    with many(tmp_path) as catalog:
        make_plan(catalog, read_settings(given()))
        catalog.run("INSERT INTO source_objects (suffix) VALUES ('late.png')")
        with pytest.raises(duckdb.Error, match="an object without a class"):
            catalog.query("SELECT class, count(*) FROM objects GROUP BY class")

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rehome.catalog.catalog import Catalog
from rehome.config.settings import Settings
from rehome.planning.plan import make_plan
from rehome.report.lists import LISTS_FOLDER, PLAN_LISTS, write_lists
from rehome.report.samples import (
    LONGEST,
    added_proofs,
    class_facts,
    counts_by_reference,
    proofs_of_copies,
    proofs_of_present,
    samples_of_lists,
    samples_of_plan,
    shown,
)

from tests.unit.report.facts_of_runs import settings_in

TWO = [{"table": "avatars", "column": "path"}, {"table": "posts", "column": "image", "form": "/key"}]


def planned(folder: Path, **changes: Any) -> tuple[Catalog, Settings]:
    """A plan of 30 objects and rows of two columns, one conflict, one object without a row, and one dangling row."""
    settings = settings_in(folder, references=TWO, **changes)
    catalog = Catalog.create(folder / "catalog.duckdb", {})
    names = [f"avatar-{number:02}.png" for number in range(30)]
    source = [(name, 10, f"e{name}", "", "STANDARD", "", "", None) for name in names]
    source.append(("avatar-alone.png", 5, "alone", "", "STANDARD", "", "", None))
    catalog.append("source_objects", source)
    catalog.append("target_objects", [(names[0], 10, f"e{names[0]}"), (names[1], 11, "other")])
    rows = [("avatars.path", n, f"[{n}]", f"image/{name}", name, True, False) for n, name in enumerate(names)]
    rows += [("posts.image", n, f'["p", {n}]', f"/image/{name}", name, True, False) for n, name in enumerate(names)]
    rows.append(("avatars.path", 99, "[99]", "image/gone.png", "gone.png", True, False))
    catalog.append("reference_rows", rows)
    catalog.append("foreign_samples", [("object", "banner.jpg"), ("row", "https://")])
    catalog.note("source_foreign", 7)
    catalog.note("rows_foreign", 9)
    make_plan(catalog, settings)
    return catalog, settings


def test_each_class_has_its_count_and_objects_their_bytes(tmp_path: Path) -> None:
    catalog, _ = planned(tmp_path)
    found = {(one["kind"], one["name"]): (one["count"], one["bytes"]) for one in class_facts(catalog)}
    assert found == {
        ("objects", "to_copy"): (29, 285),
        ("objects", "present"): (1, 10),
        ("objects", "conflict"): (1, 10),
        ("objects", "foreign"): (7, None),
        ("rows", "to_rewrite"): (58, None),
        ("rows", "blocked"): (2, None),
        ("rows", "dangling"): (1, None),
        ("rows", "foreign"): (9, None),
    }
    assert counts_by_reference(catalog)[1] == {"column": "posts.image", "counts": {"blocked": 1, "to_rewrite": 29}}


def test_samples_show_keys_and_rows_before_and_after_of_every_column(tmp_path: Path) -> None:
    catalog, settings = planned(tmp_path, report_samples=4)
    found = {(one["kind"], one["name"]): one for one in samples_of_plan(catalog, settings)}
    to_copy = found["objects", "to_copy"]
    assert to_copy["count"] == 29
    assert to_copy["shown"][0] == {
        "where": "",
        "before": "image/avatar-02.png",
        "after": "avatar/avatar-02.png",
        "note": "10 bytes",
    }
    assert [one["before"] for one in found["objects", "orphan"]["shown"]] == ["image/avatar-alone.png"]
    rows = found["rows", "to_rewrite"]
    assert rows["count"] == 58
    assert [one["where"] for one in rows["shown"]] == [
        "avatars.path 0",
        "avatars.path 2",
        "posts.image p, 0",
        "posts.image p, 2",
    ]
    assert rows["shown"][2]["after"] == "/avatar/avatar-00.png"
    assert found["objects", "foreign"]["shown"][0]["before"] == "image/banner.jpg"
    assert all(len(one["shown"]) <= 4 for one in found.values())


def test_samples_can_be_left_out(tmp_path: Path) -> None:
    catalog, settings = planned(tmp_path, report_samples=0)
    assert samples_of_plan(catalog, settings) == []
    assert samples_of_lists(settings, write_lists(catalog, settings, PLAN_LISTS)) == []


def test_each_list_is_shown_by_its_first_lines(tmp_path: Path) -> None:
    catalog, settings = planned(tmp_path)
    found = {one["name"]: one for one in samples_of_lists(settings, write_lists(catalog, settings, PLAN_LISTS))}
    assert found.keys() == {"objects-conflict", "rows-dangling", "rows-blocked"}
    (conflict,) = found["objects-conflict"]["shown"]
    assert (conflict["before"], conflict["after"]) == ("image/avatar-01.png", "avatar/avatar-01.png")
    assert conflict["note"] == "size 10, etag eavatar-01.png, target size 11, target etag other"
    (dangling,) = found["rows-dangling"]["shown"]
    assert (dangling["where"], dangling["before"], dangling["after"]) == ("avatars.path 99", "image/gone.png", "")


def test_a_list_of_any_length_is_read_no_further_than_it_is_shown(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    (tmp_path / LISTS_FOLDER).mkdir()
    lines = [json.dumps({"key": f"image/{n}", "error": "AccessDenied"}) for n in range(10)]
    (tmp_path / LISTS_FOLDER / "objects-failed.jsonl").write_text("\n".join([*lines, "no JSON: never read"]))
    (found,) = samples_of_lists(settings, {"objects-failed": {"file": "", "count": 11, "sha256": ""}})
    assert len(found["shown"]) == 10


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("image/a?b.png", "image/a?b.png"),
        ("https://cdn/a.png?X-Amz-Signature=deadbeef&x=1#top", "https://cdn/a.png?…#top"),
        ("see https://me:hush@host/a.png?token=t and more", "see https://…@host/a.png?… and more"),
    ],
)
def test_what_may_be_secret_in_a_url_is_left_out(value: str, text: str) -> None:
    assert shown(value) == text


def test_a_long_value_is_shortened_in_its_middle() -> None:
    text = shown("a" * 50_000 + "end")
    assert len(text) < LONGEST + 40
    assert text.endswith("end (50,003 characters)")


def test_proofs_are_counted_by_their_evidence_over_all_passes(tmp_path: Path) -> None:
    catalog, _ = planned(tmp_path)
    outcome = ("e", "copied", "t", "etag", 1, None, None, 0.1, 0)
    catalog.append("outcomes", [("a", 5, *outcome), ("b", 7, *outcome)])
    catalog.append("outcomes", [("c", 1, "e", "copied", "t", "size", 1, None, None, 0.1, 0)])
    catalog.append("outcomes", [("d", 1, "e", "failed", None, None, 1, "SlowDown", "", 0.1, 0)])
    catalog.append("outcomes", [("e", 1, "e", "present", "t", "bytes", 0, None, None, 0.1, 0)])
    first = proofs_of_copies(catalog)
    assert first == [
        {"evidence": "etag", "objects": 2, "bytes": 12},
        {"evidence": "size", "objects": 1, "bytes": 1},
    ]
    assert added_proofs(first, [{"evidence": "etag", "objects": 1, "bytes": 1}])[0]["objects"] == 3
    assert proofs_of_present(catalog) == [{"evidence": "etag", "objects": 1, "bytes": 10}]

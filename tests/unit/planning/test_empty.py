"""Nothing under the map: the refusal names what keeps everything out, and what is there instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.planning.empty import nothing_under_map
from rehome.planning.plan import make_plan

from tests.unit.config.test_settings import given


def found(folder: Path, suffixes: list[str], rows: list[str], **changes: Any) -> list[str]:
    """Return the findings where these source objects and rows, none under the map, are all there is."""
    settings = read_settings(given(state_dir=str(folder), **changes))
    assert not any(map(settings.keymap.covers, suffixes))
    with Catalog.create(folder / "catalog.duckdb", {}) as catalog:
        catalog.append("foreign_samples", [("object", suffix) for suffix in sorted(suffixes)])
        catalog.append("foreign_samples", [("row", row) for row in rows])
        catalog.note("source_foreign", len(suffixes))
        catalog.note("rows_foreign", len(rows))
        plan = make_plan(catalog, settings)
        return [str(finding) for finding in nothing_under_map(catalog, settings, plan)]


AVATARS = [f"avatar-{number}.png" for number in range(1, 4)]


@pytest.mark.parametrize(
    ("changes", "suffixes", "begins"),
    [
        (
            {"include": ["avatr-*.png"]},
            ["a.png", *AVATARS],
            "rehome_include (avatr-*.png): nothing is under the map: 4 objects under s3://legacy-s3/image/ match none "
            "of these globs; the first: image/a.png; the closest: image/avatar-3.png",
        ),
        (
            {"include": ["*.jpg", "*.gif"]},
            AVATARS,
            "rehome_include (*.jpg, *.gif): nothing is under the map: 3 objects under s3://legacy-s3/image/ match none",
        ),
        (
            {"include": ["Avatar-*.png"]},
            AVATARS,
            "rehome_include (Avatar-*.png): nothing is under the map: 3 objects",
        ),
        (
            {"exclude": ["avatar*"]},
            AVATARS,
            "rehome_exclude (avatar*): nothing is under the map: 3 objects under s3://legacy-s3/image/ match one",
        ),
        (
            {"source__prefix": "imge/"},
            [],
            "rehome_source.prefix (imge/): nothing is under the map: there is no object under s3://legacy-s3/imge/, "
            "and none of 2 rows holds a key of it; the first begins with image/",
        ),
    ],
)
def test_the_setting_that_keeps_everything_out_is_named(
    tmp_path: Path, changes: dict[str, Any], suffixes: list[str], begins: str
) -> None:
    (text,) = found(tmp_path, suffixes, ["image/", "image/"], **changes)
    assert text.startswith(begins)


def test_a_list_of_keys_that_are_not_there_is_named(tmp_path: Path) -> None:
    keys = tmp_path / "keys.jsonl"
    keys.write_text(json.dumps({"key": "image/avatar-12.png"}))
    (text,) = found(tmp_path, AVATARS, [], only_keys=str(keys))
    assert text.startswith(
        "rehome_only_keys (1 keys): nothing is under the map: 3 objects under s3://legacy-s3/image/ are not among its "
        "keys; the first: image/avatar-1.png; the closest: image/avatar-2.png, and there is no row"
    )


def test_a_condition_on_rows_is_named_with_it_and_an_empty_source_is_told(tmp_path: Path) -> None:
    references = [{"table": "avatars", "column": "path", "form": "key", "where": "id < 0"}]
    (text,) = found(tmp_path, [], [], references=references)
    assert "rehome_references[0].where (id < 0) selects" in text
    assert "there is no object under s3://legacy-s3/image/, and there is no row" in text
    assert "if there is nothing to move indeed, no migration is needed" in text


@pytest.mark.parametrize("there", ["source_objects", "target_objects", "reference_rows"])
def test_anything_under_the_map_is_enough(tmp_path: Path, there: str) -> None:
    settings = read_settings(given(state_dir=str(tmp_path)))
    rows = {
        "source_objects": ("avatar-1.png", 1, "a", "", "STANDARD", "", "", None),
        "target_objects": ("avatar-1.png", 1, "a"),
        "reference_rows": ("avatars.path", 0, "[1]", "avatar/avatar-1.png", "avatar-1.png", False, False),
    }
    with Catalog.create(tmp_path / "catalog.duckdb", {}) as catalog:
        catalog.append(there, [rows[there]])
        assert nothing_under_map(catalog, settings, make_plan(catalog, settings)) == []

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rehome.catalog.catalog import Catalog
from rehome.codes import Code
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.errors import RefusedError, RehomeError
from rehome.planning import approval
from rehome.planning.approval import FOLDER, approved_digest, is_kept, objections, save_plan
from rehome.planning.plan import DECIDED, Plan, make_plan

from tests.unit.config.test_settings import given


def planned(folder: Path, *changes: str, **settings: Any) -> tuple[Catalog, Settings, Plan]:
    """A catalog of three objects and their rows, after `changes`."""
    made = read_settings(given(state_dir=str(folder), **settings))
    catalog = Catalog.create(folder / "catalog.duckdb", {})
    for number in range(3):
        suffix = f"{number}.png"
        catalog.append("source_objects", [(suffix, 5, f"e{number}", "", "STANDARD", "", "", None)])
        catalog.append("reference_rows", [("avatars.path", number, f"[{number}]", suffix, suffix, True, False)])
    for change in changes:
        catalog.run(change)
    return catalog, made, make_plan(catalog, made)


def approved(folder: Path, **settings: Any) -> str:
    catalog, made, plan = planned(folder, **settings)
    with catalog:
        save_plan(catalog, made, plan)
    return plan.sha256


def objection_texts(folder: Path, *changes: str, **settings: Any) -> str:
    catalog, made, plan = planned(folder, *changes, **settings)
    with catalog:
        return " ".join(str(finding) for finding in objections(catalog, made, plan))


COPIED = "INSERT INTO target_objects VALUES ('0.png', 5, 'e0')"
REWRITTEN = "UPDATE reference_rows SET is_old = false WHERE ordinal = 0"


@pytest.mark.parametrize(
    "changes", [(), (COPIED,), (COPIED, REWRITTEN), ("DELETE FROM reference_rows WHERE ordinal = 2",)]
)
def test_what_was_approved_or_is_left_of_it_may_run(tmp_path: Path, changes: tuple[str, ...]) -> None:
    digest = approved(tmp_path)
    assert objection_texts(tmp_path, *changes, approved_plan=digest) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "INSERT INTO source_objects VALUES ('9.png', 5, 'e', '', 'STANDARD', '', '', NULL)",
            "1 objects are new or have changed since, such as 9.png (to copy)",
        ),
        ("UPDATE source_objects SET etag = 'z' WHERE suffix = '1.png'", "1 objects are new or have changed"),
        ("INSERT INTO target_objects VALUES ('1.png', 5, 'other')", "such as 1.png (conflict)"),
        ("UPDATE reference_rows SET value = 'z' WHERE ordinal = 1", "1 rows are new or have changed since"),
        ("DELETE FROM source_objects WHERE suffix = '1.png'", "such as avatars.path [1] (dangling)"),
        ("UPDATE source_objects SET etag = 'z'; UPDATE reference_rows SET value = 'z'", "3 objects are new or have"),
    ],
)
def test_what_was_not_approved_is_refused_and_told(tmp_path: Path, change: str, words: str) -> None:
    digest = approved(tmp_path)
    text = objection_texts(tmp_path, change, approved_plan=digest)
    assert f"approved_plan ({digest}): is not the plan that would run now" in text
    assert words in text
    assert "playbooks/plan.yml" in text


@pytest.mark.parametrize(
    ("other", "differing"),
    [
        ({"acl": "copy"}, "acl was none, and is copy"),
        ({"storage_class": "GLACIER"}, "storage_class was keep, and is GLACIER"),
        ({"limit": 2}, "limit was None, and is 2"),
    ],
)
def test_a_plan_that_was_approved_under_other_policies_is_refused_with_what_differs(
    tmp_path: Path, other: dict[str, Any], differing: str
) -> None:
    digest = approved(tmp_path)
    told = objection_texts(tmp_path, approved_plan=digest, **other)
    assert "it was made with other settings" in told
    assert differing in told


SQLITE = {"engine": "sqlite", "path": "/srv/app.db"}


@pytest.mark.parametrize(
    "other",
    [
        {"name": "other"},
        {"exclude": ["x*"]},
        {"references": [{"table": "other", "column": "path"}]},
        {"source": given()["source"] | {"prefix": "img/"}},
        {"target": given()["target"] | {"bucket": "staging-s3"}},
        {"target": given()["target"] | {"endpoint_url": "https://minio.staging.example.com"}},
        {"database": given()["database"] | {"host": "db.staging"}},
        {"database": given()["database"] | {"name": "app_staging"}},
        {"database": given()["database"] | {"port": 3307}},
        {"database": SQLITE},
    ],
)
def test_a_plan_of_another_environment_is_refused_by_its_digest_alone(tmp_path: Path, other: dict[str, Any]) -> None:
    digest = approved(tmp_path)
    with pytest.raises(RefusedError, match=rf"approved_plan \({digest}\): is a plan of another environment, or of ot"):
        read_settings(given(approved_plan=digest, **other))
    assert approved(tmp_path, **other)[-8:] != digest[-8:]
    told = objection_texts(tmp_path, approved_plan=digest[:9], **other)
    assert "it is of " in told or "is a plan of another environment" in told, "as soon as the kept plan is found"
    shutil.rmtree(tmp_path / FOLDER)
    assert "is not the plan that would run now" in objection_texts(tmp_path, approved_plan=digest[:8], **other)


@pytest.mark.parametrize(
    "other",
    [
        {"on_conflict": "overwrite"},
        {"limit": 2},
        {"source": given()["source"] | {"access_key": "other", "secret_key": "other"}},
        {"database": given()["database"] | {"user": "other", "password": "other"}},
        {"state_dir": "/srv/elsewhere"},
    ],
)
def test_policies_credentials_and_folders_make_no_other_environment(tmp_path: Path, other: dict[str, Any]) -> None:
    digest = approved(tmp_path)
    assert read_settings(given(approved_plan=digest, **other)).approved_plan == digest


def test_a_digest_of_an_earlier_version_is_refused_with_a_way_out() -> None:
    with pytest.raises(RefusedError, match=r"or an earlier version of Rehome has made it\. Give the digest that playb"):
        read_settings(given(approved_plan="b827db92" * 8))


def test_the_beginning_of_a_digest_means_the_one_plan_that_has_it(tmp_path: Path) -> None:
    digest = approved(tmp_path)
    assert objection_texts(tmp_path, approved_plan=digest[:8]) == ""
    assert objection_texts(tmp_path, COPIED, approved_plan=digest[:8].upper()) == "", "what is left of the kept plan"
    catalog, made, plan = planned(tmp_path, COPIED, approved_plan=digest[:8])
    with catalog:
        assert plan.sha256 != digest == approved_digest(made, plan)
        assert is_kept(made)
        assert approved_digest(read_settings(given()), plan) is None


def test_a_beginning_that_no_plan_has_is_refused_as_another_plan_is(tmp_path: Path) -> None:
    approved(tmp_path)
    told = objection_texts(tmp_path, approved_plan="00000000")
    assert "approved_plan (00000000): is not the plan that would run now" in told
    assert not is_kept(read_settings(given(state_dir=str(tmp_path), approved_plan="00000000")))


def test_the_beginning_of_several_plans_is_refused_with_all_of_them(tmp_path: Path) -> None:
    digest = approved(tmp_path)
    twin = digest[:10] + "0" * 46 + digest[-8:]
    shutil.copytree(tmp_path / FOLDER / digest, tmp_path / FOLDER / twin)
    told = objection_texts(tmp_path, approved_plan=digest[:10])
    assert f"is the beginning of several plans: {', '.join(sorted([digest, twin]))}. Give more digits" in told
    assert objection_texts(tmp_path, approved_plan=digest) == ""


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("b827db9", "is too short to tell one plan from another"),
        ("z827db92", "is not the digest of a plan"),
        ("b827db92" * 9, "is not the digest of a plan"),
        ("b827*", "is not the digest of a plan"),
    ],
)
def test_what_cannot_name_a_plan_is_refused(wrong: str, words: str) -> None:
    with pytest.raises(RefusedError, match=rf"{words}\. Give the 64 .* or at least the first 8 of them"):
        read_settings(given(approved_plan=wrong))


def test_a_kept_plan_of_an_earlier_version_that_lacks_its_place_is_compared_all_the_same(tmp_path: Path) -> None:
    digest = approved(tmp_path)
    file = tmp_path / FOLDER / digest / "plan.json"
    kept = json.loads(file.read_text())
    del kept["place"]
    file.write_text(json.dumps(kept))
    assert objection_texts(tmp_path, approved_plan=digest) == ""


def test_a_plan_of_which_nothing_is_left_here_is_refused(tmp_path: Path) -> None:
    told = objection_texts(tmp_path, approved_plan="a" * 8)
    assert f"no plan that is kept in {tmp_path / FOLDER} begins with it. Compare the digits" in told


def test_the_same_digest_needs_nothing_kept(tmp_path: Path) -> None:
    catalog, _, plan = planned(tmp_path)
    catalog.close()
    assert objection_texts(tmp_path, approved_plan=plan.sha256) == ""


def test_only_the_latest_plans_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approval, "KEPT_PLANS", 1)
    first = approved(tmp_path)
    second = approved(tmp_path, on_dangling="keep")
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [second] != [first]


@pytest.mark.parametrize("kind", DECIDED)
@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_a_file_of_the_approved_plan_that_is_cut_short_is_named_with_a_way_out(
    tmp_path: Path, kind: str, part: float
) -> None:
    digest = approved(tmp_path)
    file = tmp_path / FOLDER / digest / f"{kind}.parquet"
    content = file.read_bytes()
    file.write_bytes(content[: int(part * len(content))])
    with pytest.raises(RehomeError) as raised:
        objection_texts(tmp_path, COPIED, approved_plan=digest)
    text = str(raised.value)
    assert text.startswith(f"{file} cannot be read (")
    way_out = f"Delete {file.parent}, and have the plan approved that playbooks/plan.yml shows now."
    assert text.endswith(f"{way_out} [{Code.STATE_FILE}]")
    assert "\n" not in text

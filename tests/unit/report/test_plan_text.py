"""The plan's text: what would be copied, rewritten and left, its cost, and the command that carries out exactly it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st
from rehome.report.lines import WIDTH
from rehome.report.plan_text import MOST_LINES

from tests.unit.report.facts_of_runs import DIGEST, report_of, settings_in

GIVEN = "-e env=prod -i ../ops/inventory"
COUNTS = {"objects_to_copy": 1000, "bytes_to_copy": 543_854, "rows_to_rewrite": 1000}


def sample(before: str, after: str = "", where: str = "") -> dict[str, str]:
    return {"where": where, "before": before, "after": after, "note": ""}


KEPT: Any = {
    "classes": [{"kind": "objects", "name": "to_copy", "count": 1000, "bytes": 543_854}],
    "by_reference": [{"column": "avatars.path", "counts": {"to_rewrite": 1000}}],
    "samples": [
        {
            "kind": "objects",
            "name": "to_copy",
            "count": 1000,
            "shown": [sample(f"image/avatar-{n}.png", f"avatar/avatar-{n}.png") for n in range(5)],
        },
        {
            "kind": "rows",
            "name": "to_rewrite",
            "count": 1000,
            "shown": [sample(f"image/avatar-{n}.png", f"avatar/avatar-{n}.png", f"avatars.path {n}") for n in range(5)],
        },
    ],
    "estimate": {
        "requests": [{"kind": "copy", "side": "target", "count": 1000, "why": "copies"}],
        "bytes_stored": 543_854,
        "bytes_through": 0,
        "durations": [],
        "low_s": 60,
        "high_s": 7200,
        "money": {
            "as_of": "2026-11-01",
            "currency": "EUR",
            "lines": [],
            "total": 5.25,
            "month": 0.023,
            "without_price": [],
        },
    },
}


def test_a_plan_shows_what_would_be_done_what_it_costs_and_the_command(tmp_path: Path) -> None:
    assert report_of(settings_in(tmp_path), "plan", kept=KEPT, complete=False, **COUNTS)["card"] == [
        "avatars: plan, s3://legacy-s3/image/ → s3://production-s3/avatar/",
        "  + copy 1,000 objects (531.1 KiB)",
        "      image/avatar-0.png → avatar/avatar-0.png",
        "      image/avatar-1.png → avatar/avatar-1.png",
        "      image/avatar-2.png → avatar/avatar-2.png",
        "  ~ rewrite 1,000 rows of avatars.path",
        "      avatars.path 0  image/avatar-0.png → avatar/avatar-0.png",
        "      avatars.path 1  image/avatar-1.png → avatar/avatar-1.png",
        "      avatars.path 2  image/avatar-2.png → avatar/avatar-2.png",
        "plan     1,000 objects to copy (531.1 KiB), 1,000 rows to rewrite, 0 to delete",
        "cost     about 60 s to 2.0 h of work; requests: 1,000 COPY",
        "         5.25 EUR, 0.02 a month while both are kept (prices of 2026-11-01)",
        f"digest   {DIGEST}",
        "outcome  a dry run: nothing was written (6.4 s)",
        f"report   {tmp_path}/report.md",
        "next:    Once it is approved, carry out exactly this plan; what has changed since is refused:",
        f"         ansible-playbook playbooks/migrate.yml {GIVEN} -e approved_plan={DIGEST}",
    ]


@pytest.mark.parametrize("verb", ["plan", "migrate-check"])
def test_a_plan_of_nothing_says_so_and_what_was_moved_before(tmp_path: Path, verb: str) -> None:
    lines = report_of(settings_in(tmp_path), verb, objects_present=3, rows_done=2)["card"]
    said = "nothing was left to do; 3 objects and 2 rows were moved before"
    assert f"outcome  complete: {said} (6.4 s)" in lines


def test_what_stops_it_is_marked_with_its_list_and_leaves_no_command_to_carry_it_out(tmp_path: Path) -> None:
    lists: Any = {"rows-dangling": {"file": f"{tmp_path}/lists/rows-dangling.jsonl", "count": 2, "sha256": ""}}
    refusal = "rehome_on_dangling (fail): 2 rows name an object that is in neither bucket. Clear them up."
    counts = {**COUNTS, "rows_dangling": 2, "rows_in_other_forms": 3, "rows_foreign": 10, "lists": lists}
    report = report_of(
        settings_in(tmp_path), "plan", kept={**KEPT, "refusals": [refusal]}, problems=[refusal], **counts
    )
    lines = report["card"]
    assert "  ! 2 rows without an object in either bucket" in lines
    assert "  ! 3 rows with a key in a form that no reference has" in lines
    assert "  - 7 rows not under the map" in lines
    assert f"lists    rows-dangling 2 in {tmp_path}/lists/" in lines
    assert "human    rehome_on_dangling (fail): 2 rows name an object that is in neither bucket" in lines
    assert "approved_plan" not in "".join(lines)


def test_what_a_policy_leaves_is_not_for_a_human(tmp_path: Path) -> None:
    chosen = settings_in(tmp_path, on_conflict="skip", on_dangling="keep")
    lines = report_of(chosen, "migrate-check", kept=KEPT, objects_conflict=1, rows_dangling=1, **COUNTS)["card"]
    assert "  - 1 object with other content in the target; left, by rehome_on_conflict" in lines
    assert "  - 1 row without an object in either bucket; left, by rehome_on_dangling" in lines
    assert not [one for one in lines if one.startswith("  !")]


OF_ROWS = ("dangling", "blocked", "overflowing", "in-other-forms")

CLASSES = {
    "objects_conflict": "with other content",
    "objects_archived": "in an archive tier",
    "objects_unroutable": "without a legal target key",
    "objects_present": "in the target already",
    "objects_deferred": "beyond rehome_limit",
    "objects_foreign": "not under the map",
    "rows_dangling": "without an object",
    "rows_blocked": "of objects that cannot be copied",
    "rows_overflowing": "too long",
    "rows_deferred": "beyond rehome_limit",
    "rows_done": "the new value",
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@for_all(
    counts=st.dictionaries(st.sampled_from([*CLASSES]), st.integers(1, 10**9)),
    key=st.text(min_size=1, max_size=1_000),
    problems=st.lists(st.text("abcd", min_size=1, max_size=50), max_size=9),
)
def test_any_plan_fits_a_screen_names_every_class_and_keeps_its_lines_whole(
    tmp_path: Path, counts: dict[str, int], key: str, problems: list[str]
) -> None:
    shown = [sample(f"image/{key}", f"avatar/{key}", key)] * 5
    samples = [
        {"kind": kind, "name": name, "count": 5, "shown": shown}
        for kind, name in (("objects", "to_copy"), ("rows", "to_rewrite"), ("objects", "foreign"), ("rows", "deferred"))
    ]
    kept: Any = {**KEPT, "samples": samples}
    report = report_of(settings_in(tmp_path), "plan", kept=kept, problems=problems, **(COUNTS | counts))
    lines = report["card"]
    assert len(lines) <= MOST_LINES
    assert all(one.isprintable() for one in lines)
    assert all(len(one) <= WIDTH for one in lines if one.startswith("      ") and one[6] != " ")
    for name, count in counts.items():
        assert any(f"{count:,} " in one and CLASSES[name] in one for one in lines), name
    assert all(problem in "\n".join(lines) for problem in problems)


def test_of_a_plan_with_every_class_samples_give_way_and_no_class_does(tmp_path: Path) -> None:
    lists: Any = {}
    (tmp_path / "lists").mkdir()
    for name in ("objects-conflict", "objects-archived", "objects-unroutable", *(f"rows-{one}" for one in OF_ROWS)):
        file = tmp_path / "lists" / f"{name}.jsonl"
        file.write_text('{"key": "image/a.png", "target_key": "avatar/a.png"}\n' * 9)
        lists[name] = {"file": str(file), "count": 9, "sha256": ""}
    shown = [sample("image/a.png", "avatar/a.png")] * 9
    samples = [
        {"kind": kind, "name": name, "count": 9, "shown": shown}
        for kind in ("objects", "rows")
        for name in ("to_copy", "outdated", "to_rewrite", "deferred", "foreign")
    ]
    counts = {**dict.fromkeys(CLASSES, 9), "objects_outdated": 9, "objects_to_overwrite": 1, "rows_in_other_forms": 9}
    counts |= {"rows_foreign": 20, "objects_to_copy": 1000, "rows_to_rewrite": 1000}
    problems = [f"{number} of the rows are not as they should be at all" for number in range(20)]
    kept: Any = {**KEPT, "samples": samples}
    lines = report_of(settings_in(tmp_path), "plan", kept=kept, lists=lists, problems=problems, **counts)["card"]
    assert len(lines) <= MOST_LINES
    for name, words in CLASSES.items():
        assert any(words in one for one in lines), name
    assert all(problem in "\n".join(lines) for problem in problems)

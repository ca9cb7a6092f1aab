"""The card: never more than ten lines, and nothing that needs a human is missing from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st
from rehome.report.card import MOST_LINES
from rehome.report.facts import Report
from rehome.report.fields import KEPT_COPIES, KEPT_OBJECTS, RemovalCounts, RetireCounts, RunCounts, VerifyCounts
from rehome.report.lists import OUTCOME_LISTS, REMOVE_LISTS, RETIRE_LISTS, ROLLBACK_LISTS, VERIFY_LISTS
from rehome.report.summary import UNFINISHED

from tests.unit.report.facts_of_runs import ORIGIN, report_of, settings_in

RETIRED = dict.fromkeys(RetireCounts.__annotations__, 0) | {"restores": False}
REMOVED = dict.fromkeys(RemovalCounts.__annotations__, 0)
VERIFIED = dict.fromkeys(VerifyCounts.__annotations__, 0)


def lines_of(folder: Path, verb: str, **more: Any) -> list[str]:
    lines = report_of(settings_in(folder), verb, **more)["card"]
    assert len(lines) <= MOST_LINES
    return lines


def line(lines: list[str], label: str) -> str:
    (found,) = [one.removeprefix(label).strip() for one in lines if one.startswith(f"{label} ")]
    return found


def test_a_migration_that_moved_everything_says_so_in_one_sentence_and_what_to_type(tmp_path: Path) -> None:
    counts = {"objects_copied": 1000, "bytes_copied": 543_854, "rows_rewritten": 1000}
    checked = VERIFIED | {"objects_compared": 1000, "objects_verified": 1000, "rows_compared": 1000}
    checked |= {"rows_verified": 1000, "rows_checked": 1000}
    lines = lines_of(tmp_path, "migrate", **counts, **checked)
    assert lines == [
        "avatars: migrate, s3://legacy-s3/image/ → s3://production-s3/avatar/",
        "outcome  complete: 1,000 objects and 1,000 rows moved, nothing left to do (6.4 s)",
        "done     1,000 objects copied (531.1 KiB), 1,000 rows rewritten",
        "checked  1,000 of 1,000 objects and 1,000 of 1,000 rows verified; journal: 1,000 rows, all as rewritten",
        "human    nothing needs you",
        f"report   {tmp_path}/report.md",
        "next:    Verify again at any time; it writes nothing:",
        "         ansible-playbook playbooks/verify.yml -e env=prod -i ../ops/inventory",
        "         See what of the legacy objects may be deleted, 7 days after the end of the migration:",
        "         ansible-playbook playbooks/retire.yml -e env=prod -i ../ops/inventory --check",
    ]


@pytest.mark.parametrize(
    ("method", "movers", "words"),
    [
        ("server_side", {}, ""),
        ("stream", {}, " through this machine"),
        ("server_side", {"mover-0": 600, "mover-1": 400}, " by 2 movers"),
        ("stream", {"mover-0": 1000}, " through 1 mover"),
    ],
)
def test_a_migration_says_which_machines_copied(
    tmp_path: Path, method: str, movers: dict[str, int], words: str
) -> None:
    counts = {"objects_copied": 1000, "bytes_copied": 1024, "rows_rewritten": 1000}
    lines = lines_of(tmp_path, "migrate", **counts, copy_method=method, movers=movers)
    assert line(lines, "done") == f"1,000 objects copied (1.0 KiB){words}, 1,000 rows rewritten"


def test_a_migration_repeated_says_that_nothing_was_left_to_do(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, "migrate", objects_present=1, rows_done=2)
    assert line(lines, "outcome").startswith("complete: nothing was left to do; 1 object and 2 rows were moved before")


@pytest.mark.parametrize(
    ("verb", "kind", "fields", "sentence"),
    [
        ("verify", "migration", VERIFIED | {"objects_verified": 7}, "complete: 7 objects verified in the target"),
        ("rollback", "rollback", {"rows_restored": 1, "rows_journalled": 1}, "complete: 1 row rolled back"),
        ("rollback", "rollback", {}, "complete: no row was left to roll back"),
        ("rollback", "rollback", REMOVED | {"copies_removed": 1}, "complete: no row was left to roll back; 0 rows"),
        ("retire", "migration", RETIRED | {"objects_retired": 5}, "complete: 5 legacy objects retired"),
        ("retire", "migration", RETIRED | {"restores": True, "objects_brought_back": 2}, "complete: 2 objects brought"),
    ],
)
def test_each_verb_has_its_sentence(tmp_path: Path, verb: str, kind: Any, fields: Any, sentence: str) -> None:
    assert line(lines_of(tmp_path, verb, kind=kind, **fields), "outcome").startswith(sentence)


@pytest.mark.parametrize(
    ("verb", "kind", "fields", "done"),
    [
        ("rollback-check", "rollback", {"rows_to_restore": 5, "rows_journalled": 5}, "5 of 5 rewritten rows would be"),
        ("retire-check", "migration", RETIRED | {"objects_to_retire": 3}, "3 objects would be retired"),
    ],
)
def test_a_dry_run_says_that_nothing_was_written(tmp_path: Path, verb: str, kind: Any, fields: Any, done: str) -> None:
    lines = lines_of(tmp_path, verb, kind=kind, complete=False, **fields)
    assert line(lines, "outcome").startswith("a dry run: nothing was written")
    assert line(lines, "done").startswith(done)


def test_a_run_that_fails_says_what_it_had_done_and_how_to_go_on(tmp_path: Path) -> None:
    counts = {"objects_copied": 5, "rows_not_reached": 4, "complete": False, "problems": [UNFINISHED]}
    lines = lines_of(tmp_path, "migrate", kept={"error": "the disk is full"}, passes=[{}], **counts)
    assert line(lines, "outcome") == "NOT COMPLETE: failed (6.4 s)"
    assert line(lines, "done") == "5 objects copied (0 bytes), 0 rows rewritten; 4 rows not reached"
    assert lines[-1] == "         ansible-playbook playbooks/migrate.yml -e env=prod -i ../ops/inventory"
    nothing = lines_of(tmp_path, "retire", kept={"error": "no"}, complete=False, problems=[UNFINISHED])
    assert line(nothing, "outcome") == "NOT COMPLETE: failed, nothing was written (6.4 s)"
    assert not [one for one in nothing if one.startswith("done ")]


def test_a_run_that_could_not_record_its_end_does_not_say_that_nothing_was_written(tmp_path: Path) -> None:
    """Its disk may have been full: the last counts are those of an earlier stage."""
    lines = lines_of(tmp_path, "migrate", passes=[{}], objects_to_copy=5, complete=False, problems=[UNFINISHED])
    assert line(lines, "outcome") == "NOT COMPLETE: 1 thing needs a human (6.4 s)"
    assert line(lines, "human").startswith("the run has not come to its end")


def test_a_preflight_says_whether_a_migration_may_begin_and_what_it_warns_of(tmp_path: Path) -> None:
    warning = {
        "status": "warn",
        "subject": "avatars.path",
        "name": "triggers",
        "found": "one fires",
        "advice": "",
        "code": "",
    }
    facts: Any = {"counts": {"pass": 40, "warn": 1}, "checks": [warning], "server": None}
    lines = lines_of(tmp_path, "preflight", kept={"preflight": facts}, complete=False)
    assert line(lines, "outcome") == "a migration may begin (6.4 s)"
    assert line(lines, "human") == "warning of avatars.path, triggers: one fires"
    stopped = lines_of(tmp_path, "preflight", kept={"preflight": facts, "refusals": ["a: no. Do", "b: no. Do"]})
    assert line(stopped, "outcome") == "NOT COMPLETE: a migration may not begin, 2 stops (6.4 s)"
    assert line(stopped, "human").startswith("a: no; b: no")


def test_what_is_left_though_no_setting_says_so_is_for_a_human(tmp_path: Path) -> None:
    on_purpose = lines_of(tmp_path, "migrate", left={"objects_conflict": 1})
    assert line(on_purpose, "human") == "nothing: the settings leave it so; see the lists"
    nobody_decided = lines_of(tmp_path, "migrate", left={"rows_in_other_forms": 2, "source_empty": 1})
    assert line(nobody_decided, "outcome").startswith("complete, but ")
    assert line(nobody_decided, "human").startswith("2 rows in a form that no reference has")
    assert "see whether the prefix is right" in "".join(nobody_decided)
    dry = report_of(settings_in(tmp_path), "plan", left={"rows_in_other_forms": 2}, complete=False)["card"]
    text = (
        "a dry run: nothing was written, and after a run 2 rows hold the key in a form that no reference names (6.4 s)"
    )
    assert line(dry, "outcome") == text


def test_without_versions_the_next_step_says_what_retire_would_refuse(tmp_path: Path) -> None:
    check = {
        "status": "info",
        "subject": "source bucket",
        "name": "versioning",
        "found": "off",
        "advice": "",
        "code": "",
    }
    facts: Any = {"counts": {"info": 1}, "checks": [check], "server": None}
    report = report_of(settings_in(tmp_path), "migrate", kept={"preflight": facts})
    assert report["next"][1]["why"].startswith("Switch versioning on in legacy-s3, then see")
    willing = settings_in(tmp_path, retire_unversioned="delete without a way back")
    assert report_of(willing, "migrate", kept={"preflight": facts})["next"][1]["why"].startswith("See what")


def test_what_the_next_command_does_not_repeat_is_named(tmp_path: Path) -> None:
    origin: Any = {**ORIGIN, "left_out": ["rehome_source"], "exported": ["DB_PASSWD"]}
    lines = lines_of(tmp_path, "migrate", origin=origin)
    assert line(lines, "again") == "give what this run was given: -e rehome_source; exported DB_PASSWD"


def test_a_job_of_awx_has_no_command_line(tmp_path: Path) -> None:
    who: Any = {"user": "runner", "host": "pod", "job": {"id": "42"}}
    lines = lines_of(tmp_path, "migrate", who=who)
    assert lines[-1] == "next:    in AWX, launch the template of playbooks/verify.yml; the report has its variables"


COUNTS = [*RunCounts.__annotations__]
LISTS = [*(OUTCOME_LISTS | ROLLBACK_LISTS | VERIFY_LISTS | RETIRE_LISTS | REMOVE_LISTS)]
WORDS = st.text("abcdefgh", min_size=1, max_size=60)
NUMBERS = st.integers(2, 10**9)
MUST_SHOW = {
    "objects_not_reached": "objects not reached",
    "rows_not_reached": "rows not reached",
    "rows_waiting": "rows waiting",
    "objects_failed": "objects failed",
    "rows_refused": "rows refused",
    "rows_dangling": "dangling rows",
    "rows_changed_by_app": "rows changed by the application",
}
"""Of a real migration: counts that a human may have to look at → what stands behind their number."""


@st.composite
def runs(draw: st.DrawFn) -> tuple[str, Any, dict[str, Any]]:
    """Draw the verb, the kind and the summary's fields of a run; they need not add up."""
    verb, kind, extra = draw(
        st.sampled_from(
            [
                ("migrate", "migration", VERIFIED),
                ("verify", "migration", VERIFIED),
                ("rollback", "rollback", {}),
                ("rollback", "rollback", REMOVED),
                ("rollback-check", "rollback", REMOVED),
                ("retire", "migration", RETIRED),
                ("retire-check", "migration", RETIRED),
            ]
        )
    )
    more = {name: draw(NUMBERS) for name in extra if name != "restores" and draw(st.booleans())}
    problems = draw(st.lists(WORDS, max_size=15, unique=True))
    listed = draw(st.dictionaries(st.sampled_from(LISTS), NUMBERS, max_size=12))
    fields = {
        **extra,
        **draw(st.dictionaries(st.sampled_from(COUNTS), NUMBERS)),
        **more,
        "problems": problems,
        "left": draw(st.dictionaries(st.sampled_from(["objects_conflict", "rows_remaining", "rows_gone"]), NUMBERS)),
        "lists": {name: {"file": "", "count": n, "sha256": ""} for name, n in listed.items()},
        "failures": draw(st.dictionaries(WORDS, NUMBERS, max_size=5)),
        "throttled_s": draw(st.dictionaries(WORDS, st.floats(0, 9), max_size=3)),
        "complete": not problems and draw(st.booleans()),
    }
    return verb, kind, fields


def what_a_human_must_see(verb: str, fields: dict[str, Any]) -> list[str]:
    """Return texts that the card of a run must have."""
    texts = [*fields["problems"]]
    texts += [f"{name} {file['count']:,}" for name, file in fields["lists"].items()]
    texts += [f"{count:,} failed with {code}" for code, count in fields["failures"].items()]
    texts += [f"{count:,} " for count in fields["left"].values() if fields["complete"]]
    words = dict(MUST_SHOW) if verb == "migrate" else {}
    words |= {f"objects_kept_{name}": f"kept: {name.replace('_', ' ')}" for name in KEPT_OBJECTS}
    words |= {f"copies_kept_{name}": f"copies kept: {name.replace('_', ' ')}" for name in KEPT_COPIES}
    return [*texts, *(f"{fields[name]:,} {text}" for name, text in words.items() if fields.get(name))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@for_all(run=runs(), left_out=st.lists(WORDS, max_size=3), exported=st.lists(WORDS, max_size=3))
def test_any_run_fits_into_ten_lines_and_names_all_that_needs_a_human(
    tmp_path: Path, run: tuple[str, Any, dict[str, Any]], left_out: list[str], exported: list[str]
) -> None:
    verb, kind, fields = run
    origin: Any = {**ORIGIN, "left_out": left_out, "exported": exported}
    for name, file in fields["lists"].items():
        file["file"] = f"{tmp_path}/lists/{name}.jsonl"
    report: Report = report_of(settings_in(tmp_path), verb, kind=kind, origin=origin, **fields)
    text = "\n".join(report["card"])
    assert len(text.splitlines()) == len(report["card"]) <= MOST_LINES
    assert [one for one in what_a_human_must_see(verb, fields) if one not in text] == []
    assert report["next"][0]["command"] in text


@pytest.mark.parametrize("name", [*MUST_SHOW])
def test_a_migration_names_each_count_that_a_human_may_have_to_look_at(tmp_path: Path, name: str) -> None:
    text = "\n".join(lines_of(tmp_path, "migrate", **{name: 1_234}))
    assert f"1,234 {MUST_SHOW[name]}" in text

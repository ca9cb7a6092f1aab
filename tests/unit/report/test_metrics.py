"""The metrics' page, read back by the official parser."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rehome.report.fields import SummaryFields
from rehome.report.metrics import LAST_SUCCESS, last_success_in, render, state_of

LABELS = {"migration": "avatars", "env": "prod", "verb": "migrate", "run": "host:1:now", "version": "0.2.0"}
OWN = (("env", "prod"), ("migration", "avatars"))


def samples(progress: dict[str, Any], summary: SummaryFields, **more: Any) -> dict[tuple[Any, ...], float]:
    given = {"state": "running", "now": 1000.0, "last_success": None, **more}
    page = render(LABELS, progress, summary, **given).decode()
    return {
        (sample.name, *sorted(set(sample.labels.items()) - set(OWN))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


PROGRESS: dict[str, Any] = {
    "stage": "copy",
    "done": 70,
    "total": 100,
    "bytes_done": 7,
    "bytes_total": 10,
    "began": 900.0,
    "requests": {"in_flight": 12, "limit": 64, "sent": 80, "retries": 2, "throttled": 1, "failed": 0},
    "waiting": {"why": "paused", "since": 940.0},
    "control": {"paused": True},
}


def test_a_run_shows_where_it_is_and_what_holds_it() -> None:
    found = samples(PROGRESS, SummaryFields())
    assert found["rehome_stage_done", ("stage", "copy")] == 70
    assert found["rehome_stage_total", ("stage", "copy")] == 100
    assert found["rehome_stage_bytes_done", ("stage", "copy")] == 7
    assert found["rehome_stage_requests_in_flight", ("stage", "copy")] == 12
    assert found[("rehome_stage_held_seconds",)] == 60
    assert found[("rehome_run_paused",)] == 1
    assert found["rehome_run_state", ("state", "running")] == 1
    assert found["rehome_run_state", ("state", "failed")] == 0


def test_what_is_unknown_is_left_out() -> None:
    found = samples({"stage": "plan", "done": 1, "total": None}, SummaryFields())
    assert not [name for name, *_ in found if "total" in name or "requests" in name or name == LAST_SUCCESS]
    assert found[("rehome_stage_held_seconds",)] == 0


def test_the_counts_of_the_summary_are_there_by_kind() -> None:
    summary = SummaryFields(objects_copied=70, rows_rewritten=7, bytes_copied=9, throttled_s={"control": 2.5})
    found = samples({}, summary)
    assert found["rehome_objects", ("count", "copied")] == 70
    assert found["rehome_rows", ("count", "rewritten")] == 7
    assert found["rehome_bytes", ("count", "copied")] == 9
    assert found["rehome_hold_seconds", ("reason", "control")] == 2.5


@pytest.mark.parametrize(
    ("stage", "summary", "failed", "state"),
    [
        ("copy", SummaryFields(), False, "running"),
        ("copy", SummaryFields(), True, "failed"),
        ("finished", SummaryFields(complete=True), False, "complete"),
        ("finished", SummaryFields(complete=False), False, "incomplete"),
        ("finished", SummaryFields(complete=False, dry_run=True), False, "complete"),
    ],
)
def test_a_run_is_in_one_state(stage: str, summary: SummaryFields, failed: bool, state: str) -> None:
    assert state_of({"stage": stage}, summary, failed=failed) == state


def test_the_last_success_outlives_the_next_run() -> None:
    page = render(LABELS, {}, SummaryFields(), state="complete", now=1000.5, last_success=1000.5).decode()
    assert last_success_in(page) == 1000.5
    assert last_success_in("") is None
    assert last_success_in("not a page {") is None


def test_names_that_need_quoting_are_quoted() -> None:
    page = render(
        {**LABELS, "migration": 'a"b\\c\n'}, {}, SummaryFields(), state="running", now=1.0, last_success=None
    ).decode()
    families = list(text_string_to_metric_families(page))
    assert families[0].samples[0].labels["migration"] == 'a"b\\c\n'

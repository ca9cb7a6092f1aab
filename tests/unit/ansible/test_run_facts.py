"""What a run hands on to the next job and to hooks, by its summary and by what Ansible knows of it."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

FILE = Path(__file__).parents[3] / "action_plugins" / "run_facts.py"
DIGEST = "b827db92" * 8


@pytest.fixture(scope="module")
def facts() -> Any:
    spec = importlib.util.spec_from_file_location("rehome_run_facts", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def of_run(facts: Any, summary: dict[str, Any], **changes: Any) -> dict[str, Any]:
    given = {"verb": "migrate", "env": "prod", "dry_run": False, "failed": False, "failure": "", "counts": {}}
    return facts.run_facts(summary=summary, **{**given, "outcome": "", **changes})  # type: ignore[no-any-return]


def summary(**changes: Any) -> dict[str, Any]:
    return {
        "verb": "migrate",
        "dry_run": False,
        "complete": True,
        "outcome": "complete",
        "problems": [],
        "plan_sha256": DIGEST,
        "objects_copied": 3,
        "rows_rewritten": 0,
        "limit": 5,
        "source": "s3://legacy/image/",
        "kept_in": "s3://b/state/runs/x/",
        "job": None,
    } | changes


def test_a_complete_run_hands_on_its_counts_and_where_its_summary_is(facts: Any) -> None:
    told = facts.artifacts(of_run(facts, summary()))
    assert told == {
        "rehome_artifacts": {
            "verb": "migrate",
            "env": "prod",
            "dry_run": False,
            "complete": True,
            "outcome": "complete",
            "codes": [],
            "plan_sha256": DIGEST,
            "counts": {"objects_copied": 3, "rows_rewritten": 0},
            "summary": "s3://b/state/runs/x/summary.json",
            "report": None,
        }
    }
    assert of_run(facts, summary(), has_report=True)["report"] == "s3://b/state/runs/x/report.md"


def test_only_a_plan_that_is_not_refused_may_be_approved(facts: Any) -> None:
    planned = summary(dry_run=True, complete=False, outcome="a dry run: nothing was written")
    assert facts.artifacts(of_run(facts, planned, verb="plan"))["approved_plan"] == DIGEST
    for verb, failed in (("plan", True), ("migrate", False), ("verify", False)):
        assert "approved_plan" not in facts.artifacts(of_run(facts, planned, verb=verb, failed=failed))
    assert "approved_plan" not in facts.artifacts(of_run(facts, summary(plan_sha256=""), verb="plan"))


def test_a_run_that_failed_after_its_summary_was_complete_is_not_complete(facts: Any) -> None:
    told = of_run(facts, summary(), failed=True)
    assert (told["complete"], told["outcome"], told["failed"]) == (False, "NOT COMPLETE", True)
    assert told["message"] == facts.ELSEWHERE


@pytest.mark.parametrize(
    ("problems", "failure", "message"),
    [
        (["2 objects failed", "1 row remains"], "", "2 objects failed; 1 row remains"),
        (["the run has not come to its end"], "S3 is gone", "S3 is gone"),
        ([], "env: no", "env: no"),
    ],
)
def test_a_failure_tells_why(facts: Any, problems: list[str], failure: str, message: str) -> None:
    told = of_run(facts, summary(problems=problems, complete=False), failed=True, failure=failure)
    assert (told["message"], told["problems"]) == (message, problems)
    assert of_run(facts, summary(problems=problems), failure=failure)["message"] == "", "a run that has not failed"


def test_the_outcome_of_a_preflight_is_its_verdict_unless_something_else_has_failed(facts: Any) -> None:
    may, not_yet = "verdict: a migration may begin", "verdict: a migration may not begin: 1 stop"
    assert of_run(facts, summary(complete=False), outcome=may)["outcome"] == may
    assert of_run(facts, summary(problems=["S3 denies"]), failed=True, outcome=not_yet)["outcome"] == not_yet
    assert of_run(facts, summary(), failed=True, outcome=may)["outcome"] == "NOT COMPLETE"


def test_hooks_are_given_the_codes_of_why_a_run_failed_and_of_what_is_left(facts: Any) -> None:
    left = "3 rows still hold the old value [RH-608]"
    told = of_run(facts, summary(problems=[left, left]), failed=True, failure="rehome_name: gone [RH-506]")
    assert told["codes"] == ["RH-506", "RH-608"]
    assert facts.artifacts(told)["rehome_artifacts"]["codes"] == told["codes"]


def test_a_verb_without_a_summary_is_complete_when_its_tasks_are(facts: Any) -> None:
    assert of_run(facts, {}, verb="grants", counts={"principals": 2}) == {
        "verb": "grants",
        "env": "prod",
        "dry_run": False,
        "failed": False,
        "complete": True,
        "outcome": "complete",
        "message": "",
        "problems": [],
        "codes": [],
        "plan_sha256": None,
        "counts": {"principals": 2},
        "summary": None,
        "report": None,
        "job": None,
    }
    dry = of_run(facts, {}, verb="grants", dry_run=True)
    assert (dry["complete"], dry["outcome"]) == (False, "a dry run: nothing was written")


def test_what_is_handed_on_stays_small_whatever_went_wrong(facts: Any) -> None:
    told = of_run(facts, summary(problems=["x" * 10_000] * 500), failed=True)
    assert len(json.dumps(told)) < 60_000
    assert len(json.dumps(facts.artifacts(told))) < 10_000


def test_only_the_summary_of_this_run_is_told(facts: Any, tmp_path: Path) -> None:
    began = datetime.fromtimestamp(psutil.Process(os.getpid()).create_time(), UTC)

    def found(host: str = socket.gethostname(), pid: int = os.getpid(), since: datetime = began) -> dict[str, Any]:
        run = f"{host}:{pid}:{since.isoformat(timespec='seconds')}"
        (tmp_path / "summary.json").write_text(json.dumps({"run": run}))
        return facts.summary_of(tmp_path, os.getpid())  # type: ignore[no-any-return]

    assert found()
    assert not found(host="elsewhere")
    assert not found(pid=1)
    assert not found(since=began - timedelta(hours=1)), "another container's process of the same number"
    (tmp_path / "summary.json").write_text('{"run": "')
    assert facts.summary_of(tmp_path, os.getpid()) == {}
    assert facts.summary_of(tmp_path / "none", os.getpid()) == {}


def test_a_report_of_an_earlier_run_is_not_this_ones(facts: Any, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    assert not facts.has_report(tmp_path, {"started_at": now.isoformat()})
    (tmp_path / "report.md").touch()
    assert facts.has_report(tmp_path, {"started_at": now.isoformat()})
    assert not facts.has_report(tmp_path, {"started_at": (now + timedelta(hours=1)).isoformat()})
    assert not facts.has_report(tmp_path, {})

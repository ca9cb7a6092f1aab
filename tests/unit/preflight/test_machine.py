"""Whether what a job of AWX leaves is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rehome.checks import Check
from rehome.config.read import read_settings
from rehome.job import read_job
from rehome.preflight.machine import inspect_keeping

from tests.unit.config.test_settings import given

JOB = read_job({"id": "42", "user": "alice"})


def check(folder: Path, *, moves: bool = True, **settings: Any) -> Check:
    (found,) = inspect_keeping(read_settings(given(state_dir=str(folder), **settings)), JOB, moves=moves)
    return found


def test_a_job_without_a_place_for_its_state_is_warned(tmp_path: Path) -> None:
    found = check(tmp_path)
    assert found.status == "warn"
    assert "rehome_state_uri is not set, and the folder of job 42 is gone when it ends" in found.found
    assert "REHOME_STATE_URI" in found.advice


def test_a_job_that_runs_an_approved_plan_is_stopped_unless_the_plan_is_kept(tmp_path: Path) -> None:
    found = check(tmp_path, approved_plan="b827db92")
    assert found.status == "stop"
    assert str(found.finding).startswith("rehome_state_uri: is not set, and the folder of job 42 is gone when it ends:")
    assert check(tmp_path, approved_plan="b827db92", moves=False).status == "warn", "a dry run, or a verb that deletes"
    plan = tmp_path / "plans" / ("b827db92" * 8)
    plan.mkdir(parents=True)
    (plan / "plan.json").write_text("{}")
    assert check(tmp_path, approved_plan="b827db92").status == "pass"
    assert check(tmp_path, approved_plan="b827db93").status == "stop", "it is another plan that is kept"


@pytest.mark.parametrize("file", ["outcomes", "plans", "capabilities.json"])
def test_a_folder_that_earlier_jobs_have_filled_outlives_a_job(tmp_path: Path, file: str) -> None:
    (tmp_path / file).touch()
    assert check(tmp_path).status == "pass"


def test_with_a_state_uri_or_outside_of_awx_there_is_nothing_to_say(tmp_path: Path) -> None:
    settings = {"state_dir": str(tmp_path), "approved_plan": "b827db92"}
    kept = read_settings(given(**settings, state_uri="s3://states/runs/"))
    assert inspect_keeping(kept, JOB, moves=True) == []
    assert inspect_keeping(read_settings(given(**settings)), None, moves=True) == []

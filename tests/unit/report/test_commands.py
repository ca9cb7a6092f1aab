"""The next command is the one that the operator must give, and it holds nothing that was not given for it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from rehome.report.commands import playbook_of
from rehome.report.facts import Origin

from tests.unit.report.facts_of_runs import DIGEST, ORIGIN, report_of, settings_in

GIVEN = "-e env=prod -i ../ops/inventory"


def next_of(folder: Path, verb: str, *, settings: dict[str, Any] | None = None, **more: Any) -> str:
    (step, *_) = report_of(settings_in(folder, **(settings or {})), verb, **more)["next"]
    return step["command"]


@pytest.mark.parametrize(
    ("named", "migrate"),
    [
        ("playbooks/plan.yml", "playbooks/migrate.yml"),
        ("/srv/rehome/playbooks/plan.yml", "/srv/rehome/playbooks/migrate.yml"),
        ("rehome.rehome.plan", "rehome.rehome.migrate"),
        ("migrate.yml", "migrate.yml"),
        ("site.yml", "playbooks/migrate.yml"),
        ("", "playbooks/migrate.yml"),
    ],
)
def test_the_next_playbook_is_beside_the_one_that_was_run(named: str, migrate: str) -> None:
    assert playbook_of("migrate", {**ORIGIN, "playbook": named}) == migrate


def test_a_playbook_of_the_operators_own_is_repeated_as_it_is() -> None:
    own: Origin = {"playbook": "ops/move-avatars.yml", "arguments": ["-e", "env=prod"]}
    assert playbook_of("move-avatars", own) == "ops/move-avatars.yml"
    assert playbook_of("verify", own) == "playbooks/verify.yml"


def test_only_migrate_is_at_the_top_of_the_project() -> None:
    assert playbook_of("rollback", {**ORIGIN, "playbook": "migrate.yml"}) == "playbooks/rollback.yml"


def test_a_plan_ends_in_the_command_that_carries_out_exactly_it(tmp_path: Path) -> None:
    command = next_of(tmp_path, "plan", objects_to_copy=3)
    assert command == f"ansible-playbook playbooks/migrate.yml {GIVEN} -e approved_plan={DIGEST}"
    assert next_of(tmp_path, "migrate-check", objects_to_copy=3) == command


def test_a_plan_that_moves_nothing_asks_for_no_approval(tmp_path: Path) -> None:
    assert next_of(tmp_path, "plan") == f"ansible-playbook playbooks/verify.yml {GIVEN}"


@pytest.mark.parametrize("kept", [{"refusals": ["no"]}, {"error": "no"}])
def test_a_plan_that_is_refused_or_fails_gives_no_command_to_carry_it_out(tmp_path: Path, kept: Any) -> None:
    command = next_of(tmp_path, "plan", kept=kept, objects_to_copy=3, plan_sha256="")
    assert command == f"ansible-playbook playbooks/plan.yml {GIVEN}"


def test_a_run_that_failed_goes_on_with_what_was_approved(tmp_path: Path) -> None:
    command = next_of(
        tmp_path, "migrate", kept={"error": "stopped"}, complete=False, settings={"approved_plan": DIGEST}
    )
    assert command == f"ansible-playbook playbooks/migrate.yml {GIVEN} -e approved_plan={DIGEST}"


def test_a_dry_retirement_names_the_second_key(tmp_path: Path) -> None:
    command = next_of(tmp_path, "retire-check")
    assert command == f"ansible-playbook playbooks/retire.yml {GIVEN} -e confirm=legacy-s3"


def test_a_migration_says_how_to_go_back_and_what_is_not_taken_back(tmp_path: Path) -> None:
    report = report_of(settings_in(tmp_path, on_conflict="overwrite"), "migrate")
    assert f"ansible-playbook playbooks/rollback.yml {GIVEN}" in [step["command"] for step in report["back"]]
    assert any("production-s3" in one and "versions" in one for one in report["irreversible"])


def test_a_command_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    hostile = ["-e", "env=prod", "-i", "in ventory; rm -rf $HOME`x`"]
    command = next_of(tmp_path, "plan", origin={**ORIGIN, "arguments": hostile}, rows_to_rewrite=1)
    assert shlex.split(command)[2:6] == hostile

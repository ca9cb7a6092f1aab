from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERBS = ["grants", "migrate", "plan", "preflight", "redirect", "retire", "rollback", "verify"]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What make would run."""
    command = ["make", "--dry-run", "--no-print-directory", *arguments]
    # the tests are run by make themselves
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def playbook_run(*arguments: str) -> str:
    """The call of ansible-playbook, on one line."""
    text = " ".join(make(*arguments).stdout.replace("\\\n", " ").split())
    return text[text.index("ansible-playbook ") :]


def test_the_verbs_are_the_playbooks() -> None:
    playbooks = {path.stem for path in (ROOT / "playbooks").glob("*.yml")} - {"environment", "sandbox"}
    assert playbooks == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_the_same_variables(verb: str) -> None:
    given = ("ENV=prod", "INVENTORY=../ops", "CHECK=1", "DIFF=1", "ARGS=-v -e rehome_limit=5")
    expected = "-i ../ops -e env=prod --check --diff -v -e rehome_limit=5"
    assert playbook_run(verb, *given) == f"ansible-playbook playbooks/{verb}.yml {expected}"
    assert playbook_run(verb) == f"ansible-playbook playbooks/{verb}.yml"


def test_the_second_key_is_passed_on() -> None:
    confirmed = "-e env=prod -e confirm=bucket"
    assert playbook_run("retire", "ENV=prod", "CONFIRM=bucket").endswith(confirmed)
    assert playbook_run("retire", "ENV=prod", "RESTORE=1").endswith("-e env=prod -e restore=true")
    removing = f"{confirmed} -e rehome_rollback_copies=remove"
    assert playbook_run("rollback", "ENV=prod", "CONFIRM=bucket").endswith(removing)


def test_a_misspelled_variable_is_refused() -> None:
    refused = make("migrate", "ENV=prod", "CEHCK=1")
    assert refused.returncode != 0
    assert "CEHCK: unknown. The variables are ARGS CHECK " in refused.stderr
    assert "ansible-playbook" not in refused.stdout

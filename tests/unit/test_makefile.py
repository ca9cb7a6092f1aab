from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERBS = [
    "control",
    "discover",
    "grants",
    "migrate",
    "plan",
    "preflight",
    "redirect",
    "report",
    "retire",
    "rollback",
    "show",
    "verify",
]
OTHERS = ["cluster-down", "cluster-up", "demo", "packages", "sandbox-down", "sandbox-up"]
"""The other targets that run a playbook."""


def make(*arguments: str, **exported: str) -> subprocess.CompletedProcess[str]:
    """What make would run."""
    command = ["make", "--dry-run", "--no-print-directory", *arguments]
    # the tests are run by make themselves
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        command, cwd=ROOT, env=environment | exported, capture_output=True, text=True, check=False, timeout=60
    )


def playbook_runs(*arguments: str, **exported: str) -> list[str]:
    """The calls of ansible-playbook, each on one line."""
    made = make(*arguments, **exported)
    assert made.returncode == 0, made.stderr
    lines = made.stdout.replace("\\\n", " ").splitlines()
    return [" ".join(line.removeprefix(".venv/bin/").split()) for line in lines if "ansible-playbook " in line]


def playbook_run(*arguments: str, **exported: str) -> str:
    """The only call of ansible-playbook."""
    (run,) = playbook_runs(*arguments, **exported)
    return run


def refused(*arguments: str, **exported: str) -> str:
    """Assert that make runs nothing at all, and return what it says."""
    made = make(*arguments, **exported)
    assert made.returncode != 0, made.stdout
    assert not made.stdout
    return made.stderr


def test_the_verbs_are_the_playbooks() -> None:
    playbooks = {path.stem for path in (ROOT / "playbooks").glob("*.yml")} - {
        "awx",
        "cluster",
        "environment",
        "migrate_on_cluster",
        "sandbox",
    }
    assert playbooks == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_the_same_variables(verb: str) -> None:
    given = ("ENV=prod", "INVENTORY=../ops", "CHECK=1", "DIFF=1", "ARGS=-v -e rehome_limit=5")
    expected = "-i ../ops -e env=prod --check --diff -v -e rehome_limit=5"
    assert playbook_run(verb, *given) == f"ansible-playbook playbooks/{verb}.yml {expected}"
    assert playbook_run(verb) == f"ansible-playbook playbooks/{verb}.yml"


@pytest.mark.parametrize("target", [*VERBS, *OTHERS])
@pytest.mark.parametrize("value", ["1", "yes", "true"])
def test_a_dry_run_is_one_of_every_playbook_and_does_nothing_else(target: str, value: str) -> None:
    for runs in (
        playbook_runs(target, f"CHECK={value}", "DIFF=1", "ARGS=-v"),
        playbook_runs(target, CHECK=value, DIFF="1", ARGS="-v"),
    ):
        assert runs
        for run in runs:
            assert {"--check", "--diff", "-v"} <= set(shlex.split(run))
    others = make(target, f"CHECK={value}", "PYTHON=python3").stdout
    assert "sandbox.seed" not in others
    assert "nodejs" not in others or "would be installed" in others


@pytest.mark.parametrize("value", ["0", "no", "false", ""])
def test_a_switch_that_is_off_is_off(value: str) -> None:
    given = (f"CHECK={value}", f"DIFF={value}", f"RESTORE={value}")
    assert playbook_run("retire", "ENV=prod", *given) == "ansible-playbook playbooks/retire.yml -e env=prod"
    assert "--oddities" not in make("seed", f"SEED_ODDITIES={value}").stdout
    assert "--quick" not in make("bench", f"QUICK={value}").stdout


@pytest.mark.parametrize("value", ["2", "maybe", "off", "1 0", "$(no such)", "TRUE!"])
@pytest.mark.parametrize("name", ["CHECK", "DIFF", "RESTORE"])
def test_a_switch_that_is_neither_on_nor_off_is_refused(name: str, value: str) -> None:
    assert f"{name} ({value}): is neither on (1 yes true) nor off" in refused("retire", f"{name}={value}")
    assert f"{name} ({value}): is neither on" in refused("retire", **{name: value})


@pytest.mark.parametrize(
    ("target", "name", "value"),
    [
        ("setup", "DIFF", "vimdiff"),
        ("unit", "ENV", "$HOME/.kshrc"),
        ("migrate", "DB", "postgres://app:secret@db/app?sslmode=require&x=1"),
        ("migrate", "CONFIRM", "no such; name"),
        ("verify", "QUICK", "maybe"),
        ("help", "CHECK", "1"),
        ("setup", "VENV", "/home/me/virtualenvs"),
    ],
)
def test_what_the_environment_holds_for_others_stops_no_target(target: str, name: str, value: str) -> None:
    made = make(target, **{name: value})
    assert made.returncode == 0, made.stderr
    assert value not in made.stdout.split()


def test_an_environment_of_another_python_is_made_where_it_is_asked_for() -> None:
    made = make("unit", "VENV=/srv/rehome-3.13", "PYTHON=python3.13")
    assert "python3.13 -m venv /srv/rehome-3.13\n" in made.stdout
    assert "\n/srv/rehome-3.13/bin/pytest tests/unit\n" in made.stdout
    assert ".venv/" not in made.stdout
    assert "VENV (a b): is not a name" in refused("setup", "VENV=a b")


def test_a_dry_run_that_is_not_understood_is_refused_by_every_target() -> None:
    assert "CHECK (maybe): is neither on" in refused("seed", CHECK="maybe")


def test_a_cluster_is_started_with_so_many_workers_and_ended() -> None:
    assert playbook_run("cluster-up") == "ansible-playbook playbooks/cluster.yml"
    of = "-i ../ops -e env=prod"
    given = ("ENV=prod", "INVENTORY=../ops")
    assert (
        playbook_run("cluster-up", *given, "WORKERS=4") == f"ansible-playbook playbooks/cluster.yml {of} -e workers=4"
    )
    assert playbook_run("cluster-down", *given) == f"ansible-playbook playbooks/cluster.yml {of} -e state=absent"
    assert "WORKERS has no effect on cluster-down" in refused("cluster-down", "WORKERS=4")
    assert "WORKERS (4 5): is not a name" in refused("cluster-up", "WORKERS=4 5")


def test_the_second_key_is_passed_on() -> None:
    confirmed = "-e env=prod -e confirm=bucket"
    assert playbook_run("retire", "ENV=prod", "CONFIRM=bucket").endswith(confirmed)
    assert playbook_run("retire", "ENV=prod", "RESTORE=1").endswith("-e env=prod -e restore=true")
    assert playbook_run("control", "ENV=prod", "DO=pause").endswith("-e env=prod -e do=pause")
    assert playbook_run("show", "ENV=prod", "CLASS=foreign").endswith("-e env=prod -e class=foreign")
    assert playbook_run("discover", "ENV=prod", "WHOLE=1").endswith("-e env=prod -e whole=true")
    removing = f"{confirmed} -e rehome_rollback_copies=remove"
    assert playbook_run("rollback", "ENV=prod", "CONFIRM=bucket").endswith(removing)


def test_init_is_given_environment_inventory_vault_and_further_options(stubbed: Path) -> None:
    given = ("ENV=staging", "INVENTORY=../my ops", "VAULT=.vault-pass", "ARGS=--yes --source-prefix 'a b/'")
    (call,) = called(stubbed, "init", *given)
    expected = [
        "-m",
        "interview",
        "--env",
        "staging",
        "--inventory",
        "../my ops",
        "--vault-password-file",
        ".vault-pass",
    ]
    assert call[1:] == ["python", *expected, "--yes", "--source-prefix", "a b/"]
    assert "DIFF has no effect on init" in refused("init", "DIFF=1")
    assert "CHECK: init cannot be tried without being done" in refused("init", CHECK="1")


def test_a_misspelled_variable_is_refused() -> None:
    message = refused("migrate", "ENV=prod", "CEHCK=1")
    assert "CEHCK: unknown. The variables are ARGS CHECK " in message
    assert "did you mean CHECK?" in message
    assert "did you mean CHECK?" in refused("migrate", "check=1")
    assert "did you mean RESTORE?" in refused("retire", "RESTOR=1")
    assert "VERBS: unknown" in refused("migrate", "VERBS=migrate")
    assert "x;y: unknown" in refused("migrate", "x;y=1")


@pytest.mark.parametrize("word", ["CHECK", "check", "--check", "prod", "DRY_RUN"])
def test_a_word_that_is_no_target_is_refused_before_the_first_target(word: str) -> None:
    assert f"{word}: no such target" in refused("migrate", "ENV=prod", "--", word)


@pytest.mark.parametrize(
    ("target", "given"),
    [
        ("migrate", "CONFIRM=legacy-s3"),
        ("verify", "RESTORE=1"),
        ("rollback", "RESTORE=1"),
        ("lint", "CHECK=1"),
        ("seed", "CHECK=1"),
        ("seed", "ENV=prod"),
        ("plan", "OBJECTS=5"),
        ("grants", "DB=sqlite"),
        ("help", "CHECK=1"),
        ("setup", "VAULT=x"),
        ("migrate", "QUICK=1"),
        ("bench", "SEED=1"),
    ],
)
def test_a_variable_that_has_no_effect_on_the_target_is_refused(target: str, given: str) -> None:
    name = given.partition("=")[0]
    assert f"{name} has no effect on {target}" in refused(target, given)


def test_a_demo_by_workers_starts_a_cluster_of_its_own_and_ends_it_whatever_happens() -> None:
    made = make("demo", "CLUSTER=2", "DB=sqlite", "OBJECTS=5")
    assert made.returncode == 0, made.stderr
    script = made.stdout
    assert "ansible-playbook playbooks/sandbox.yml -e state=present -e db=sqlite" in script
    assert script.count("ansible-playbook playbooks/cluster.yml") == 2
    assert script.index("-e state=absent") < script.index("trap away EXIT") < script.index("-e workers=2")
    assert "trap 'exit 130' INT" in script
    steps = [line for line in script.splitlines() if " demo CLUSTER= " in line]
    assert len(steps) == 1
    assert steps[0].endswith("ARGS='-e @.sandbox/cluster/cluster.json -e sandbox_profiles=true'")
    # no key is on a command line
    assert "AWS_SHARED_CREDENTIALS_FILE" in script
    assert "AWS_SECRET" not in script
    assert "cluster.yml" not in make("demo").stdout + make("demo", "CLUSTER=").stdout


@pytest.mark.parametrize("value", ["0", "02", "-1", "1.5", "two", "2 3", "2;id"])
def test_a_demo_by_no_number_of_workers_is_refused(value: str) -> None:
    assert f"CLUSTER ({value}): is no number of workers" in refused("demo", f"CLUSTER={value}")


def test_workers_are_for_a_demo_that_copies() -> None:
    assert "CLUSTER has no effect on seed" in refused("seed", "CLUSTER=2")
    assert "CLUSTER: a dry run copies nothing" in refused("demo", "CLUSTER=2", "CHECK=1")
    assert playbook_runs("seed", CLUSTER="a kubernetes context") == []


def test_a_dry_run_is_one_of_all_targets_or_of_none() -> None:
    assert "CHECK: seed cannot be tried without being done" in refused("seed", "migrate", "CHECK=1")
    assert "CHECK: seed cannot be tried without being done" in refused("seed", CHECK="1")
    assert len(playbook_runs("sandbox-up", "seed", "migrate", "OBJECTS=5", "ENV=sandbox")) == 2


@pytest.mark.parametrize("value", ["a b", "a restore=true", "a;id", "$(id)", "$HOME", "`id`", 'a"b', "a'b", "{{ x }}"])
@pytest.mark.parametrize("name", ["CONFIRM", "ENV"])
def test_a_name_that_the_shell_or_ansible_would_read_as_more_is_refused(name: str, value: str) -> None:
    assert f"{name} ({value}): is not a name" in refused("retire", f"{name}={value}")


def test_paths_are_passed_on_as_they_are() -> None:
    paths = ["../ops inventory", "/srv/$HOME/it's", 'a"b', "a;b", "/srv/ü"]
    for path in paths:
        run = playbook_run("plan", f"INVENTORY={path}", f"VAULT={path}")
        expected = ["-i", path, "--vault-password-file", path]
        assert shlex.split(run) == ["ansible-playbook", "playbooks/plan.yml", *expected]


def test_further_arguments_reach_the_shell_as_they_are() -> None:
    given = """-e 'rehome_exclude=["a b"]' -e x="$HOME" """
    assert playbook_run("plan", f"ARGS={given}") == f"ansible-playbook playbooks/plan.yml {given.strip()}"


@pytest.fixture(scope="module")
def stubbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of nothing but the Makefile, in a path with a space, whose programs print how they are called."""
    folder = tmp_path_factory.mktemp("ü x") / "re home"
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    lists = ("", "-dev", "-cluster", "-kubernetes", "-collections", "-awx")
    requirements = [f"requirements{which}.txt" for which in lists]
    for name in (*requirements, "constraints.txt"):
        (folder / name).touch()
    (folder / ".venv" / ".installed").touch()
    for program in ("ansible-playbook", "python"):
        stub = folder / ".venv" / "bin" / program
        facts = f"[os.environ.get('ANSIBLE_CONFIG'), '{program}', *sys.argv[1:]]"
        # by its name: the path of this Python may have a space, which a shebang cannot
        stub.write_text(f"#!/usr/bin/env python3\nimport json, os, sys\nprint(json.dumps({facts}))\n")
        stub.chmod(0o755)
    return folder


def called(folder: Path, *arguments: str, **exported: str) -> list[list[str]]:
    """The calls of a run of make: the value of ANSIBLE_CONFIG, the program, and its arguments."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "ANSIBLE"))}
    command = ["make", "--no-print-directory", *arguments]
    made = subprocess.run(
        command,
        cwd=folder,
        env=environment | exported,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [json.loads(line) for line in made.stdout.splitlines() if line.startswith("[")]


@pytest.mark.parametrize("target", [*VERBS, "demo", "sandbox-up", "sandbox-down"])
def test_what_is_really_called_for_a_dry_run_is_a_dry_run(target: str, stubbed: Path) -> None:
    calls = called(stubbed, target, "CHECK=1", "DIFF=1", "ARGS=-e 'a b'")
    assert calls
    for configuration, program, *arguments in calls:
        assert configuration == str(stubbed / "ansible.cfg")
        assert program == "ansible-playbook"
        assert {"--check", "--diff", "a b"} <= set(arguments)


def test_a_configuration_of_the_site_is_left_in_place(stubbed: Path) -> None:
    assert called(stubbed, "plan", ANSIBLE_CONFIG="/etc/site.cfg") == [
        ["/etc/site.cfg", "ansible-playbook", "playbooks/plan.yml"]
    ]


@pytest.mark.parametrize(("given", "used"), [("C", "C.UTF-8"), ("POSIX", "C.UTF-8"), ("de_DE.UTF-8", "de_DE.UTF-8")])
def test_ansible_is_given_a_locale_that_it_takes(given: str, used: str, stubbed: Path) -> None:
    (call,) = called(stubbed, "plan", "ARGS=$LC_ALL", LC_ALL=given)
    assert call[2:] == ["playbooks/plan.yml", used]


def test_what_has_a_space_or_a_quote_arrives_as_it_was_given(stubbed: Path) -> None:
    path = """/srv/it's "$HOME" ; `id`"""
    (call,) = called(stubbed, "plan", f"INVENTORY={path}")
    assert call[2:] == ["playbooks/plan.yml", "-i", path]

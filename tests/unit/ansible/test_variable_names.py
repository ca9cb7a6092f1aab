from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
SPECIFICATION = yaml.safe_load((ROOT / "roles/rehome/meta/argument_specs.yml").read_text(encoding="utf-8"))
SETTINGS = SPECIFICATION["argument_specs"]["main"]["options"]


def load() -> Any:
    spec = importlib.util.spec_from_file_location("variable_names", ROOT / "action_plugins" / "variable_names.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PLUGIN = load()


def problems(inventory: dict[str, Any] | None = None, **extra: Any) -> str:
    given = {**(inventory or {}), "env": "prod", **extra}
    return "\n".join(PLUGIN.problems(given, {"env", *extra}, PLUGIN.specified(ROOT / "roles")))


def test_every_setting_is_known_and_so_is_what_defaults_read() -> None:
    assert not problems(dict.fromkeys(SETTINGS), confirm="legacy-s3", restore=True)


@pytest.mark.parametrize("verb", ["grants", "migrate", "plan", "preflight", "redirect", "retire", "rollback", "verify"])
def test_the_names_are_checked_before_anything_else_in_every_verb(verb: str) -> None:
    first, *_ = yaml.safe_load((ROOT / "playbooks" / f"{verb}.yml").read_text())
    assert first["ansible.builtin.import_playbook"] == "environment.yml"
    task, *_ = yaml.safe_load((ROOT / "roles/environment/tasks/main.yml").read_text())
    assert "variable_names" in task


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("rehome_limits", "rehome_limit"),
        ("rehome_exlude", "rehome_exclude"),
        ("rehome_on_conflicts", "rehome_on_conflict"),
        ("rehome_ondangling", "rehome_on_dangling"),
        ("rehome_refrences", "rehome_references"),
        ("rehomelimit", "rehome_limit"),
        ("Rehome_Limit", "rehome_limit"),
        ("REHOME_EXCLUDE", "rehome_exclude"),
        ("rehome__limit", "rehome_limit"),
        ("rehom_limit", "rehome_limit"),
        ("rhome_exclude", "rehome_exclude"),
        ("reohme_state_dir", "rehome_state_dir"),
        ("rehone_limt", "rehome_limit"),
        ("aproved_plan", "approved_plan"),
        ("approved_plans", "approved_plan"),
        ("APPROVED_PLAN", "approved_plan"),
        ("approvedplan", "approved_plan"),
    ],
)
def test_a_slip_of_a_setting_is_refused_wherever_it_is_set(name: str, meant: str) -> None:
    for told in (problems(**{name: 5}), problems({name: 5})):
        assert told == f"{name}: is no variable of Rehome and would be ignored; did you mean {meant}?"


@pytest.mark.parametrize(
    ("name", "meant"), [("sate", "state"), ("stat", "state"), ("STATE", "state"), ("worker", "workers")]
)
def test_a_slip_of_a_word_that_the_playbook_reads_is_refused(name: str, meant: str) -> None:
    known = PLUGIN.specified(ROOT / "roles")
    (told,) = PLUGIN.problems({name: 1}, {name}, known, ["state", "workers"])
    assert told.startswith(f"{name}: is no variable of Rehome and would be ignored; did you mean {meant}?")
    assert PLUGIN.problems({"state": 1, "workers": 1}, {"state", "workers"}, known, ["state", "workers"]) == []
    assert PLUGIN.problems({name: 1}, {name}, known) == []


def test_what_awx_hands_on_from_the_job_before_is_no_setting_and_no_slip_of_one() -> None:
    assert not problems(rehome_artifacts={"verb": "plan"}, approved_plan="b827db92")
    assert problems(rehome_artifact={})


@pytest.mark.parametrize("name", ["rehome_", "rehome_settings", "rehome_zzz", "rehome_hook"])
def test_a_name_with_our_prefix_is_refused_whatever_it_is(name: str) -> None:
    assert problems({name: 1}).startswith(f"{name}: is no variable of Rehome and would be ignored")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("evn", "env"),
        ("ENV", "env"),
        ("confrim", "confirm"),
        ("Confirm", "confirm"),
        ("confirmed", "confirm"),
        ("restroe", "restore"),
        ("restor", "restore"),
        ("check", "--check"),
        ("check_mode", "--check"),
        ("dry_run", "--check"),
        ("dry-run", "--check"),
        ("Check-Mode", "--check"),
        ("checkmode", "--check"),
        ("noop", "--check"),
        ("limit", "rehome_limit"),
        ("on_conflict", "rehome_on_conflict"),
        ("state_dir", "rehome_state_dir"),
    ],
)
def test_a_slip_of_a_short_name_is_refused_on_the_command_line_only(name: str, meant: str) -> None:
    told = problems(**{name: "x"})
    assert told.startswith(f"{name}: is no variable of Rehome and would be ignored; did you mean {meant}?")
    assert not problems({name: "x"})


@pytest.mark.parametrize("name", ["evn", "enviroment", "environment", "en", "envs", "Env"])
def test_a_missing_env_is_looked_for(name: str) -> None:
    (told,) = PLUGIN.problems({name: "prod"}, {name}, SETTINGS)
    assert "did you mean env?" in told


@pytest.mark.parametrize(
    "name",
    [
        *(
            "env_name",
            "envs",
            "environment",
            "environments",
            "end",
            "dev",
            "confirmed_by",
            "confirmation",
            "restore_point",
        ),
        *("store", "plan", "approved", "approval_plan_id", "home_limit", "remote_name", "rename_source", "awx_job_id"),
        *("name", "target", "source", "database", "ansible_python", "ansible_playbook_python", "ansible_check_mode"),
        *(
            "inventory_dir",
            "sandbox_login",
            "environment_file",
            "checks",
            "rehome",
            "rehomed_by",
            "limits_file",
            "home",
            "recover",
        ),
    ],
)
def test_a_variable_of_the_operators_own_is_left_alone(name: str) -> None:
    assert not problems(**{name: "x"})
    assert not problems({name: "x"})


@pytest.mark.parametrize(
    ("setting", "value", "named", "meant"),
    [
        ("rehome_source", {"bukcet": "b"}, "rehome_source.bukcet", "bucket"),
        ("rehome_target", {"endpoint": "b"}, "rehome_target.endpoint", "endpoint_url"),
        ("rehome_database", {"tls": {"verfy": False}}, "rehome_database.tls.verfy", "verify"),
        ("rehome_database", {"pasword": "hush"}, "rehome_database.pasword", "password"),
        ("rehome_references", [{"table": "a"}, {"tabel": "b"}], "rehome_references[1].tabel", "table"),
        ("rehome_throttle", {"max_lag": 5}, "rehome_throttle.max_lag", "max_lag_s"),
        ("rehome_throttle", {"replicas": [{"hosts": "b"}]}, "rehome_throttle.replicas[0].hosts", "host"),
        ("rehome_hooks", {"after_copys": "x.yml"}, "rehome_hooks.after_copys", "after_copy"),
        ("rehome_restore", {"day": 5}, "rehome_restore.day", "days"),
        ("rehome_redirect", {"sate": "absent"}, "rehome_redirect.sate", "state"),
        ("rehome_credentials", {"migrat": {}}, "rehome_credentials.migrat", "migrate"),
        ("rehome_credentials", {"retire": {"sorce": {}}}, "rehome_credentials.retire.sorce", "source"),
        ("rehome_admin_database", {"usr": "root"}, "rehome_admin_database.usr", "user"),
    ],
)
def test_a_slip_inside_of_a_setting_is_refused(setting: str, value: Any, named: str, meant: str) -> None:
    told = problems({setting: value})
    assert told == f"{named}: is no variable of Rehome and would be ignored; did you mean {meant}?"
    assert "hush" not in told


def test_a_key_that_resembles_none_is_refused_with_those_there_are() -> None:
    assert "It has days, tier." in problems({"rehome_restore": {"zzzzzz": 1}})

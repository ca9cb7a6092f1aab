from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible import constants
from ansible.cli.playbook import PlaybookCLI
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.splitter import parse_kv
from ansible.plugins.loader import callback_loader, init_plugin_loader
from rehome.ansible_module.argument_spec import ARGUMENT_SPEC
from rehome.job import Job

REMOVED = pytest.mark.skipif(sys.version_info >= (3, 12), reason="removed from community.general 12")
"""What only the older Ansible has, which Python 3.11 has."""


@pytest.fixture(scope="module", autouse=True)
def collections() -> None:
    init_plugin_loader([])


@pytest.mark.parametrize(
    ("callback", "text"),
    [
        ("default", True),
        pytest.param("yaml", True, marks=REMOVED),
        ("json", False),
        ("ansible.posix.debug", True),
        pytest.param("community.general.yaml", True, marks=REMOVED),
        ("community.general.unixy", True),
        ("ansible.posix.json", False),
        ("ansible.posix.jsonl", False),
        ("minimal", False),
        ("oneline", False),
        ("community.general.null", False),
    ],
)
def test_progress_is_printed_beside_text_for_people_and_never_into_what_a_program_reads(
    callback: str, text: bool, plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plugin.prints_text(callback_loader.get(callback, class_only=True)) is text
    shown: list[tuple[str, bool]] = []
    monkeypatch.setattr(constants, "DEFAULT_STDOUT_CALLBACK", callback)
    monkeypatch.setattr(plugin.Display, "display", lambda _, line, stderr: shown.append((line, stderr)))
    plugin._show("copy  1/2")
    assert shown == [("copy  1/2", not text)]


@pytest.mark.parametrize(
    "switch", [("--skip-tags", "always"), ("--start-at-task", "Sum up"), ("--step",), ("--skip-tags", "copy,always")]
)
def test_a_run_that_may_leave_out_the_checks_is_refused(
    switch: tuple[str, ...], plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = PlaybookCLI(["ansible-playbook", "migrate.yml", *switch])
    cli.init_parser()
    options = cli.post_process_args(cli.parser.parse_args(["migrate.yml", *switch]))
    monkeypatch.setattr(plugin.context, "CLIARGS", vars(options))
    with pytest.raises(AnsibleError, match=f"^{switch[0]}"):
        plugin._refuse_to_run_in_part()


@pytest.mark.parametrize(
    ("trace", "told"),
    [
        ("ModuleNotFoundError: No module named 'tabulate'\n", "No module named 'tabulate'"),
        ("ImportError: cannot import name 'UTC' from 'datetime'\n", "cannot import name 'UTC' from 'datetime'"),
        (
            "TypeError: dataclass() got an unexpected keyword argument 'slots'\n",
            "dataclass() got an unexpected keyword argument 'slots'",
        ),
        ("TypeError: unhashable type\n", None),
        ("ImportError: libpq.so.5: cannot open shared object file\n", "libpq.so.5: cannot open shared object file"),
        ("ValueError: No module named", None),
    ],
)
def test_what_an_interpreter_lacks_is_told(trace: str, told: str | None, plugin: Any) -> None:
    failed = {"failed": True, "exception": f"Traceback (most recent call last):\n{trace}"}
    assert plugin.lacking_of_interpreter(failed) == told
    assert plugin.lacking_of_interpreter({"failed": True, "msg": trace}) is None


@pytest.mark.parametrize("code", [126, 127])
def test_an_interpreter_that_cannot_be_started_is_told(code: int, plugin: Any) -> None:
    failed = {
        "failed": True,
        "rc": code,
        "module_stderr": "/bin/sh: 1: /nope/python3: not found\n",
        "module_stdout": "",
    }
    assert plugin.lacking_of_interpreter(failed) == "/bin/sh: 1: /nope/python3: not found"
    assert plugin.lacking_of_interpreter(failed | {"rc": 1}) is None


def test_a_job_is_told_by_the_variables_of_awx_and_by_those_of_tower_where_it_gives_no_others(plugin: Any) -> None:
    older = {"tower_job_id": 41, "tower_user_name": "bob", "tower_project_revision": "1a"}
    assert plugin.job_of({**older, "awx_job_id": 42, "awx_user_name": ""}) == {
        "id": "42",
        "user": "bob",
        "project_revision": "1a",
    }
    assert plugin.job_of({"env": "prod", "awx_user_email": "a@b", "awx_job_id": None}) == {}


def test_every_fact_of_a_job_has_its_variable(plugin: Any) -> None:
    assert plugin.JOB_FACTS.keys() == Job.__annotations__.keys() == ARGUMENT_SPEC["run_job"]["options"].keys()


def origin(plugin: Any, variables: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    found: dict[str, Any] = plugin.origin_of(given, DataLoader(), {"env": "prod", **(variables or {})})
    return found


def test_the_next_command_needs_what_this_one_was_given(plugin: Any) -> None:
    here = str(Path.cwd())
    found = origin(
        plugin,
        args=("playbooks/plan.yml",),
        extra_vars=("env=prod rehome_limit=50", '{"rehome_on_dangling": "keep"}', "@more.yml"),
        inventory=(f"{here}/inventory", "/srv/ops/inventory"),
        vault_password_files=("/root/.vault pass",),
        vault_ids=("ops@prompt",),
    )
    assert found["env"] == "prod"
    assert (found["playbook"], found["folder"], found["left_out"]) == ("playbooks/plan.yml", here, [])
    assert found["arguments"] == [
        *("-e", "env=prod", "-e", "rehome_limit=50", "-e", "rehome_on_dangling=keep", "-e", "@more.yml"),
        *("-i", "inventory", "-i", "/srv/ops/inventory"),
        *("--vault-password-file", "/root/.vault pass", "--vault-id", "ops@prompt"),
    ]


@pytest.mark.parametrize("value", ["/srv/my state", "C:\\new\\t", "it's", 'a "b" c', "x env=staging", "'quoted'", ""])
def test_a_value_that_ansible_would_take_apart_arrives_as_it_was(plugin: Any, value: str) -> None:
    found = origin(plugin, extra_vars=(json.dumps({"rehome_state_dir": value, "env": "prod"}),))
    variables: dict[str, Any] = {}
    for option in found["arguments"]:
        if option != "-e":
            variables |= json.loads(option) if option.startswith("{") else parse_kv(option)
    assert variables == {"env": "prod", **({"rehome_state_dir": value} if value else {})}


def test_a_variable_that_may_be_secret_is_told_by_its_name_alone(plugin: Any) -> None:
    secrets = ('{"rehome_database": {"password": "hush-hush"}, "mine": "hush-hush"}', "token=hush-hush")
    found = origin(plugin, args=("migrate.yml",), extra_vars=secrets)
    assert "hush-hush" not in json.dumps(found)
    assert found["left_out"] == ["mine", "rehome_database", "token"]


def test_what_is_for_one_run_or_for_a_job_is_not_repeated(plugin: Any) -> None:
    given = (f"approved_plan={'a' * 64} confirm=bucket awx_job_id=4 tower_user_name=bob",)
    found = origin(plugin, args=("migrate.yml",), extra_vars=given)
    assert (found["arguments"], found["left_out"]) == ([], [])


def test_a_name_that_is_no_text_is_told_all_the_same(plugin: Any) -> None:
    found = origin(plugin, args=("migrate.yml",), inventory=("/srv/\udcff",))
    assert json.dumps(found).encode()
    assert found["arguments"] == ["-i", "/srv/\\udcff"]


def test_of_a_job_only_the_values_of_its_variables_are_told(plugin: Any, tmp_path: Path) -> None:
    file = tmp_path / "extravars"
    answers = {"env": "prod", "rehome_limit": "", "rehome_on_conflict": "skip", "rehome_source": {"secret_key": "hush"}}
    file.write_text(json.dumps({**answers, "awx_job_id": 42, "approved_plan": "ab"}))
    found = origin(
        plugin,
        {"awx_job_id": 42},
        args=("playbooks/plan.yml",),
        extra_vars=(f"@{file}",),
        inventory=("/runner/inventory",),
        vault_ids=("x@/runner/artifacts/vault",),
    )
    assert found["arguments"] == ["-e", "env=prod", "-e", "rehome_on_conflict=skip"]
    assert found["left_out"] == ["rehome_source"]


def test_only_the_python_that_runs_ansible_counts_as_such(plugin: Any, tmp_path: Path) -> None:
    of_another_environment = tmp_path / "python"
    of_another_environment.symlink_to(sys.executable)
    ours = Path(sys.executable)
    assert plugin.is_this_python(sys.executable)
    by_another_name = ours.with_name(ours.resolve().name)  # python3.11
    assert plugin.is_this_python(str(by_another_name)) is by_another_name.exists()
    for other in (str(of_another_environment), ours.name, str(ours.with_name("pip")), "/nowhere/python", "auto_silent"):
        assert not plugin.is_this_python(other), other

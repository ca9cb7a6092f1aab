"""What `playbooks/cluster.yml` makes of its numbers, before anything is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).parents[3] / "roles" / "cluster"

Asked = Callable[[str, Mapping[str, Any]], Any]


@pytest.fixture(scope="module")
def asked() -> Asked:
    """Return what a variable of the role is, with these variables of the command line or of the environment."""
    loader = DataLoader()
    variables: dict[str, Any] = {"role_path": str(ROLE), "groups": {"all": []}, "hostvars": {"localhost": {}}}
    for folder in ("defaults", "vars"):
        variables |= loader.load_from_file(str(ROLE / folder / "main.yml"), unsafe=False, trusted_as_template=True)

    def ask(name: str, given: Mapping[str, Any]) -> Any:
        templar = Templar(loader=loader, variables=variables | dict(given))
        return templar.template(variables[name])

    return ask


@pytest.mark.parametrize("value", ["four", "", "0", 0, -1, "1e9", 1e9, 2.5, 5_001, True, None, ["4"], "4 workers"])
def test_a_number_of_workers_that_is_none_is_named_with_its_value(asked: Asked, value: object) -> None:
    told = asked("cluster_unusable", {"workers": value})
    assert told == f"workers ({value}): is no whole number from 1 to 5000."


@pytest.mark.parametrize("value", ["1m", "", 0, -2.5, "inf", "nan", 86_400, True, [5]])
def test_a_time_to_wait_that_is_none_is_named_as_it_was_set(asked: Asked, value: object) -> None:
    problem = f"({value}): is no number of seconds above 0 and below a day."
    assert asked("cluster_unusable", {"cluster_wait_s": value}) == f"cluster_wait_s {problem}"
    if value != "":  # which is unset, for the verbs, too
        told = asked("cluster_unusable", {"rehome_cluster": {"wait_s": value}})
        assert told == f"rehome_cluster.wait_s {problem}"


@pytest.mark.parametrize(("value", "whole"), [("2.5", 3), (2.5, 3), (0.2, 1), (120, 120), ("60", 60)])
def test_parts_of_a_second_are_waited_for_and_rounded_up_where_only_seconds_are_taken(
    asked: Asked, value: object, whole: int
) -> None:
    given = {"rehome_cluster": {"wait_s": value, "workers": "4"}}
    assert asked("cluster_unusable", given) == ""
    assert asked("cluster_whole_wait_s", given) == whole


def test_the_setting_of_the_environment_is_named_if_it_is_the_wrong_one(asked: Asked) -> None:
    assert asked("cluster_unusable", {"rehome_cluster": {"workers": "four"}}).startswith(
        "rehome_cluster.workers (four)"
    )
    assert asked("cluster_unusable", {"rehome_cluster": {"workers": "four"}, "workers": 4}) == ""


@pytest.mark.parametrize("name", ["cluster_port", "cluster_threads", "cluster_death_s", "cluster_days"])
def test_the_other_numbers_have_bounds_as_well(asked: Asked, name: str) -> None:
    for value in (0, "x", 10**8):
        assert asked("cluster_unusable", {name: value}).startswith(f"{name} ({value}): is no whole number from 1 to ")


@pytest.mark.parametrize(
    ("given", "workers"),
    [
        ({}, 2),
        ({"workers": "4", "rehome_cluster": {"workers": 3}}, "4"),
        ({"rehome_cluster": {"workers": 3}}, 3),
        ({"rehome_cluster": {"workers": None}}, 2),
        # nothing is started then, and a verb would wait for one
        ({"cluster_kind": "address"}, 1),
    ],
)
def test_how_many_workers_there_are_by_default(asked: Asked, given: dict[str, Any], workers: object) -> None:
    assert asked("cluster_workers", given) == workers

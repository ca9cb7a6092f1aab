"""Injectors: that they give a job exactly the names that the settings fall back to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from rehome.config.environment_names import ENVIRONMENT_NAMES, SECRET_SETTINGS

from tests.unit.awx.conftest import Controller

SIDE = ("access_key", "secret_key", "session_token", "region", "endpoint_url")
OF_CREDENTIALS = ("rehome_database.", "rehome_admin_database.")


def injected(item: dict[str, Any]) -> dict[str, str]:
    return {name: str(text) for name, text in item["injectors"]["env"].items()}


def settings_of_credentials() -> Iterator[str]:
    """The settings that a credential of AWX is the place for."""
    for setting in ENVIRONMENT_NAMES:
        side, _, name = setting.partition(".")
        if setting.startswith(OF_CREDENTIALS) or (side in ("rehome_source", "rehome_target") and name in SIDE):
            yield setting


def test_every_setting_of_a_credential_has_an_injector(controller: Controller) -> None:
    names = {name for item in controller["controller_credential_types"] for name in injected(item)}
    wanted = set(settings_of_credentials())
    assert wanted >= SECRET_SETTINGS
    assert len(wanted) == 2 * len(SIDE) + 8 + 2
    for setting in wanted:
        assert ENVIRONMENT_NAMES[setting][0] in names, setting


def test_every_injector_is_read_by_a_setting(controller: Controller) -> None:
    known = {ENVIRONMENT_NAMES[setting][0] for setting in settings_of_credentials()}
    for item in controller["controller_credential_types"]:
        assert injected(item).keys() <= known, item["name"]
        assert set(item["injectors"]) <= {"env", "file"}, "extra variables are shown"


def test_every_field_is_injected_and_every_secret_is_one(controller: Controller) -> None:
    secret = {ENVIRONMENT_NAMES[setting][0] for setting in SECRET_SETTINGS}
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    for item in controller["controller_credential_types"]:
        fields = {field["id"]: field for field in item["inputs"]["fields"]}
        values = {name: f"<{name}>" for name in fields}
        tower = {"filename": {label.partition(".")[2]: "/path" for label in item["injectors"].get("file", {})}}
        shown = {
            name: environment.from_string(text).render(**values, tower=tower) for name, text in injected(item).items()
        }
        files = [
            environment.from_string(str(text)).render(**values) for text in item["injectors"].get("file", {}).values()
        ]
        assert sorted([*shown.values(), *files]) == sorted([*values.values(), *(["/path"] * len(files))])
        marked = {name for name, text in shown.items() if fields.get(text.strip("<>"), {}).get("secret")}
        assert marked == secret & shown.keys(), item["name"]


def test_a_credential_that_nobody_has_filled_in_sets_nothing(controller: Controller) -> None:
    environment = ImmutableSandboxedEnvironment()  # as AWX has it when a job begins
    for item in controller["controller_credential_types"]:
        assert "required" not in item["inputs"]
        tower = {"filename": {"ca": "/path"}}
        assert {environment.from_string(text).render(tower=tower) for text in injected(item).values()} == {""}


@pytest.mark.parametrize("kind", ["controller_templates"])
def test_no_job_has_two_credentials_of_a_type_or_for_one_variable(controller: Controller, kind: str) -> None:
    types = {item["name"]: item for item in controller["controller_credential_types"]}
    type_of = {item["name"]: types[item["credential_type"]] for item in controller["controller_credentials"]}
    for template in controller[kind]:
        names = Counter(name for credential in template["credentials"] for name in injected(type_of[credential]))
        assert max(names.values()) == 1, template["name"]


def test_whoever_deletes_has_the_keys_for_it_and_nobody_else(controller: Controller) -> None:
    with_keys = {
        item["name"] for item in controller["controller_templates"] if "Rehome: S3 of retire" in item["credentials"]
    }
    assert with_keys == {"Rehome: retire", "Rehome: rollback", "Rehome: redirect"}
    administrators = {
        item["name"]
        for item in controller["controller_templates"]
        if "Rehome: database administrator" in item["credentials"]
    }
    assert administrators == {"Rehome: grants"}

"""A wrong `confirm` is refused from the settings alone, for the verbs that delete."""

from __future__ import annotations

from typing import Any

import pytest
from rehome.config.confirmation import unconfirmed_verb
from rehome.config.read import read_settings

from tests.unit.config.test_settings import given

REMOVE = {"rollback_copies": "remove"}


@pytest.mark.parametrize(
    ("verb", "settings"),
    [
        ("retire", {}),
        ("retire", {"confirm": "production-s3"}),
        ("retire-check", {"confirm": "legacy-s3 "}),
        ("rollback", REMOVE),
        ("rollback", {**REMOVE, "confirm": "legacy-s3"}),
        ("rollback-check", {**REMOVE, "confirm": "legacy-s3"}),
    ],
)
def test_a_verb_that_deletes_is_refused_unless_its_bucket_is_named(verb: str, settings: dict[str, Any]) -> None:
    (found,) = unconfirmed_verb(read_settings(given(**settings)), verb)
    bucket = "legacy-s3" if verb.startswith("retire") else "production-s3"
    assert found.setting == "confirm"
    assert found.way_out == f"Say -e confirm={bucket} if it is that one"


@pytest.mark.parametrize(
    ("verb", "settings"),
    [
        ("retire", {"confirm": "legacy-s3"}),
        ("retire-check", {}),
        ("retire", {"retire_restore": True}),
        ("rollback", {}),
        ("rollback", {**REMOVE, "confirm": "production-s3"}),
        ("rollback-check", REMOVE),
        ("migrate", {"confirm": "something"}),
    ],
)
def test_other_verbs_need_no_confirmation(verb: str, settings: dict[str, Any]) -> None:
    assert unconfirmed_verb(read_settings(given(**settings)), verb) == []

"""What is assumed of services before any was tried."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rehome.config.read import read_settings
from rehome.s3.capabilities import AMAZON, UNTRIED, Capabilities
from rehome.s3.transport.endpoint import Credentials, Endpoint
from rehome.services.capabilities import known_capabilities

from tests.unit.config.test_settings import given

OTHER = Endpoint("http", "ceph.example.com", 80, "/b", "b", "us-east-1", None, lambda: Credentials("AKID", "SECRET"))
AMAZONS = replace(OTHER, host="s3.us-east-1.amazonaws.com")


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [(AMAZONS, AMAZONS, AMAZON), (AMAZONS, OTHER, UNTRIED), (OTHER, AMAZONS, UNTRIED), (OTHER, OTHER, UNTRIED)],
)
def test_no_condition_is_relied_upon_that_a_service_was_never_seen_to_honour(
    source: Endpoint, target: Endpoint, expected: Capabilities, tmp_path: Path
) -> None:
    settings = read_settings(given(state_dir=str(tmp_path)))
    assert known_capabilities(settings, source, target) == expected


def test_untried_conditions_are_sent_and_not_relied_upon() -> None:
    conditions = [name for name in UNTRIED.to_json() if name.endswith(("_condition", "_match"))]
    assert len(conditions) == 8
    assert all(not getattr(UNTRIED, name) and getattr(UNTRIED, name).may_be_sent for name in conditions)

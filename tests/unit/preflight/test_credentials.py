"""Missing credentials are told beside refused settings: whoever sets up an environment corrects both at once."""

from __future__ import annotations

from typing import Any

import pytest
from rehome.preflight.credentials import findings_beside

from tests.unit.config.test_settings import given


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


def told(**changes: Any) -> list[str]:
    return [finding.setting for finding in findings_beside(given(**changes), {})]


PAIR = {"access_key": "A", "secret_key": "B"}


def test_each_side_without_credentials_is_named() -> None:
    assert told() == ["rehome_source.access_key", "rehome_target.access_key"]
    assert told(source={"bucket": "a", "prefix": "b/", **PAIR}) == ["rehome_target.access_key"]


def test_half_a_pair_is_told_by_the_settings_and_exported_credentials_are_some() -> None:
    half = {"bucket": "a", "prefix": "b/", "access_key": "A"}
    assert told(source=half, target={"bucket": "c", "prefix": "d/", **PAIR}) == []
    exported = {"S3_SOURCE_ACCESS_KEY": "A", "S3_SOURCE_SECRET_KEY": "B"}
    assert [one.setting for one in findings_beside(given(), exported)] == ["rehome_target.access_key"]


def test_a_side_that_is_not_set_at_all_is_looked_at_too() -> None:
    assert told(source=None, target=None) == ["rehome_source.access_key", "rehome_target.access_key"]

from __future__ import annotations

import asyncio

import pytest
from rehome.config.settings import Settings
from rehome.s3.transport.endpoint import Credentials, Endpoint
from rehome.services import clients
from rehome.services.clients import open_clients

from tests.unit.grants.test_policy import settings_with


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    credentials = Credentials("AKID", "SECRET")
    monkeypatch.setattr(
        clients,
        "resolve",
        lambda side: Endpoint("https", "s3.example", 443, "", side.bucket, "us-east-1", None, lambda: credentials),
    )
    return settings_with(max_requests=7)


def test_both_sides_are_open_within_the_block(settings: Settings) -> None:
    async def bucket_names() -> list[str]:
        async with open_clients(settings) as (source, target):
            assert source.max_connections == target.max_connections == 7
            return [source.endpoint.bucket, target.endpoint.bucket]

    assert asyncio.run(bucket_names()) == [settings.source.bucket, settings.target.bucket]

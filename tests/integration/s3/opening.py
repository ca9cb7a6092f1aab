"""Two new buckets of a server and a client for each, as one of its users."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from rehome.config.settings import Side
from rehome.s3.client.client import Client
from rehome.s3.endpoint.resolve import resolve
from rehome.s3.probe.scratch import RETRY
from rehome.s3.transport.endpoint import Endpoint

from sandbox.seaweedfs import SeaweedFS
from tests.conftest import Buckets
from tests.moto_server import Moto

S3Server = SeaweedFS | Moto


class Pair(NamedTuple):
    """Clients for a source and a target bucket."""

    source: Client
    target: Client


@cache
def witness(server: S3Server) -> Any:
    """botocore's view as the administrator. Kept, as botocore takes half a second to make a client."""
    return server.client()


def new_buckets(server: S3Server) -> Buckets:
    """Two new, empty buckets; `migrate` and `reader` have their rights in them."""
    label = secrets.token_hex(4)
    pair = Buckets(f"legacy-s3-{label}", f"production-s3-{label}")
    for bucket in (pair.source, pair.target):
        witness(server).create_bucket(Bucket=bucket)
    return pair


@asynccontextmanager
async def opened(server: S3Server, buckets: Buckets, user: str = "migrate") -> AsyncIterator[Pair]:
    """Clients for both buckets, as `user`."""
    source, target = (
        replace(_endpoint(server, user), bucket=bucket, base_path=f"/{bucket}")
        for bucket in (buckets.source, buckets.target)
    )
    async with (
        Client(source, 16, retry=RETRY) as source_client,
        Client(target, 16, retry=RETRY) as target_client,
    ):
        yield Pair(source_client, target_client)


@cache
def _endpoint(server: S3Server, user: str) -> Endpoint:
    keys = server.users[user]
    return resolve(
        Side(
            label="target",
            bucket="any",
            prefix="",
            endpoint_url=server.endpoint_url,
            region=server.region,
            access_key=keys.access_key,
            secret_key=keys.secret_key,
        )
    )

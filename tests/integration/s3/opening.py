"""Settings, buckets and clients of the tests' S3 servers."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import uvloop
from rehome.config.settings import Side, SideLabel
from rehome.s3.capabilities import Capabilities
from rehome.s3.client.client import Client
from rehome.s3.endpoint.resolve import resolve
from rehome.s3.probe.probe import probe
from rehome.s3.probe.scratch import RETRY
from rehome.s3.transport.endpoint import Endpoint

from sandbox.s3_server import S3Server
from tests.conftest import Buckets


class Pair(NamedTuple):
    """Clients for a source and a target bucket."""

    source: Client
    target: Client


@cache
def witness(server: S3Server) -> Any:
    """Return botocore's client of the administrator. Cached, as botocore takes half a second to create one."""
    return server.client()


def new_buckets(server: S3Server) -> Buckets:
    """Create two buckets, in which `migrate` and `reader` have their rights."""
    label = secrets.token_hex(4)
    pair = Buckets(f"legacy-s3-{label}", f"production-s3-{label}")
    for bucket in (pair.source, pair.target):
        witness(server).create_bucket(Bucket=bucket)
    return pair


@cache
def capabilities(server: S3Server) -> Capabilities:
    """Return what the preflight of a run finds out about the server, once. Works within a running loop, too."""

    async def find() -> Capabilities:
        buckets = new_buckets(server)
        async with opened(server, buckets) as (source, target):
            return (await probe(source, target, "avatar/")).capabilities

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(uvloop.run, find()).result()


@asynccontextmanager
async def opened(server: S3Server, buckets: Buckets, user: str = "migrate") -> AsyncIterator[Pair]:
    """Open a client of `user` for each bucket."""
    source, target = (
        replace(_endpoint(server, user), bucket=bucket, base_path=f"/{bucket}")
        for bucket in (buckets.source, buckets.target)
    )
    async with (
        Client(source, 16, retry=RETRY) as source_client,
        Client(target, 16, retry=RETRY) as target_client,
    ):
        yield Pair(source_client, target_client)


def side_of(
    server: S3Server, bucket: str, user: str = "migrate", *, label: SideLabel = "source", prefix: str = "", **more: Any
) -> Side:
    """Return the settings with which `user` reaches a bucket; `more` are further fields of Side."""
    fields: dict[str, Any] = access_of(server, user) | more
    return Side(label, bucket, prefix, **fields)


def access_of(server: S3Server, user: str = "migrate") -> dict[str, str]:
    """Return endpoint, region and keys of a user, as rehome_source and rehome_target name them."""
    keys = server.users[user]
    return {
        "endpoint_url": server.endpoint_url,
        "region": server.region,
        "access_key": keys.access_key,
        "secret_key": keys.secret_key,
    }


@cache
def _endpoint(server: S3Server, user: str) -> Endpoint:
    return resolve(side_of(server, "any", user))

"""How many objects a run streams at once, and that those who wait for more work end with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from rehome.s3.client.client import Client
from rehome.s3.copier.run import copy_objects
from rehome.s3.errors import S3StopError
from rehome.s3.objects.job import CopyJob, CopyOptions, CopyOutcome

from tests.unit.s3.wire import client_of, copied, error, on_uvloop, reply

BODY = b"12345"
ETAG = "827ccb0eea8a706c4c34a16891f84e7b"
OPTIONS = {method: CopyOptions(method=method, tags=False) for method in ("stream", "server_side")}
MANY = 100


class Busy:
    """A service that takes its time for each request, and counts those that wait in it."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.now = self.most = self.served = 0

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.02)
        self.now -= 1
        self.served += 1
        writer.write(self.answer)


def jobs(count: int) -> Iterator[CopyJob]:
    return (CopyJob(f"old/{number}", ETAG, len(BODY), f"new/{number}") for number in range(count))


@asynccontextmanager
async def clients(source: Busy, target: Busy) -> AsyncIterator[tuple[Client, Client]]:
    async with (
        client_of(source, max_connections=MANY) as (reading, _, _),
        client_of(target, max_connections=MANY) as (writing, _, _),
    ):
        yield reading, writing


CONTENT = reply(200, BODY, etag=f'"{ETAG}"')
STORED = reply(200, etag=f'"{ETAG}"')


@pytest.mark.parametrize(("method", "most"), [("stream", 32), ("server_side", MANY)])
def test_streams_begin_with_few_at_once_and_copies_by_the_service_do_not(method: str, most: int) -> None:
    @on_uvloop
    async def scenario() -> None:
        source, target = Busy(CONTENT), Busy(STORED if method == "stream" else copied(ETAG))
        outcomes: list[CopyOutcome] = []
        async with clients(source, target) as (reading, writing):
            for client in (reading, writing):
                client.limiter._limit = MANY  # what the clients find out is not what is tested here
            await copy_objects(reading, writing, jobs(MANY), outcomes.append, OPTIONS[method])
        assert [outcome.result for outcome in outcomes] == ["copied"] * MANY
        assert max(source.most, target.most) == most

    scenario()


@on_uvloop
async def test_a_run_of_streams_that_cannot_go_on_ends_for_those_who_wait_too() -> None:
    outcomes: list[CopyOutcome] = []
    async with clients(Busy(error(403, "InvalidAccessKeyId")), Busy(STORED)) as (reading, writing):
        with pytest.raises(S3StopError):
            await copy_objects(reading, writing, jobs(1_000), outcomes.append, OPTIONS["stream"])
    assert 0 < len(outcomes) <= MANY


@on_uvloop
async def test_a_run_of_streams_that_is_to_stop_ends_for_those_who_wait_too() -> None:
    outcomes: list[CopyOutcome] = []

    def some() -> Iterator[CopyJob]:
        for job in jobs(1_000):
            if len(outcomes) > 10:
                return
            yield job

    async with clients(Busy(CONTENT), Busy(STORED)) as (reading, writing):
        await copy_objects(
            reading, writing, some(), outcomes.append, OPTIONS["stream"], stopping=lambda: len(outcomes) > 10
        )
    assert 10 < len(outcomes) < MANY

"""That what a stream has read does not stay in memory once the stream has failed: few collections happen in a run."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator

import pytest
from rehome.s3.copier.run import copy_objects
from rehome.s3.objects.job import CopyJob, CopyOptions, CopyOutcome

from tests.unit.s3.wire import Handler, client_of, on_uvloop, reply

SIZE = 2 * 1024**2
BODY = bytes(SIZE)
ETAG = "0" * 32
OPTIONS = CopyOptions(method="stream", tags=False)
JOBS = 8


@pytest.fixture
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


async def unasked(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(404))


async def damaged(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(200, BODY, etag=f'"{ETAG}"'))


async def broken_off(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(200, BODY, etag=f'"{ETAG}"')[:-1])
    writer.close()


@pytest.mark.usefixtures("_without_collector")
@pytest.mark.parametrize("source", [damaged, broken_off])
def test_what_was_read_of_an_object_is_freed_when_its_stream_fails(source: Handler) -> None:
    @on_uvloop
    async def scenario() -> None:
        outcomes: list[CopyOutcome] = []
        jobs = (CopyJob(f"old/{number}", ETAG, SIZE, f"new/{number}") for number in range(JOBS))
        async with (
            client_of(source, max_connections=1) as (reading, _, _),
            client_of(unasked, max_connections=1) as (writing, _, _),
        ):
            before, _ = tracemalloc.get_traced_memory()
            await copy_objects(reading, writing, jobs, outcomes.append, OPTIONS)
            await asyncio.sleep(0.05)
            after, _ = tracemalloc.get_traced_memory()
        assert [outcome.result for outcome in outcomes] == ["failed"] * JOBS
        assert after - before < 2 * SIZE

    scenario()

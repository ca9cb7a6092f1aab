"""List a real object store by ranges of keys, and read an inventory from it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rehome.s3.client.client import Client
from rehome.s3.endpoint.resolve import resolve
from rehome.s3.listing.inventory import open_inventory, read_inventory
from rehome.s3.listing.listing import list_objects

from sandbox.s3_server import S3Server
from tests.conftest import Buckets
from tests.integration.s3.opening import side_of
from tests.unit.s3.listing.test_inventory import FOLDER, csv_report, row
from tests.unit.s3.wire import on_uvloop


@asynccontextmanager
async def client_for(object_store: S3Server, bucket: str) -> AsyncIterator[Client]:
    async with Client(resolve(side_of(object_store, bucket, "admin")), 32) as client:
        yield client


async def store(client: Client, keys: Iterable[str]) -> None:
    async def some(part: Iterable[str]) -> None:
        for key in part:
            await client.put_object(key, b"x")

    left = iter(keys)
    await asyncio.gather(*(some(left) for _ in range(32)))


class Counting:
    """Counts the requests of a client that list a range of keys."""

    def __init__(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        self.splits = 0
        plain = client.request

        async def request(*arguments: object, **more: object) -> object:
            self.splits += "start-after" in dict(more.get("query", ()))  # type: ignore[call-overload]
            return await plain(*arguments, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(client, "request", request)


NAMES = {
    "numbers": [f"image/avatar-{number:07}.png" for number in range(3000)],
    "folders": [
        f"{year}/{month:02}/{letter}{number}.jpg"
        for year, month, letter, number in itertools.product((2025, 2026), range(1, 13), "aB+ü", range(30))
    ],
    "beginnings of others": [
        f"a{between}{number}" for between in ("", "/", "-", ".", "0", "b/c", "b-c", "b.c/") for number in range(150)
    ],
}


@pytest.mark.parametrize("name", NAMES)
@on_uvloop
async def test_a_listing_by_ranges_is_whole(
    object_store: S3Server, buckets: Buckets, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with client_for(object_store, buckets.source) as client:
        await store(client, NAMES[name])
        counting = Counting(client, monkeypatch)
        found = [key async for page in list_objects(client, "", 50) for key in page.keys]
        assert sorted(found) == sorted(NAMES[name])
        assert counting.splits > 0


@on_uvloop
async def test_the_store_ignores_the_question_for_restored_objects(object_store: S3Server, buckets: Buckets) -> None:
    async with client_for(object_store, buckets.source) as client:
        await store(client, ["a"])
        headers = {"x-amz-optional-object-attributes": "RestoreStatus"}
        reply = await client.request("GET", None, query=[("list-type", "2")], headers=headers)
        assert reply.status == 200


@on_uvloop
async def test_an_inventory_is_read_from_the_store(object_store: S3Server, buckets: Buckets, tmp_path: Path) -> None:
    rows = [row(f"image/{number} +.png", Size=number) for number in range(5000)]
    async with client_for(object_store, buckets.target) as client:
        for key, body in csv_report(rows).items():
            await client.put_object(key, body)
        url = f"s3://{buckets.target}/{FOLDER}/manifest.json"
        inventory = await open_inventory(lambda bucket: client, url, "source")
        pages = read_inventory(lambda bucket: client, inventory, "image/", tmp_path)
        found = [(one.key, one.size) async for page in pages for one in page]
    assert sorted(found) == sorted((one["Key"], one["Size"]) for one in rows)

"""Upload the seed's objects with Rehome's own S3 client, and empty buckets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from rehome.config.settings import Side
from rehome.s3.client.client import Client
from rehome.s3.endpoint.resolve import resolve

from ..errors import SandboxError
from ..s3_server import SOURCE_BUCKET, TARGET_BUCKET, S3Server
from . import avatars, oddities
from .oddities import Content, OddObject

CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Upload:
    """One object to upload."""

    key: str
    body: bytes
    headers: Mapping[str, str]


class Objects:
    """The two buckets, accessed by their owner."""

    def __init__(self, store: S3Server, source: Client, target: Client) -> None:
        self._store = store
        self._source = source
        self._target = target

    async def put_avatars(self, numbers: Iterable[int]) -> None:
        """Upload these avatars to the source bucket, many at once, each drawn just before its upload."""
        await _put_all(
            self._source,
            (Upload(avatars.path(number), avatars.draw(number), avatars.headers(number)) for number in numbers),
        )

    async def put_oddities(self) -> None:
        """Upload every odd object; an existing one gets the same bytes."""
        small = [odd for odd in oddities.OBJECTS if odd.content is not Content.LARGE]
        await _put_all(self._source, (_odd_upload(odd, odd.key) for odd in small))
        moved = (_odd_upload(odd, avatars.migrated(odd.key)) for odd in small if odd.moved)
        await _put_all(self._target, moved)
        for odd in oddities.OBJECTS:
            if odd.content is Content.LARGE:
                await asyncio.to_thread(_put_in_parts, self._store.client(), odd)


@asynccontextmanager
async def open_objects(store: S3Server) -> AsyncIterator[Objects]:
    """Yield the store's buckets; the connections close at the end of the block."""
    keys = store.users["admin"]
    source = Side(
        "source",
        SOURCE_BUCKET,
        "",
        endpoint_url=store.endpoint_url,
        region=store.region,
        access_key=keys.access_key,
        secret_key=keys.secret_key,
    )
    target = replace(source, label="target", bucket=TARGET_BUCKET)
    async with (
        Client(resolve(source), max_connections=CONNECTIONS) as source_client,
        Client(resolve(target), max_connections=CONNECTIONS) as target_client,
    ):
        yield Objects(store, source_client, target_client)


def empty_buckets(store: S3Server) -> None:
    """Replace both buckets by new ones."""
    client = store.client()
    for bucket in (SOURCE_BUCKET, TARGET_BUCKET):
        store.remove_bucket(bucket)
        client.create_bucket(Bucket=bucket)


async def _put_all(client: Client, uploads: Iterable[Upload]) -> None:
    """Upload over all connections; the next upload is made when a connection is free."""
    waiting = iter(uploads)

    async def work(mine: Iterator[Upload]) -> None:
        for upload in mine:
            response = await client.put_object(upload.key, upload.body, upload.headers)
            if response.status != 200:
                raise SandboxError(f"PUT {upload.key}: status {response.status}")

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(work(waiting))
    except ExceptionGroup as failures:
        # They failed for the same reason, or were cancelled because of the first.
        raise failures.exceptions[0] from None


def _odd_upload(odd: OddObject, key: str) -> Upload:
    if odd.content is Content.TEXT:
        return Upload(key, odd.body(), {"content-type": "text/plain; charset=utf-8"})
    return Upload(key, odd.body(), avatars.headers(oddities.FIRST_USER))


def _put_in_parts(client: Any, odd: OddObject) -> None:
    body = odd.body()
    where = {"Bucket": SOURCE_BUCKET, "Key": odd.key}
    upload = client.create_multipart_upload(
        **where, ContentType="image/png", Metadata={"user-id": str(oddities.FIRST_USER)}
    )
    parts = []
    for number, start in enumerate(range(0, len(body), oddities.PART_BYTES), start=1):
        reply = client.upload_part(
            **where,
            UploadId=upload["UploadId"],
            PartNumber=number,
            Body=body[start : start + oddities.PART_BYTES],
        )
        parts.append({"PartNumber": number, "ETag": reply["ETag"]})
    client.complete_multipart_upload(**where, UploadId=upload["UploadId"], MultipartUpload={"Parts": parts})

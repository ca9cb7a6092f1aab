"""Listing, copying and comparing on a real object store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from rehome.s3.capabilities import Capabilities
from rehome.s3.client.client import Client
from rehome.s3.copier.run import copy_objects
from rehome.s3.endpoint.resolve import resolve
from rehome.s3.errors import S3StopError
from rehome.s3.listing.listing import list_objects
from rehome.s3.listing.page import Listed
from rehome.s3.objects.compare import Evidence, compare
from rehome.s3.objects.job import CopyJob, CopyOptions, CopyOutcome
from rehome.s3.probe.reachable import check_bucket

from sandbox.s3_server import S3Server
from tests.conftest import Buckets
from tests.integration.s3.opening import capabilities, side_of
from tests.unit.s3.wire import on_uvloop

ODD_NAMES = [
    "plain.png",
    "a b.png",
    "a+b.png",
    "a%20b.png",
    "a%2Bb.png",
    "quote'\"`.png",
    "amp&<tag>;=?#.png",
    "ümläut-日本語.png",
    "emoji-😀.png",
    "combining-e\u0301.png",
    "deep/er/name.png",
    "~tilde!*()$,:@.png",
    "bell\x07.png",
]


class Store:
    """A client for each of two buckets, and botocore's client to check their results."""

    def __init__(self, source: Client, target: Client, witness: Any, able: Capabilities) -> None:
        self.options = CopyOptions(capabilities=able)
        self.source = source
        self.target = target
        self.witness = witness

    async def listed(self, client: Client, prefix: str = "") -> list[Listed]:
        return [listed async for page in list_objects(client, prefix, parallel=1) for listed in page]

    async def copy(self, jobs: Iterator[CopyJob]) -> list[CopyOutcome]:
        outcomes: list[CopyOutcome] = []
        await copy_objects(self.source, self.target, jobs, outcomes.append, self.options)
        return outcomes

    async def move(self, key: str, target_key: str, replace_etag: str | None = None) -> CopyOutcome:
        (listed,) = [one for one in await self.listed(self.source, key) if one.key == key]
        (outcome,) = await self.copy(iter([CopyJob(key, listed.etag, listed.size, target_key, replace_etag)]))
        return outcome

    def put(self, client: Client, key: str, body: bytes, **more: Any) -> str:
        reply = self.witness.put_object(Bucket=client.endpoint.bucket, Key=key, Body=body, **more)
        return str(reply["ETag"]).strip('"')

    def content(self, client: Client, key: str) -> bytes:
        return bytes(self.witness.get_object(Bucket=client.endpoint.bucket, Key=key)["Body"].read())


@asynccontextmanager
async def opened(object_store: S3Server, buckets: Buckets, user: str = "migrate") -> AsyncIterator[Store]:
    source = resolve(side_of(object_store, buckets.source, user))
    target = resolve(side_of(object_store, buckets.target, user))
    async with Client(source, 16) as source_client, Client(target, 16) as target_client:
        yield Store(source_client, target_client, object_store.client(), capabilities(object_store))


@on_uvloop
async def test_odd_keys_are_listed_and_copied_as_they_are(object_store: S3Server, buckets: Buckets) -> None:
    async with opened(object_store, buckets) as store:
        bodies = {f"image/{name}": name.encode() for name in ODD_NAMES}
        for key, body in bodies.items():
            store.put(store.source, key, body)
        listed = await store.listed(store.source, "image/")
        assert [one.key for one in listed] == sorted(bodies, key=str.encode)
        jobs = (CopyJob(one.key, one.etag, one.size, f"avatar/{one.key[6:]}") for one in listed)
        outcomes = await store.copy(jobs)
        assert {(one.result, one.evidence) for one in outcomes} == {("copied", Evidence.ETAG)}
        for key, body in bodies.items():
            assert store.content(store.target, f"avatar/{key[6:]}") == body


@on_uvloop
async def test_odd_keys_written_by_this_client_are_read_by_botocore(object_store: S3Server, buckets: Buckets) -> None:
    async with opened(object_store, buckets) as store:
        for name in ODD_NAMES:
            await store.target.put_object(f"x/{name}", name.encode(), {"content-type": "text/plain"})
            assert store.content(store.target, f"x/{name}") == name.encode()


@on_uvloop
async def test_metadata_tags_and_headers_are_carried(object_store: S3Server, buckets: Buckets) -> None:
    async with opened(object_store, buckets) as store:
        metadata = {"ContentType": "image/png", "CacheControl": "max-age=60", "Metadata": {"owner": "ann"}}
        store.put(store.source, "image/a.png", b"png", Tagging="team=web&x=1", **metadata)
        assert (await store.move("image/a.png", "avatar/a.png")).result == "copied"
        where = {"Bucket": buckets.target, "Key": "avatar/a.png"}
        head = store.witness.head_object(**where)
        assert {name: head[name] for name in metadata} == metadata
        tags = store.witness.get_object_tagging(**where)["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "web", "x": "1"}


@on_uvloop
async def test_a_taken_target_key_is_present_or_a_conflict_and_never_overwritten(
    object_store: S3Server, buckets: Buckets
) -> None:
    async with opened(object_store, buckets) as store:
        for key in ("image/same", "image/other", "image/longer"):
            store.put(store.source, key, b"content")
        store.put(store.target, "avatar/same", b"content")
        store.put(store.target, "avatar/other", b"CONTENT")
        store.put(store.target, "avatar/longer", b"content!")
        assert (await store.move("image/same", "avatar/same")).result == "present"
        assert (await store.move("image/other", "avatar/other")).result == "conflict"
        assert (await store.move("image/longer", "avatar/longer")).result == "conflict"
        assert store.content(store.target, "avatar/other") == b"CONTENT"


@on_uvloop
async def test_exactly_the_named_target_object_is_replaced(object_store: S3Server, buckets: Buckets) -> None:
    async with opened(object_store, buckets) as store:
        store.put(store.source, "image/a", b"new")
        old = store.put(store.target, "avatar/a", b"old")
        wrong = await store.move("image/a", "avatar/a", replace_etag="0" * 32)
        assert (wrong.result, store.content(store.target, "avatar/a")) == ("conflict", b"old")
        right = await store.move("image/a", "avatar/a", replace_etag=old)
        assert (right.result, store.content(store.target, "avatar/a")) == ("copied", b"new")


@on_uvloop
async def test_a_source_that_changed_or_went_after_the_listing_is_not_copied(
    object_store: S3Server, buckets: Buckets
) -> None:
    async with opened(object_store, buckets) as store:
        etag = store.put(store.source, "image/a", b"listed")
        store.put(store.source, "image/a", b"changed")
        jobs = [CopyJob("image/a", etag, 6, "avatar/a"), CopyJob("image/gone", etag, 6, "avatar/gone")]
        outcomes = await store.copy(iter(jobs))
        assert sorted((one.job.source_key, one.result, one.error) for one in outcomes) == [
            ("image/a", "changed", "PreconditionFailed"),
            ("image/gone", "changed", "NoSuchKey"),
        ]
        assert await store.listed(store.target) == []


@on_uvloop
async def test_a_multipart_object_is_copied_and_proven(object_store: S3Server, buckets: Buckets) -> None:
    async with opened(object_store, buckets) as store:
        body = os.urandom(12 * 1024 * 1024)
        multipart_upload(store.witness, buckets.source, "image/big", body)
        (listed,) = await store.listed(store.source)
        assert listed.etag.endswith("-3")
        outcome = await store.move("image/big", "avatar/big")
        assert outcome.result == "copied"
        assert store.content(store.target, "avatar/big") == body


@on_uvloop
async def test_content_is_compared_by_its_bytes_if_the_etags_differ(object_store: S3Server, buckets: Buckets) -> None:
    async with opened(object_store, buckets) as store:
        body = os.urandom(12 * 1024 * 1024)
        multipart_upload(store.witness, buckets.source, "image/big", body)
        whole = store.put(store.target, "avatar/same", body)
        other = store.put(store.target, "avatar/other", body[:-1] + bytes([body[-1] ^ 1]))
        (listed,) = await store.listed(store.source)
        source = store.source, "image/big", listed.etag
        assert await compare(*source, store.target, "avatar/same", whole) is Evidence.BYTES
        assert await compare(*source, store.target, "avatar/other", other) is None
        assert await compare(*source, store.target, "avatar/same", "0" * 32) is None
        assert await compare(*source, store.target, "avatar/gone", whole) is None
        assert (await store.move("image/big", "avatar/same")).result == "present"


def multipart_upload(witness: Any, bucket: str, key: str, body: bytes) -> None:
    where = {"Bucket": bucket, "Key": key}
    upload = {**where, "UploadId": witness.create_multipart_upload(**where)["UploadId"]}
    size = 5 * 1024 * 1024
    parts = [
        {
            "PartNumber": number,
            "ETag": witness.upload_part(**upload, PartNumber=number, Body=body[start : start + size])["ETag"],
        }
        for number, start in enumerate(range(0, len(body), size), 1)
    ]
    witness.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


@on_uvloop
async def test_a_listing_of_several_pages_is_whole_and_in_order(object_store: S3Server, buckets: Buckets) -> None:
    async with opened(object_store, buckets, "admin") as store:
        keys = [f"image/{number:05d} +.png" for number in range(2345)]
        async with asyncio.TaskGroup() as group:
            for key in keys:
                group.create_task(store.source.put_object(key, b"x"))
        await store.source.put_object("other/z", b"x")
        assert [one.key for one in await store.listed(store.source, "image/")] == keys
        sizes = [len(page) async for page in list_objects(store.source, "image/", page_size=1000, parallel=1)]
        assert sizes == [1000, 1000, 345]


@pytest.mark.needs("rights")
@on_uvloop
async def test_credentials_that_may_not_write_copy_nothing_and_stop(object_store: S3Server, buckets: Buckets) -> None:
    async with opened(object_store, buckets, "reader") as store:
        for number in range(60):
            store.put(store.source, f"image/{number}", b"x")
        listed = await store.listed(store.source)
        jobs = (CopyJob(one.key, one.etag, one.size, f"avatar/{one.key}") for one in listed)
        with pytest.raises(S3StopError, match="AccessDenied"):
            await store.copy(jobs)
        assert await store.listed(store.target) == []


def test_a_bucket_that_can_be_listed_has_no_finding(object_store: S3Server, buckets: Buckets) -> None:
    for user in ("admin", "migrate", "reader"):
        assert check_bucket(side_of(object_store, buckets.source, user)) == []


@pytest.mark.parametrize(
    ("changes", "setting", "words"),
    [
        ({"bucket": "legacy-s3-no-such-bucket"}, "bucket", "no bucket of this name"),
        pytest.param({"bucket": "foreign"}, "bucket", "may exist", marks=pytest.mark.needs("rights")),
        pytest.param({"access_key": "NOBODY"}, "access_key", "does not know", marks=pytest.mark.needs("rights")),
        pytest.param({"secret_key": "wrong"}, "secret_key", "not the secret", marks=pytest.mark.needs("rights")),
    ],
)
def test_what_the_store_refuses_is_reported(
    object_store: S3Server, changes: dict[str, str], setting: str, words: str
) -> None:
    if changes.get("bucket") == "foreign":
        object_store.client().create_bucket(Bucket="foreign")
    user = "migrate" if changes.get("bucket") == "foreign" else "admin"
    more = dict(changes)
    bucket = more.pop("bucket", "legacy-s3")
    (finding,) = check_bucket(side_of(object_store, bucket, user, **more))
    assert finding.setting == f"rehome_source.{setting}"
    assert words in str(finding)


def test_https_at_the_stores_plain_port_is_reported(object_store: S3Server, buckets: Buckets) -> None:
    url = object_store.endpoint_url.replace("http:", "https:")
    (finding,) = check_bucket(side_of(object_store, buckets.source, endpoint_url=url))
    assert "does not speak TLS" in finding.problem

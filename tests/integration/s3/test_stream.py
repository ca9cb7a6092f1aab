"""Streaming between two real, separate object stores."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rehome.s3.client.client import Client
from rehome.s3.copier.run import copy_objects
from rehome.s3.endpoint.resolve import resolve
from rehome.s3.listing.listing import list_objects
from rehome.s3.objects.compare import Evidence
from rehome.s3.objects.job import CopyJob, CopyOptions, CopyOutcome

from sandbox.s3_server import S3Server
from sandbox.seaweedfs import SeaweedFS
from tests.conftest import ACTIONS, Buckets, running
from tests.integration.s3.opening import side_of
from tests.unit.s3.wire import Handler, client_of, error, on_uvloop, reply

MEBIBYTE = 1024**2
STREAM = CopyOptions(method="stream")
SIZES = {"none": 0, "one": 1, "small": 600, "whole": 9 * MEBIBYTE, "parts": 40 * MEBIBYTE + 1}


@pytest.fixture(scope="module")
def other_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """A second store, with its own users."""
    yield from running(SeaweedFS(tmp_path_factory.mktemp("other-store") / "seaweedfs", ACTIONS))


class Stores:
    """Clients for a bucket in each of two stores, and botocore's clients to check their results."""

    def __init__(self, source: Client, target: Client, source_admin: Any, target_admin: Any) -> None:
        self.source = source
        self.target = target
        self.source_admin = source_admin
        self.target_admin = target_admin

    def put(self, key: str, body: bytes, **more: Any) -> None:
        self.source_admin.put_object(Bucket=self.source.endpoint.bucket, Key=key, Body=body, **more)

    async def jobs(self) -> list[CopyJob]:
        pages = [page async for page in list_objects(self.source, "")]
        return [CopyJob(one.key, one.etag, one.size, f"avatar/{one.key}") for page in pages for one in page]

    async def stream(self, jobs: Sequence[CopyJob] | None = None) -> dict[str, CopyOutcome]:
        outcomes: list[CopyOutcome] = []
        jobs = await self.jobs() if jobs is None else jobs
        await copy_objects(self.source, self.target, iter(jobs), outcomes.append, STREAM)
        assert len(outcomes) == len(jobs)
        return {outcome.job.source_key: outcome for outcome in outcomes}

    def content(self, key: str) -> bytes:
        return bytes(
            self.target_admin.get_object(Bucket=self.target.endpoint.bucket, Key=f"avatar/{key}")["Body"].read()
        )

    def open_uploads(self) -> list[Any]:
        return list(self.target_admin.list_multipart_uploads(Bucket=self.target.endpoint.bucket).get("Uploads", []))


@asynccontextmanager
async def opened(source_store: SeaweedFS, target_store: SeaweedFS, buckets: Buckets) -> AsyncIterator[Stores]:
    target = f"production-s3-{secrets.token_hex(4)}"
    target_store.client().create_bucket(Bucket=target)
    async with (
        Client(resolve(side_of(source_store, buckets.source)), 16) as source_client,
        Client(resolve(side_of(target_store, target)), 16) as target_client,
    ):
        yield Stores(source_client, target_client, source_store.client(), target_store.client())


@on_uvloop
async def test_objects_of_all_sizes_arrive_whole_and_a_second_run_finds_them_present(
    object_store: S3Server, other_store: SeaweedFS, buckets: Buckets
) -> None:
    async with opened(object_store, other_store, buckets) as stores:
        metadata = {"ContentType": "image/png", "CacheControl": "max-age=60", "Metadata": {"owner": "ann"}}
        bodies = {name: os.urandom(size) for name, size in SIZES.items()}
        for name, body in bodies.items():
            stores.put(name, body, Tagging="team=web&x=a%20b", **metadata)
        outcomes = await stores.stream()
        assert {name: one.result for name, one in outcomes.items()} == dict.fromkeys(SIZES, "copied")
        evidence = {name: one.evidence for name, one in outcomes.items()}
        assert evidence == {**dict.fromkeys(SIZES, Evidence.ETAG), "parts": Evidence.BYTES}
        for name, body in bodies.items():
            assert stores.content(name) == body
            params = {"Bucket": stores.target.endpoint.bucket, "Key": f"avatar/{name}"}
            head = stores.target_admin.head_object(**params)
            assert {name: head[name] for name in metadata} == metadata
            tags = stores.target_admin.get_object_tagging(**params)["TagSet"]
            assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "web", "x": "a b"}
        again = await stores.stream()
        assert {name: one.result for name, one in again.items()} == dict.fromkeys(SIZES, "present")
        assert stores.open_uploads() == []


@pytest.mark.needs("parts of objects")
@on_uvloop
async def test_an_object_that_was_uploaded_in_parts_keeps_its_etag(
    object_store: S3Server, other_store: SeaweedFS, buckets: Buckets
) -> None:
    async with opened(object_store, other_store, buckets) as stores:
        body = os.urandom(12 * MEBIBYTE + 5)
        params = {"Bucket": stores.source.endpoint.bucket, "Key": "big"}
        upload = {**params, "UploadId": stores.source_admin.create_multipart_upload(**params)["UploadId"]}
        step = 5 * MEBIBYTE
        parts = []
        for number, start in enumerate(range(0, len(body), step), 1):
            part = stores.source_admin.upload_part(**upload, PartNumber=number, Body=body[start : start + step])
            parts.append({"PartNumber": number, "ETag": part["ETag"]})
        stores.source_admin.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        (job,) = await stores.jobs()
        assert job.etag.endswith("-3")
        outcome = (await stores.stream())["big"]
        assert (outcome.result, stores.content("big") == body) == ("copied", True)
        assert (outcome.evidence, outcome.target_etag) == (Evidence.ETAG, job.etag)
        assert stores.open_uploads() == []


@on_uvloop
async def test_a_taken_target_key_is_never_overwritten(
    object_store: S3Server, other_store: SeaweedFS, buckets: Buckets
) -> None:
    async with opened(object_store, other_store, buckets) as stores:
        bodies = {"small": b"new", "parts": b"new" * (6 * MEBIBYTE)}
        for name, body in bodies.items():
            stores.put(name, body)
            stores.target_admin.put_object(Bucket=stores.target.endpoint.bucket, Key=f"avatar/{name}", Body=b"old")
        outcomes = await stores.stream()
        assert {one.result for one in outcomes.values()} == {"conflict"}
        assert {stores.content(name) for name in outcomes} == {b"old"}
        replacing = [job._replace(replace_etag=outcomes[job.source_key].target_etag) for job in await stores.jobs()]
        assert {one.result for one in (await stores.stream(replacing)).values()} == {"copied"}
        assert {name: stores.content(name) for name in bodies} == bodies
        assert {one.result for one in (await stores.stream(replacing)).values()} == {"present"}
        assert stores.open_uploads() == []


@on_uvloop
async def test_a_source_that_changed_or_went_is_not_copied(
    object_store: S3Server, other_store: SeaweedFS, buckets: Buckets
) -> None:
    async with opened(object_store, other_store, buckets) as stores:
        for name in ("small", "parts"):
            stores.put(name, b"listed")
        sizes = {"small": 600, "parts": 17 * MEBIBYTE}
        jobs = [job._replace(size=sizes[job.source_key]) for job in await stores.jobs()]
        for name, size in sizes.items():
            stores.put(name, b"x" * size)
        jobs.append(CopyJob("gone", jobs[0].etag, 6, "avatar/gone"))
        outcomes = await stores.stream(jobs)
        assert {one.result for one in outcomes.values()} == {"changed"}
        assert [page async for page in list_objects(stores.target, "")] == []
        assert stores.open_uploads() == []


STREAMING = r"""
import json, re, sys, uvloop
from pathlib import Path
from rehome.s3.copier import stream_object
from rehome.s3.client.client import Client
from rehome.s3.copier.run import copy_objects
from rehome.s3.endpoint.resolve import resolve
from rehome.s3.objects.job import CopyJob, CopyOptions
from rehome.config.settings import Side

ports, etag, size, copies, limit = json.load(sys.stdin)
stream_object.MEMORY.limit = limit

def bucket(port):
    keys = {"access_key": "AKID", "secret_key": "SECRET", "region": "us-east-1"}
    return resolve(Side(label="source", bucket="bucket", prefix="", endpoint_url=f"http://127.0.0.1:{port}", **keys))

def peak():
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024

async def main():
    outcomes = []
    async with Client(bucket(ports[0])) as source, Client(bucket(ports[1])) as target:
        before = peak()
        jobs = (CopyJob("big", etag, size, f"avatar/{number}") for number in range(copies))
        await copy_objects(source, target, jobs, outcomes.append, CopyOptions(method="stream"))
    print(json.dumps([[one.result for one in outcomes], peak() - before, stream_object.MEMORY.peak]))

uvloop.run(main())
"""


@on_uvloop
async def test_a_process_that_streams_two_hundred_mebibytes_needs_little_more_than_its_budget() -> None:
    """Run between servers that store nothing, as two real stores would take most of the time."""
    body, limit = bytes(40 * MEBIBYTE), 32 * MEBIBYTE
    etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    async with client_of(serving(body, etag)) as (_, source, _), client_of(accepting()) as (_, target, _):
        source.requests = target.requests = Discarded()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            STREAMING,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": str(Path(__file__).parents[3] / "module_utils")},
        )
        output, _ = await process.communicate(
            json.dumps([[source.port, target.port], etag, len(body), 5, limit]).encode()
        )
    assert process.returncode == 0
    results, grown, most_reserved = json.loads(output)
    assert (results, most_reserved) == (["copied"] * 5, limit)
    assert grown < limit + 16 * MEBIBYTE, f"{grown / MEBIBYTE:.0f} MiB"


class Discarded(list[bytes]):
    """A list of requests that keeps none."""

    def append(self, request: bytes, /) -> None:
        pass


def serving(body: bytes, etag: str) -> Handler:
    """Return a service that has this object at every key."""

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        wanted_range = next((line for line in request.split(b"\r\n") if line.startswith(b"range: bytes=")), None)
        if b"?tagging" in request:
            writer.write(error(404, "NoSuchTagSet"))
        elif wanted_range is None:
            head = reply(200, etag=f'"{etag}"')
            writer.write(head.replace(b"content-length: 0", b"content-length: %d" % len(body)))
        else:
            first, last = (int(number) for number in wanted_range[13:].split(b"-"))
            writer.write(reply(206, body[first : last + 1], etag=f'"{etag}"'))

    return handle


def accepting() -> Handler:
    """Return a service that accepts multipart uploads and keeps only the digests of their parts."""
    etags: dict[bytes, dict[int, bytes]] = {}

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        verb, path = request.split(b" ", 2)[:2]
        key, _, query = path.partition(b"?")
        parts = etags.setdefault(key, {})
        if verb == b"HEAD":
            writer.write(reply(404))
        elif verb == b"PUT":
            digest = hashlib.md5(request.partition(b"\r\n\r\n")[2], usedforsecurity=False)
            parts[int(query.partition(b"partNumber=")[2].partition(b"&")[0])] = digest.digest()
            writer.write(reply(200, etag=f'"{digest.hexdigest()}"'))
        elif query == b"uploads=":
            writer.write(reply(200, b"<Result><UploadId>u1</UploadId></Result>"))
        else:
            whole = hashlib.md5(b"".join(parts[number] for number in sorted(parts)), usedforsecurity=False)
            etag = f"<ETag>{whole.hexdigest()}-{len(parts)}</ETag>"
            writer.write(reply(200, f"<CompleteMultipartUploadResult>{etag}</CompleteMultipartUploadResult>".encode()))

    return handle

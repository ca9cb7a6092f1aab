"""Multipart copies on a real object store: killed at any moment, resumed, and without unfinished uploads."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop
from rehome.s3.client.client import Client
from rehome.s3.copier.run import copy_objects
from rehome.s3.multipart.abort import abort_unfinished
from rehome.s3.multipart.record import Uploads
from rehome.s3.objects.compare import Evidence
from rehome.s3.objects.job import CopyJob, CopyOptions, CopyOutcome
from rehome.s3.transport.connection import Response
from rehome.s3.transport.endpoint import Credentials, Endpoint

from sandbox.s3_server import S3Server
from tests.conftest import Buckets
from tests.integration.s3.opening import capabilities

MIB = 1024**2
SIZE = 11 * MIB + 3
OPTIONS = CopyOptions(multipart_threshold=6 * MIB, part_size=5 * MIB)
PROPERTIES = {
    "ContentType": "image/png",
    "CacheControl": "max-age=60",
    "Metadata": {"owner": "ann", "x": "ü".encode().hex()},
}
KEY, TARGET_KEY = "image/big ü+%.png", "avatar/big ü+%.png"

AFTER_CREATE = pytest.param("after create", marks=pytest.mark.needs("times of uploads"))
"""When the upload exists and its id is lost."""

Hook = Callable[[str], Awaitable[None]]
"""Called with the moment of each request to the target, such as `before complete` and `after part 2`."""


@dataclass(frozen=True, slots=True)
class Store:
    """A pair of buckets, and botocore's client to check them."""

    server: S3Server
    buckets: Buckets
    witness: Any
    body: bytes
    options: CopyOptions

    def put(self, key: str = KEY) -> CopyJob:
        params = {"Bucket": self.buckets.source, "Key": key}
        etag = self.witness.put_object(**params, Body=self.body, Tagging="team=web&a=b%20c", **PROPERTIES)["ETag"]
        return CopyJob(key, etag.strip('"'), len(self.body), TARGET_KEY)

    def copy(
        self,
        jobs: Sequence[CopyJob],
        record: Path | None,
        hook: Hook | None = None,
        *,
        connections: int = 8,
        clean: bool = False,
    ) -> list[CopyOutcome]:
        """Run one copy. clean: abort unfinished uploads at its end"""
        outcomes: list[CopyOutcome] = []

        async def run() -> None:
            async with AsyncExitStack() as stack:
                source = await stack.enter_async_context(Client(self._endpoint(self.buckets.source), connections))
                target = await stack.enter_async_context(Client(self._endpoint(self.buckets.target), connections))
                if hook is not None:
                    _report_requests(target, hook)
                uploads = stack.enter_context(Uploads(record))
                await copy_objects(source, target, iter(jobs), outcomes.append, self.options, uploads)
                if clean:
                    assert await abort_unfinished(target, uploads) == []
                    assert uploads.recorded(self.buckets.target) == []

        uvloop.run(run())
        return outcomes

    def copy_and_die(self, jobs: Sequence[CopyJob], record: Path, at: str, connections: int = 8) -> None:
        """Run one copy in a process that is killed at the moment `at`."""

        async def die(moment: str) -> None:
            if moment == at:
                os.kill(os.getpid(), signal.SIGKILL)

        process = multiprocessing.get_context("fork").Process(
            target=self.copy, args=(jobs, record, die), kwargs={"connections": connections}
        )
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL

    @property
    def keeps_checksums(self) -> bool:
        """Whether the server returns a checksum of the whole content, which botocore sends with it."""
        return self.server.name in ("ceph",)

    def open_uploads(self) -> list[Any]:
        return list(self.witness.list_multipart_uploads(Bucket=self.buckets.target).get("Uploads", []))

    def assert_moved(self, key: str = TARGET_KEY) -> None:
        params = {"Bucket": self.buckets.target, "Key": key}
        found = self.witness.get_object(**params)
        assert found["Body"].read() == self.body
        assert {name: found[name] for name in PROPERTIES} == PROPERTIES
        tags = self.witness.get_object_tagging(**params)["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "web", "a": "b c"}

    def _endpoint(self, bucket: str) -> Endpoint:
        """Return what `resolve` would, which takes longer than most of these tests."""
        address = urlsplit(self.server.endpoint_url)
        keys = self.server.users["migrate"]
        return Endpoint(
            scheme="http",
            host=str(address.hostname),
            port=int(address.port or 80),
            base_path=f"/{bucket}",
            bucket=bucket,
            region=self.server.region,
            tls=None,
            credentials=lambda: Credentials(keys.access_key, keys.secret_key),
        )


def _report_requests(client: Client, hook: Hook) -> None:
    send = client.request
    parts = 0

    async def request(method: str, key: str | None, **more: Any) -> Response:
        nonlocal parts
        query = dict(more.get("query", ()))
        kind = f"{method} {' '.join(query)}"
        if "partNumber" in query:
            parts += 1
            kind = f"part {parts}"
        kind = {"POST uploads": "create", "POST uploadId": "complete"}.get(kind, kind)
        await hook(f"before {kind}")
        reply = await send(method, key, **more)
        await hook(f"after {kind}")
        return reply

    client.request = request  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def witness(object_store: S3Server) -> Any:
    return object_store.client()


@pytest.fixture
def store(object_store: S3Server, buckets: Buckets, witness: Any) -> Store:
    options = replace(OPTIONS, capabilities=capabilities(object_store))
    return Store(object_store, buckets, witness, os.urandom(SIZE), options)


def test_a_large_object_is_copied_with_all_that_belongs_to_it(store: Store) -> None:
    (outcome,) = store.copy([store.put()], None)
    assert (outcome.result, outcome.evidence) == (
        "copied",
        Evidence.CHECKSUM if store.keeps_checksums else Evidence.SIZE,
    )
    store.assert_moved()
    assert store.open_uploads() == []


def test_a_large_object_that_exists_in_the_target_is_present(store: Store) -> None:
    job = store.put()
    assert [outcome.result for outcome in store.copy([job], None)] == ["copied"]
    assert [(one.result, one.evidence) for one in store.copy([job], None)] == [
        ("present", Evidence.CHECKSUM if store.keeps_checksums else Evidence.BYTES)
    ]


@pytest.mark.parametrize(
    "moment",
    ["before create", AFTER_CREATE, "after part 2", "before complete"],
)
def test_killed_anywhere_the_next_run_finishes_and_leaves_no_upload(store: Store, tmp_path: Path, moment: str) -> None:
    job = store.put()
    record = tmp_path / "uploads.sqlite"
    store.copy_and_die([job], record, moment)
    (outcome,) = store.copy([job], record, clean=True)
    assert outcome.result == "copied"
    store.assert_moved()
    assert store.open_uploads() == []


def test_killed_after_the_completion_the_object_exists_and_nothing_is_left(store: Store, tmp_path: Path) -> None:
    job = store.put()
    record = tmp_path / "uploads.sqlite"
    store.copy_and_die([job], record, "after complete")
    store.assert_moved()
    assert [outcome.result for outcome in store.copy([job], record, clean=True)] == ["present"]
    assert store.open_uploads() == []


@pytest.mark.parametrize("moment", [AFTER_CREATE, "after part 2"])
def test_killed_and_not_wanted_any_more_the_upload_is_aborted(store: Store, tmp_path: Path, moment: str) -> None:
    record = tmp_path / "uploads.sqlite"
    store.copy_and_die([store.put()], record, moment)
    assert len(store.open_uploads()) == 1
    assert store.copy([], record, clean=True) == []
    assert store.open_uploads() == []


@pytest.mark.needs("lists of parts")
def test_an_upload_resumed_again_and_again_ends_whole(store: Store, tmp_path: Path) -> None:
    job = store.put()
    record = tmp_path / "uploads.sqlite"
    for _ in range(2):
        store.copy_and_die([job], record, "after part 1", connections=1)
    assert len(store.open_uploads()) == 1
    kinds: list[str] = []

    async def note(moment: str) -> None:
        kinds.append(moment)

    (outcome,) = store.copy([job], record, note, clean=True)
    assert outcome.result == "copied"
    assert [kind for kind in kinds if kind.startswith("before ") and "part" in kind] == ["before part 1"]
    assert "before create" not in kinds
    store.assert_moved()
    assert store.open_uploads() == []


def test_a_source_that_changes_midway_is_changed_and_leaves_nothing(store: Store) -> None:
    job = store.put()

    async def overwrite(moment: str) -> None:
        if moment == "after create":
            await asyncio.to_thread(
                store.witness.put_object, Bucket=store.buckets.source, Key=KEY, Body=store.body[::-1]
            )

    (outcome,) = store.copy([job], None, overwrite)
    assert outcome.result == "changed"
    assert store.open_uploads() == []
    assert "Contents" not in store.witness.list_objects_v2(Bucket=store.buckets.target)


@pytest.mark.parametrize("moment", ["before part 1", "before part 2", "before part 3", "after part 3"])
def test_a_source_that_changes_between_two_parts_is_never_mixed(store: Store, moment: str) -> None:
    """Before a part is after the look at its source: whatever a service copies then, it must not be completed."""
    job = store.put()

    async def overwrite(now: str) -> None:
        if now == moment:
            await asyncio.to_thread(
                store.witness.put_object, Bucket=store.buckets.source, Key=KEY, Body=store.body[::-1]
            )

    (outcome,) = store.copy([job], None, overwrite, connections=1)
    assert outcome.result == "changed"
    assert store.open_uploads() == []
    stored = store.witness.list_objects_v2(Bucket=store.buckets.target).get("Contents", [])
    where = {"Bucket": store.buckets.target, "Key": TARGET_KEY}
    assert [store.witness.get_object(**where)["Body"].read() == store.body for _ in stored] in ([], [True])


def test_a_target_that_is_stored_midway_by_somebody_else_is_not_overwritten(store: Store) -> None:
    job = store.put()
    where = {"Bucket": store.buckets.target, "Key": TARGET_KEY}

    async def store_another(moment: str) -> None:
        if moment == "before complete":
            await asyncio.to_thread(store.witness.put_object, **where, Body=b"theirs")

    (outcome,) = store.copy([job], None, store_another)
    assert outcome.result == "conflict"
    assert store.witness.get_object(**where)["Body"].read() == b"theirs"
    assert store.open_uploads() == []


def test_exactly_the_named_large_object_is_replaced(store: Store) -> None:
    where = {"Bucket": store.buckets.target, "Key": TARGET_KEY}
    old = store.witness.put_object(**where, Body=b"old")["ETag"].strip('"')
    job = store.put()
    (wrong,) = store.copy([job._replace(replace_etag="0" * 32)], None)
    assert (wrong.result, store.witness.get_object(**where)["Body"].read()) == ("conflict", b"old")
    (right,) = store.copy([job._replace(replace_etag=old)], None)
    assert right.result == "copied"
    store.assert_moved()

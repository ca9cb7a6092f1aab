"""Uploads in parts: what is sent, what proves them, and what is left behind when something goes wrong."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, quote_plus, unquote

import pytest
from rehome.errors import RehomeError
from rehome.s3.capabilities import Capabilities
from rehome.s3.client.client import Client
from rehome.s3.copier.run import copy_objects
from rehome.s3.errors import S3StopError
from rehome.s3.multipart.abort import abort_unfinished
from rehome.s3.multipart.parts import MAX_OBJECT_BYTES, Part, even_parts, layout
from rehome.s3.multipart.record import Upload, Uploads
from rehome.s3.objects.compare import Evidence
from rehome.s3.objects.job import MAX_COPY_BYTES, MAX_PARTS, CopyJob, CopyOptions, CopyOutcome, SourceChanged
from rehome.s3.support import Support

from tests.unit.s3.wire import client_of, copied, error, on_uvloop, reply

MIB = 1024**2
SIZE = 12 * MIB
PARTS = 3
OPTIONS = CopyOptions(multipart_threshold=MIB, part_size=5 * MIB)
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
BEGAN = "Sat, 21 Nov 2026 10:00:00 GMT"
LATER, EARLIER = "2026-11-21T10:00:05.000Z", "2026-11-21T08:00:00.000Z"

Ill = bytes | Literal["lose reply", "half a reply", "cut"]


def part_etag(number: int, size: int) -> str:
    return hashlib.md5(f"{number}/{size}".encode(), usedforsecurity=False).hexdigest()


def whole_etag(sizes: Sequence[int]) -> str:
    digests = b"".join(bytes.fromhex(part_etag(number, size)) for number, size in enumerate(sizes, 1))
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(sizes)}"


@dataclass
class Store:
    """One source object and the uploads of a bucket, on the wire.

    ill: what goes wrong, by kind of request, in turn: another reply, or none (`lose reply`: after acting), or
        200 with half a document, after acting
    then: what changes once a kind of request was answered, by its kind: the store's fields
    log: the kinds of the requests that came
    """

    etag: str = "e1"
    size: int = SIZE
    source_headers: dict[str, str] = field(default_factory=dict)
    tags: str = ""
    acl: str = ""
    first_part: int = 0
    ill: dict[str, list[Ill]] = field(default_factory=dict)
    then: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: dict[str, dict[str, str]] = field(default_factory=dict)
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    created: list[dict[str, str]] = field(default_factory=list)
    completed: list[tuple[dict[str, str], str]] = field(default_factory=list)
    encodes: bool | Literal["silently"] = True
    late_parts: int = 0
    part_delay: float = 0.0
    parts_at_once: int = 0
    most_parts_at_once: int = 0
    came: dict[str, asyncio.Event] = field(default_factory=dict)

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        line, *lines = head.decode().split("\r\n")
        verb, target, _ = line.split(" ")
        path, _, query = target.partition("?")
        headers = dict(each.split(": ", 1) for each in lines)
        params = dict(parse_qsl(query, keep_blank_values=True))
        key = unquote(path).removeprefix("/bucket").removeprefix("/")
        kind = self._kind(verb, key, params)
        self.log.append(kind)
        self.came.setdefault(kind, asyncio.Event()).set()
        ill = next(iter(self.ill.get(kind, [])), None)
        if ill is not None:
            self.ill[kind].pop(0)
        if isinstance(ill, bytes):
            writer.write(ill)
        elif ill == "cut":
            writer.close()
        else:
            answer = await self._answer(kind, key, params, headers, body.decode())
            for name, value in self.then.get(kind, {}).items():
                setattr(self, name, value)
            if ill is None:
                writer.write(answer)
            elif ill == "half a reply":
                writer.write(reply(200, b'<?xml version="1.0"?><CompleteMultipart'))
            else:
                writer.close()

    def _kind(self, verb: str, key: str, params: dict[str, str]) -> str:
        if "uploads" in params:
            return "create" if verb == "POST" else "list uploads"
        if "acl" in params:
            return "read acl"
        if "tagging" in params:
            return "read tags" if verb == "GET" else "put tags"
        if "partNumber" in params:
            return f"part {params['partNumber']}" if verb == "PUT" else "head part"
        if "uploadId" in params:
            return {"POST": "complete", "DELETE": "abort", "GET": "list parts"}[verb]
        return f"{verb.lower()} {'source' if key.startswith('old/') else 'target'}"

    async def _answer(  # noqa: PLR0911 - a table of cases
        self, kind: str, key: str, params: dict[str, str], headers: dict[str, str], body: str
    ) -> bytes:
        if kind == "head source":
            return self._head(self.etag, self.size, **self.source_headers)
        if kind == "head part":
            return self._head(self.etag, self.first_part or self.size)
        if kind == "head target":
            there = self.objects.get(key)
            return (
                reply(404, date=BEGAN)
                if there is None
                else self._head(there["etag"], int(there.get("size", self.size)))
            )
        if kind == "read tags":
            return reply(200, f"<Tagging {NAMESPACE}><TagSet>{self.tags}</TagSet></Tagging>".encode())
        if kind == "read acl":
            return reply(200, f"<AccessControlPolicy>{self.acl}</AccessControlPolicy>".encode())
        if kind == "put tags":
            self.objects[key]["tags"] = body
            return reply(200)
        if kind == "put target":
            return copied(self.etag)
        if kind == "create":
            upload_id = f"u{len(self.created) + 1}"
            self.created.append(headers)
            self.uploads[upload_id] = {"key": key, "parts": {}, "initiated": LATER}
            return reply(200, f"<Result {NAMESPACE}><UploadId>{upload_id}</UploadId></Result>".encode())
        if kind == "list uploads":
            return self._list_uploads(params)
        return await self._about_upload(kind, key, params, headers, body)

    async def _about_upload(
        self, kind: str, key: str, params: dict[str, str], headers: dict[str, str], body: str
    ) -> bytes:
        upload = self.uploads.get(params["uploadId"])
        if upload is None:
            return error(404, "NoSuchUpload")
        if kind.startswith("part"):
            return await self._part(int(params["partNumber"]), upload, headers)
        if kind == "list parts":
            return self._list_parts(upload)
        if kind == "abort":
            if self.late_parts:
                self.late_parts -= 1
            else:
                del self.uploads[params["uploadId"]]
            return reply(204)
        self.completed.append((headers, body))
        taken = self.objects.get(key)
        if taken is not None and headers.get("if-match", "").strip('"') != taken["etag"]:
            return error(412, "PreconditionFailed")
        sizes = [size for _, size in sorted(upload["parts"].values())]
        etag = whole_etag(sizes)
        self.objects[key] = {"etag": etag}
        del self.uploads[params["uploadId"]]
        sums = "".join(
            f"<Checksum{name[15:].upper()}>{value}</Checksum{name[15:].upper()}>"
            for name, value in headers.items()
            if name.startswith("x-amz-checksum-") and name != "x-amz-checksum-type"
        )
        return reply(
            200,
            f'<?xml version="1.0"?><CompleteMultipartUploadResult {NAMESPACE}><ETag>&quot;{etag}&quot;</ETag>{sums}'
            "<ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>".encode(),
        )

    async def _part(self, number: int, upload: dict[str, Any], headers: dict[str, str]) -> bytes:
        self.parts_at_once += 1
        self.most_parts_at_once = max(self.most_parts_at_once, self.parts_at_once)
        await asyncio.sleep(self.part_delay)
        self.parts_at_once -= 1
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("x-amz-copy-source-range", f"bytes=0-{self.size - 1}"))
        assert found is not None
        size = int(found[2]) - int(found[1]) + 1
        upload["parts"][number] = (number, size)
        etag = part_etag(number, size)
        return reply(200, f"<CopyPartResult {NAMESPACE}><ETag>&quot;{etag}&quot;</ETag></CopyPartResult>".encode())

    def _list_parts(self, upload: dict[str, Any]) -> bytes:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{part_etag(number, size)}&quot;</ETag>"
            f"<Size>{size}</Size></Part>"
            for number, size in upload["parts"].values()
        )
        return reply(200, f"<ListPartsResult {NAMESPACE}>{parts}</ListPartsResult>".encode())

    def _list_uploads(self, params: dict[str, str]) -> bytes:
        """One upload a page, encoded as requested unless this service ignores that."""

        def text(value: str, *, is_key: bool = False) -> str:
            """Encode as Amazon's S3 does, not at all, or as Ceph does: keys only."""
            if self.encodes == "silently":
                return quote(value) if is_key else value
            return quote_plus(value, safe="/") if self.encodes else value

        uploads = sorted((upload["key"], name) for name, upload in self.uploads.items())
        left = [one for one in uploads if one > (params.get("key-marker", ""), params.get("upload-id-marker", ""))]
        entries = "".join(
            f"<Upload><Key>{text(key, is_key=True)}</Key><UploadId>{name}</UploadId>"
            f"<Initiated>{self.uploads[name]['initiated']}</Initiated></Upload>"
            for key, name in left[:1]
        )
        if len(left) > 1:
            key, name = left[0]
            entries += (
                f"<NextKeyMarker>{text(key)}</NextKeyMarker><NextUploadIdMarker>{name}</NextUploadIdMarker>"
                "<IsTruncated>true</IsTruncated>"
            )
        stated = "" if self.encodes == "silently" else "<EncodingType>url</EncodingType>"
        said = f"{stated}<Prefix>{text(params['prefix'])}</Prefix>"
        return reply(200, f"<ListMultipartUploadsResult>{said}{entries}</ListMultipartUploadsResult>".encode())

    def _head(self, etag: str, size: int, **headers: str) -> bytes:
        lines = ["HTTP/1.1 200 OK", f"content-length: {size}", f'etag: "{etag}"', f"date: {BEGAN}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if name != "tags"]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def parts_sent(self) -> list[str]:
        return sorted(kind for kind in self.log if kind.startswith("part"))


def job_of(store: Store, **changes: Any) -> CopyJob:
    return CopyJob("old/a", store.etag, store.size, "new/a")._replace(**changes)


async def copy(
    client: Client, jobs: Sequence[CopyJob], uploads: Uploads | None = None, options: CopyOptions = OPTIONS
) -> list[CopyOutcome]:
    outcomes: list[CopyOutcome] = []
    await copy_objects(client, client, iter(jobs), outcomes.append, options, uploads)
    return outcomes


async def outcome_of(
    store: Store, uploads: Uploads | None = None, options: CopyOptions = OPTIONS, **changes: Any
) -> CopyOutcome:
    async with client_of(store) as (client, _, _):
        (outcome,) = await copy(client, [job_of(store, **changes)], uploads, options)
    return outcome


def summary(outcome: CopyOutcome) -> tuple[object, ...]:
    return outcome.result, outcome.evidence, outcome.error


# Layout


@pytest.mark.parametrize("size", [1, 5 * MIB, 5 * MIB + 1, 10**9, 10**12, 50 * 10**12, MAX_OBJECT_BYTES])
def test_even_parts_cover_every_byte_once_within_the_limits(size: int) -> None:
    parts = even_parts(size, 128 * MIB)
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert [part.offset for part in parts] == [0, *accumulate(part.size for part in parts)][:-1]
    assert sum(part.size for part in parts) == size
    assert len(parts) <= MAX_PARTS
    assert all(128 * MIB <= part.size <= MAX_COPY_BYTES for part in parts[:-1])


@pytest.mark.parametrize(
    ("count", "first", "expected"),
    [
        (3, 5 * MIB, [5, 5, 2]),
        (2, 8 * MIB, [8, 4]),
        (1, SIZE, [12]),
        (2, 7 * MIB - 1, None),
        (4, 5 * MIB, None),
        (6, 2 * MIB, None),
    ],
)
def test_parts_follow_those_of_the_source_if_they_are_of_one_size(
    count: int, first: int, expected: list[int] | None
) -> None:
    @on_uvloop
    async def scenario() -> None:
        store = Store(etag=f"{'0' * 32}-{count}", first_part=first)
        async with client_of(store) as (client, _, _):
            parts = await layout(client, job_of(store), 6 * MIB)
        wanted = [6, 6] if expected is None else expected
        if (count, first) == (2, 7 * MIB - 1):
            # Two parts do hold it, whatever their sizes: that the first is a little odd proves nothing.
            assert [part.size for part in parts] == [first, SIZE - first]
        else:
            assert [part.size // MIB for part in parts] == wanted

    scenario()


@pytest.mark.parametrize("is_changed", [False, True])
def test_a_refused_part_says_nothing_about_the_source_it_is_looked_at_as_a_whole(is_changed: bool) -> None:
    """moto compares If-Match with the ETag of the part."""

    @on_uvloop
    async def scenario() -> None:
        job = job_of(Store(etag=f"{'0' * 32}-3"))
        store = Store(etag=f"{'1' * 32}-3" if is_changed else job.etag, ill={"head part": [reply(412)]})
        async with client_of(store) as (client, _, _):
            if is_changed:
                with pytest.raises(SourceChanged):
                    await layout(client, job, 6 * MIB)
            else:
                assert await layout(client, job, 6 * MIB) == even_parts(SIZE, 6 * MIB)

    scenario()


@on_uvloop
async def test_a_source_that_was_not_uploaded_in_parts_gets_no_request_for_them() -> None:
    async with client_of(Store()) as (client, wire, _):
        assert await layout(client, job_of(Store()), 6 * MIB) == [Part(1, 0, 6 * MIB), Part(2, 6 * MIB, 6 * MIB)]
        assert wire.requests == []


# What is sent


@on_uvloop
async def test_each_part_is_copied_once_under_the_condition_of_the_sources_etag() -> None:
    store = Store()
    async with client_of(store) as (client, wire, _):
        (outcome,) = await copy(client, [job_of(store)])
    assert outcome.result == "copied"
    parts = [request.decode() for request in wire.requests if b"partNumber=" in request and request.startswith(b"PUT")]
    ranges = [f"bytes=0-{5 * MIB - 1}", f"bytes={5 * MIB}-{10 * MIB - 1}", f"bytes={10 * MIB}-{12 * MIB - 1}"]
    assert sorted(re.findall(r"copy-source-range: (.*)\r", "".join(parts))) == sorted(ranges)
    for part in parts:
        assert 'x-amz-copy-source-if-match: "e1"\r\n' in part
        assert "x-amz-copy-source: bucket/old/a\r\n" in part


@on_uvloop
async def test_the_upload_carries_metadata_tags_class_encryption_and_access() -> None:
    store = Store(
        source_headers={
            "content-type": "image/png",
            "content-encoding": "gzip,aws-chunked",
            "cache-control": "no-cache",
            "expires": "tomorrow",
            "x-amz-meta-who": "ann",
            "x-amz-website-redirect-location": "/there",
            "x-amz-request-id": "7",
        },
        tags="<Tag><Key>team</Key><Value>a&amp;b</Value></Tag><Tag><Key>x</Key><Value></Value></Tag>",
    )
    options = CopyOptions(
        multipart_threshold=MIB, part_size=5 * MIB, encryption="SSE-S3", acl="bucket-owner-full-control"
    )
    outcome = await outcome_of(store, options=options, storage_class="STANDARD_IA")
    assert outcome.result == "copied"
    (headers,) = store.created
    every = ("host", "authorization", "accept-encoding", "user-agent")
    ours = {name: value for name, value in headers.items() if name not in every}
    assert {name: value for name, value in ours.items() if not name.startswith(("x-amz-content", "x-amz-date"))} == {
        "content-type": "image/png",
        "content-encoding": "gzip",
        "cache-control": "no-cache",
        "expires": "tomorrow",
        "x-amz-meta-who": "ann",
        "x-amz-website-redirect-location": "/there",
        "x-amz-tagging": "team=a%26b&x=",
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-server-side-encryption": "AES256",
        "x-amz-acl": "bucket-owner-full-control",
        "content-length": "0",
    }


@on_uvloop
async def test_tags_too_long_for_a_header_are_stored_once_the_object_exists() -> None:
    tags = "".join(f"<Tag><Key>k{n}</Key><Value>{'ü' * 200}</Value></Tag>" for n in range(3))
    store = Store(tags=tags)
    outcome = await outcome_of(store)
    assert outcome.result == "copied"
    assert "x-amz-tagging" not in store.created[0]
    assert f"<TagSet>{tags}</TagSet>" in store.objects["new/a"]["tags"]


@on_uvloop
async def test_tags_that_cannot_be_stored_are_reported_as_what_is_missing() -> None:
    tags = f"<Tag><Key>k</Key><Value>{'ü' * 500}</Value></Tag>"
    outcome = await outcome_of(Store(tags=tags, ill={"put tags": [error(403, "AccessDenied", "no")]}))
    assert summary(outcome) == ("failed", None, "AccessDenied")
    assert outcome.message == "the object is copied, but without its tags: no"


@on_uvloop
async def test_the_sources_grants_are_carried_by_the_upload() -> None:
    everyone = "<Grantee><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee>"
    owner = "<Grantee><ID>me</ID></Grantee>"
    store = Store(
        acl=f"<Owner><ID>me</ID></Owner><Grant>{owner}<Permission>FULL_CONTROL</Permission></Grant>"
        f"<Grant>{everyone}<Permission>READ</Permission></Grant>"
    )
    options = CopyOptions(multipart_threshold=MIB, part_size=5 * MIB, acl="copy")
    assert (await outcome_of(store, options=options)).result == "copied"
    assert store.created[0]["x-amz-acl"] == "public-read"


@on_uvloop
async def test_an_object_that_one_copy_cannot_take_goes_in_parts_whatever_the_threshold() -> None:
    store = Store(size=MAX_COPY_BYTES + 1)
    outcome = await outcome_of(store, options=CopyOptions(multipart_threshold=10**15, part_size=4 * 1024**3))
    assert (outcome.result, len(store.parts_sent())) == ("copied", 2)
    assert "put target" not in store.log


@on_uvloop
async def test_who_may_not_read_the_tags_does_not_begin_an_upload() -> None:
    store = Store(ill={"read tags": [error(403, "AccessDenied")]})
    outcome = await outcome_of(store)
    assert summary(outcome) == ("failed", None, "AccessDenied")
    assert "create" not in store.log


@on_uvloop
async def test_metadata_that_cannot_be_read_is_not_lost_silently() -> None:
    store = Store(source_headers={"x-amz-missing-meta": "1"})
    assert summary(await outcome_of(store)) == ("failed", None, "MetadataNotReadable")


@on_uvloop
async def test_a_service_without_tags_is_none_to_fail_for() -> None:
    assert (await outcome_of(Store(ill={"read tags": [error(501, "NotImplemented")]}))).result == "copied"


@on_uvloop
async def test_the_upload_is_completed_under_the_condition_of_the_target() -> None:
    store = Store()
    await outcome_of(store)
    assert store.completed[0][0]["if-none-match"] == "*"
    assert store.completed[0][0]["x-amz-mp-object-size"] == str(SIZE)
    assert store.completed[0][1].count("<Part>") == PARTS
    store = Store(objects={"new/a": {"etag": "t0"}})
    assert (await outcome_of(store, replace_etag="t0")).result == "copied"
    assert store.completed[0][0]["if-match"] == '"t0"'


@on_uvloop
async def test_small_objects_are_not_kept_waiting_by_the_parts_of_a_large_one() -> None:
    store = Store(size=200 * MIB, part_delay=0.02)
    async with client_of(store, max_connections=8) as (client, _, _):
        large = [job_of(store, target_key=f"new/{number}") for number in range(3)]
        small = [CopyJob("old/a", "e1", 5, f"new/small-{number}") for number in range(100)]
        outcomes = await copy(client, [*large, *small])
    assert [outcome.result for outcome in outcomes] == ["copied"] * 103
    assert {outcome.job.size for outcome in outcomes[:100]} == {5}
    assert 2 <= store.most_parts_at_once <= 4


@on_uvloop
async def test_many_large_objects_on_few_connections_all_come_to_an_end() -> None:
    store = Store(part_delay=0.001)
    async with client_of(store, max_connections=2) as (client, _, _):
        jobs = [job_of(store, target_key=f"new/{number}") for number in range(12)]
        outcomes = await copy(client, jobs)
    assert [outcome.result for outcome in outcomes] == ["copied"] * 12
    assert store.uploads == {}


# Proof


@pytest.mark.parametrize("algorithm", ["crc64nvme", "crc32c", "crc32"])
def test_a_checksum_of_the_whole_source_proves_the_upload_without_reading_it(algorithm: str) -> None:
    @on_uvloop
    async def scenario() -> None:
        sums = {f"x-amz-checksum-{algorithm}": "c1==", "x-amz-checksum-type": "FULL_OBJECT"}
        store = Store(source_headers=sums, etag=f"{'0' * 32}-2")
        assert summary(await outcome_of(store)) == ("copied", Evidence.CHECKSUM, None)
        assert store.created[0]["x-amz-checksum-algorithm"] == algorithm.upper()
        assert store.created[0]["x-amz-checksum-type"] == "FULL_OBJECT"
        assert store.completed[0][0][f"x-amz-checksum-{algorithm}"] == "c1=="
        assert "head part" not in store.log

    scenario()


@on_uvloop
async def test_content_that_the_service_finds_damaged_is_not_completed() -> None:
    sums = {"x-amz-checksum-crc64nvme": "c1==", "x-amz-checksum-type": "FULL_OBJECT"}
    store = Store(source_headers=sums, ill={"complete": [error(400, "BadDigest")] * 9})
    assert summary(await outcome_of(store)) == ("failed", None, "BadDigest")
    assert store.uploads == {}


@on_uvloop
async def test_the_same_parts_as_the_source_give_the_same_etag() -> None:
    store = Store(etag=whole_etag([8 * MIB, 4 * MIB]), first_part=8 * MIB)
    outcome = await outcome_of(store)
    assert (*summary(outcome), outcome.target_etag) == ("copied", Evidence.ETAG, None, store.etag)


@on_uvloop
async def test_without_checksum_and_with_other_parts_the_size_has_to_do() -> None:
    store = Store(source_headers={"x-amz-checksum-sha256": "c1-2", "x-amz-checksum-type": "COMPOSITE"})
    assert summary(await outcome_of(store)) == ("copied", Evidence.SIZE, None)
    assert not {"get source", "get target"} & set(store.log)


# The target is taken, or the source has changed


@on_uvloop
async def test_a_target_that_is_taken_is_found_before_anything_is_sent() -> None:
    store = Store(objects={"new/a": {"etag": "t1", "size": str(SIZE + 1)}})
    assert summary(await outcome_of(store)) == ("conflict", None, "PreconditionFailed")
    assert "create" not in store.log


@on_uvloop
async def test_a_target_that_is_taken_meanwhile_is_a_conflict_and_the_upload_is_aborted() -> None:
    store = Store()
    store.ill["complete"] = [error(412, "PreconditionFailed")]
    store.ill["head target"] = [reply(404, date=BEGAN), store._head("t1", SIZE + 1)]
    assert summary(await outcome_of(store)) == ("conflict", None, "PreconditionFailed")
    assert store.uploads == {}


@on_uvloop
async def test_without_the_condition_the_target_is_looked_up_before_the_upload_is_completed() -> None:
    options = CopyOptions(
        multipart_threshold=MIB, part_size=5 * MIB, capabilities=Capabilities(complete_condition=Support.IGNORES)
    )
    store = Store()
    taken = store._head("t1", SIZE + 1)
    store.ill["head target"] = [reply(404, date=BEGAN), taken, taken]
    assert summary(await outcome_of(store, options=options)) == ("conflict", None, "PreconditionFailed")
    assert "complete" not in store.log
    assert store.uploads == {}


@pytest.mark.parametrize("refusal", [error(412, "PreconditionFailed"), error(404, "NoSuchKey")])
def test_a_source_that_changes_between_two_parts_is_changed_and_the_upload_is_aborted(refusal: bytes) -> None:
    @on_uvloop
    async def scenario() -> None:
        store = Store(ill={"part 2": [refusal]})
        uploads = Uploads(None)
        assert (await outcome_of(store, uploads)).result == "changed"
        assert store.uploads == {}
        assert uploads.recorded("bucket") == []

    scenario()


UNCONDITIONAL = CopyOptions(
    multipart_threshold=MIB, part_size=5 * MIB, capabilities=Capabilities(part_condition=Support.IGNORES)
)
"""For a service that copies a part whatever ETag it is asked for."""


@pytest.mark.parametrize("moment", ["create", "part 1", "part 2", "part 3"])
@pytest.mark.parametrize("change", [{"etag": "e2"}, {"source_headers": {"last-modified": LATER}}])
def test_where_parts_are_copied_without_condition_a_source_that_changes_is_never_mixed(
    moment: str, change: dict[str, Any]
) -> None:
    """The second change is one that was undone again: the object has its ETag, and is younger."""

    @on_uvloop
    async def scenario() -> None:
        store = Store(then={moment: change}, source_headers={"last-modified": EARLIER})
        uploads = Uploads(None)
        outcome = await outcome_of(store, uploads, UNCONDITIONAL)
        assert (outcome.result, store.objects, store.uploads) == ("changed", {}, {})
        assert "complete" not in store.log
        assert uploads.recorded("bucket") == []

    scenario()


@on_uvloop
async def test_where_parts_are_copied_without_condition_the_source_is_looked_at_until_the_end() -> None:
    store = Store()
    assert (await outcome_of(store, options=UNCONDITIONAL)).result == "copied"
    looks = [number for number, kind in enumerate(store.log) if kind == "head source"]
    parts = [number for number, kind in enumerate(store.log) if kind.startswith("part ")]
    assert looks[0] < parts[0]
    assert any(parts[-1] < look < store.log.index("complete") for look in looks)


@pytest.mark.parametrize(("modified", "created"), [(EARLIER, 1), (LATER, 2)])
def test_where_parts_are_copied_without_condition_those_of_a_source_that_was_replaced_are_not_resumed(
    modified: str, created: int
) -> None:
    @on_uvloop
    async def scenario() -> None:
        store = Store(source_headers={"last-modified": EARLIER}, ill={"part 3": [error(400, "ExpiredToken")] * 9})
        uploads = Uploads(None)
        with pytest.raises(S3StopError, match="ExpiredToken"):
            await outcome_of(store, uploads, UNCONDITIONAL)
        assert len(store.uploads) == 1
        store.ill.clear()
        store.source_headers = {"last-modified": modified}
        assert (await outcome_of(store, uploads, UNCONDITIONAL)).result == "copied"
        assert (len(store.created), store.uploads) == (created, {})

    scenario()


@on_uvloop
async def test_a_source_that_is_not_the_listed_one_begins_no_upload() -> None:
    store = Store(ill={"head source": [reply(412)]})
    assert (await outcome_of(store)).result == "changed"
    assert store.log == ["head source"]


# Ill replies


@on_uvloop
async def test_throttled_and_cut_parts_are_sent_again() -> None:
    store = Store(
        ill={"part 1": [error(503, "SlowDown"), "cut"], "part 3": ["lose reply", error(500, "InternalError")]}
    )
    outcome = await outcome_of(store)
    assert outcome.result == "copied"
    # A kept connection that is cut is replaced without counting as another attempt.
    assert PARTS + 1 + 2 <= outcome.attempts <= PARTS + 1 + 4


@on_uvloop
async def test_a_lost_reply_to_the_completion_does_not_make_our_own_object_a_conflict() -> None:
    store = Store(ill={"complete": ["lose reply"]})
    outcome = await outcome_of(store)
    assert summary(outcome) == ("copied", Evidence.SIZE, None)
    assert outcome.target_etag == store.objects["new/a"]["etag"]


@on_uvloop
async def test_half_a_reply_to_the_completion_does_not_make_our_own_object_a_conflict() -> None:
    store = Store(ill={"complete": ["half a reply"]})
    assert summary(await outcome_of(store)) == ("copied", Evidence.SIZE, None)
    assert not {"get source", "get target"} & set(store.log)


@on_uvloop
async def test_a_completion_that_is_never_answered_is_looked_up() -> None:
    store = Store(ill={"complete": ["lose reply", "cut", "cut", "cut", "cut", "cut", "cut", "cut"]})
    uploads = Uploads(None)
    outcome = await outcome_of(store, uploads)
    assert summary(outcome) == ("copied", Evidence.SIZE, None)
    assert uploads.recorded("bucket") == []


@on_uvloop
async def test_an_error_in_a_completion_that_began_as_a_success_is_no_success() -> None:
    late = b" " * 2000 + b"<Error><Code>InternalError</Code><Message>sorry</Message></Error>"
    store = Store(ill={"complete": [reply(200, late)]})
    assert (await outcome_of(store)).result == "copied"
    assert store.log.count("complete") == 2
    store = Store(ill={"complete": [reply(200, late)] * 9})
    uploads = Uploads(None)
    assert summary(await outcome_of(store, uploads)) == ("failed", None, "InternalError")
    assert store.objects == {}
    assert [upload.upload_id for upload in uploads.recorded("bucket")] == ["u1"]


@on_uvloop
async def test_white_space_before_the_result_of_a_completion_is_no_harm() -> None:
    etag = whole_etag([5 * MIB, 5 * MIB, 2 * MIB])
    result = f"<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"
    body = b"   \n" + f'<?xml version="1.0"?>{result}'.encode()
    store = Store(ill={"complete": [reply(200, body)]})
    store.ill["head target"] = [reply(404, date=BEGAN), store._head(etag, SIZE)]
    assert (await outcome_of(store)).target_etag == etag
    assert store.log.count("complete") == 1


@on_uvloop
async def test_an_upload_that_somebody_aborted_fails_and_is_forgotten() -> None:
    store = Store(ill={"complete": [error(404, "NoSuchUpload")]})
    uploads = Uploads(None)
    assert summary(await outcome_of(store, uploads)) == ("failed", None, "NoSuchUpload")
    assert uploads.recorded("bucket") == []


@on_uvloop
async def test_a_part_that_is_refused_for_good_aborts_the_upload_until_it_is_gone() -> None:
    store = Store(ill={"part 2": [error(403, "AccessDenied")]}, late_parts=2)
    uploads = Uploads(None)
    assert summary(await outcome_of(store, uploads)) == ("failed", None, "AccessDenied")
    assert store.uploads == {}
    assert store.log.count("abort") == 3
    assert uploads.recorded("bucket") == []


@on_uvloop
async def test_an_upload_that_cannot_be_aborted_stays_recorded_and_the_first_failure_is_reported() -> None:
    store = Store(ill={"part 2": [error(400, "InvalidRequest")], "abort": [error(403, "AccessDenied")]})
    uploads = Uploads(None)
    assert summary(await outcome_of(store, uploads)) == ("failed", None, "InvalidRequest")
    assert [upload.upload_id for upload in uploads.recorded("bucket")] == ["u1"]


@pytest.mark.parametrize("encodes", [True, False, "silently"])
def test_a_lost_reply_to_the_creation_leaves_no_second_upload(encodes: bool) -> None:
    @on_uvloop
    async def scenario() -> None:
        key = "new/a ü+%2B"
        store = Store(ill={"create": ["lose reply"]}, encodes=encodes)
        store.uploads["other"] = {"key": key, "parts": {}, "initiated": EARLIER}
        store.uploads["longer"] = {"key": f"{key}.png", "parts": {}, "initiated": LATER}
        assert (await outcome_of(store, target_key=key)).result == "copied"
        assert set(store.uploads) == {"other", "longer"}

    scenario()


@on_uvloop
async def test_a_creation_that_is_never_answered_leaves_nothing() -> None:
    store = Store(ill={"create": ["lose reply", *["cut"] * 20]})
    uploads = Uploads(None)
    outcome = await outcome_of(store, uploads)
    assert (outcome.result, store.uploads) == ("failed", {})
    assert uploads.recorded("bucket") == []


@on_uvloop
async def test_a_stop_ends_an_upload_at_once_and_leaves_it_to_be_resumed() -> None:
    store = Store(size=200 * MIB, part_delay=0.01)
    store.ill["part 5"] = [error(400, "ExpiredToken")] * 9
    uploads = Uploads(None)
    async with client_of(store) as (client, _, _):
        with pytest.raises(S3StopError, match="ExpiredToken"):
            await copy(client, [job_of(store)], uploads)
        assert len(store.parts_sent()) < 20
        assert set(store.uploads) == {"u1"}
        store.ill.clear()
        (outcome,) = await copy(client, [job_of(store)], uploads)
    assert outcome.result == "copied"
    assert store.log.count("create") == 1


@on_uvloop
async def test_what_stops_the_run_elsewhere_stops_an_upload_in_flight_too() -> None:
    store = Store(size=500 * MIB, part_delay=0.01)
    store.ill["put target"] = [error(400, "ExpiredToken")] * 9
    uploads = Uploads(None)
    outcomes: list[CopyOutcome] = []
    async with client_of(store) as (client, _, _):
        jobs = [job_of(store), job_of(store, size=5, target_key="new/b")]
        with pytest.raises(S3StopError, match="ExpiredToken"):
            await copy_objects(client, client, iter(jobs), outcomes.append, OPTIONS, uploads)
    assert sorted(outcome.job.target_key for outcome in outcomes) == ["new/a", "new/b"]
    assert len(store.parts_sent()) < 100
    assert [upload.target_key for upload in uploads.recorded("bucket")] == ["new/a"]


# Resuming


async def interrupted(store: Store, uploads: Uploads, at: str) -> None:
    """A run that is cancelled as soon as the request `at` has come."""
    async with client_of(store, max_connections=2) as (client, _, _):
        run = asyncio.create_task(copy(client, [job_of(store)], uploads))
        await store.came.setdefault(at, asyncio.Event()).wait()
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


@on_uvloop
async def test_a_cancelled_upload_is_resumed_and_no_part_is_sent_twice() -> None:
    store = Store(part_delay=0.02)
    uploads = Uploads(None)
    await interrupted(store, uploads, "part 2")
    before = set(store.uploads["u1"]["parts"])
    assert 1 in before
    store.log.clear()
    assert (await outcome_of(store, uploads)).result == "copied"
    assert not {f"part {number}" for number in before} & set(store.log)
    assert "create" not in store.log
    assert (store.uploads, uploads.recorded("bucket")) == ({}, [])


@pytest.mark.parametrize("change", ["etag", "part_size", "settings"])
def test_an_upload_of_a_job_that_changed_is_aborted_and_begun_anew(change: str) -> None:
    @on_uvloop
    async def scenario() -> None:
        store = Store(part_delay=0.02)
        uploads = Uploads(None)
        await interrupted(store, uploads, "part 2")
        options = OPTIONS
        if change == "etag":
            store.etag = "e2"
        elif change == "part_size":
            options = CopyOptions(multipart_threshold=MIB, part_size=6 * MIB)
        else:
            store.source_headers = {"x-amz-meta-new": "1"}
        assert (await outcome_of(store, uploads, options)).result == "copied"
        assert (store.uploads, len(store.created)) == ({}, 2)

    scenario()


@on_uvloop
async def test_an_upload_that_is_gone_meanwhile_is_begun_anew() -> None:
    store = Store(part_delay=0.02)
    uploads = Uploads(None)
    await interrupted(store, uploads, "part 2")
    store.uploads.clear()
    assert (await outcome_of(store, uploads)).result == "copied"
    assert len(store.created) == 2


@pytest.mark.parametrize(
    "answer",
    [
        error(403, "AccessDenied"),
        error(501, "NotImplemented"),
        reply(200, b"<ListPartsResponse></ListPartsResponse>"),  # as moto 5.2 calls it
    ],
)
def test_an_upload_whose_parts_cannot_be_listed_is_aborted_and_begun_anew(answer: bytes) -> None:
    @on_uvloop
    async def scenario() -> None:
        store = Store(part_delay=0.02)
        uploads = Uploads(None)
        await interrupted(store, uploads, "part 2")
        store.ill["list parts"] = [answer]
        assert (await outcome_of(store, uploads)).result == "copied"
        assert (store.uploads, len(store.created)) == ({}, 2)

    scenario()


@on_uvloop
async def test_a_part_of_another_size_is_sent_again() -> None:
    store = Store(part_delay=0.02)
    uploads = Uploads(None)
    await interrupted(store, uploads, "part 2")
    store.uploads["u1"]["parts"][1] = (1, 7)
    store.log.clear()
    assert (await outcome_of(store, uploads)).result == "copied"
    assert "part 1" in store.log


@on_uvloop
async def test_an_upload_whose_id_never_came_is_found_and_aborted_by_the_next_run() -> None:
    store = Store()
    store.ill["create"] = ["lose reply", *["cut"] * 20]
    store.ill["list uploads"] = [error(403, "AccessDenied")]
    uploads = Uploads(None)
    assert (await outcome_of(store, uploads)).result == "failed"
    assert [upload.upload_id for upload in uploads.recorded("bucket")] == [None]
    assert set(store.uploads) == {"u1"}
    store.ill.clear()
    assert (await outcome_of(store, uploads)).result == "copied"
    assert store.uploads == {}


def recorded(key: str, upload_id: str | None) -> Upload:
    return Upload("bucket", key, upload_id, "e1", SIZE, 5 * MIB, "settings", 1795255200.0)


def test_the_record_survives_the_process_and_knows_what_did_not_come_again(tmp_path: Path) -> None:
    path = tmp_path / "uploads.sqlite"
    with Uploads(path) as uploads:
        for key in ("a", "b", "c"):
            uploads.add(recorded(key, None))
        uploads.set_id("bucket", "a", "u1")
        uploads.remove("bucket", "c")
        assert uploads.unfinished("bucket") == []
    with Uploads(path) as uploads:
        assert uploads.recorded("bucket") == [recorded("a", "u1"), recorded("b", None)]
        assert uploads.unfinished("other") == []
        assert uploads.find("bucket", "a") == recorded("a", "u1")
        uploads.add(recorded("d", None))
        assert uploads.unfinished("bucket") == [recorded("b", None)]


def test_uploads_that_are_recorded_at_once_are_all_on_record_or_none(tmp_path: Path) -> None:
    first, second = recorded("a", None), recorded("b", None)
    path = tmp_path / "uploads.sqlite"
    with Uploads(path) as uploads, Uploads(path) as other:
        with uploads.at_once():
            uploads.add(first)
            assert other.recorded("bucket") == []
        assert other.recorded("bucket") == [first]
        with pytest.raises(KeyboardInterrupt), uploads.at_once():
            uploads.add(second)
            raise KeyboardInterrupt
        uploads.remove("bucket", "a")
        assert other.recorded("bucket") == []


def test_a_record_that_cannot_be_used_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "uploads.sqlite"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 20)
    with pytest.raises(RehomeError, match=f"{re.escape(str(path))}.*remove it"):
        Uploads(path)


def test_a_record_that_fails_midway_says_so(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "uploads.sqlite")
    uploads.close()
    with pytest.raises(RehomeError, match="record of open uploads"):
        uploads.add(recorded("a", None))


@on_uvloop
async def test_what_an_earlier_run_left_open_is_aborted_at_the_end(tmp_path: Path) -> None:
    store = Store()
    path = tmp_path / "uploads.sqlite"
    with Uploads(path) as uploads:
        for key, upload_id in (("new/left", "u7"), ("new/unnamed", None), ("new/stuck", "u9")):
            uploads.add(recorded(key, upload_id))
    for upload_id, key in (("u7", "new/left"), ("u8", "new/unnamed"), ("u9", "new/stuck"), ("u0", "new/foreign")):
        store.uploads[upload_id] = {"key": key, "parts": {}, "initiated": LATER}
    with Uploads(path) as uploads:
        async with client_of(store) as (client, _, _):
            await copy(client, [job_of(store)], uploads)
            store.ill["abort"] = [reply(204), error(403, "AccessDenied")]
            store.ill["list parts"] = [error(404, "NoSuchUpload")]
            left = await abort_unfinished(client, uploads)
            assert [upload.target_key for upload in left] == ["new/stuck"]
            assert await abort_unfinished(client, uploads) == []
        assert uploads.recorded("bucket") == []
    assert "u0" in store.uploads
    assert "u9" not in store.uploads


@on_uvloop
async def test_what_this_run_left_open_stays_for_the_next() -> None:
    store = Store(part_delay=0.02)
    uploads = Uploads(None)
    await interrupted(store, uploads, "part 2")
    async with client_of(store) as (client, _, _):
        assert await abort_unfinished(client, uploads) == []
    assert set(store.uploads) == {"u1"}

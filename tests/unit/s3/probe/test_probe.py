"""What a probe finds out about a service that lacks something, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome.mapping.key_shapes import UNTRIED_SHAPES, KeyShape, shapes_of
from rehome.s3.capabilities import AMAZON, Capabilities, describe
from rehome.s3.client.client import Client
from rehome.s3.copier.stream_object import MEMORY
from rehome.s3.errors import S3Error
from rehome.s3.probe.probe import ProbeResult, probe
from rehome.s3.probe.scratch import SCRATCH_NAME
from rehome.s3.support import Support
from rehome.s3.transport.endpoint import Credentials, Endpoint

from tests.unit.s3.wire import Wire, client_of, endpoint, error, on_uvloop, reply

OLD, NOW = "2026-01-01T00:00:00.000Z", "2026-06-01T12:00:00.000Z"
DATE = "Mon, 01 Jun 2026 12:00:00 GMT"
MARKER = "x-amz-meta-rehome-probe"


@dataclass
class Stored:
    body: bytes
    headers: dict[str, str]
    version: str
    modified: str = NOW

    @property
    def etag(self) -> str:
        return hashlib.md5(self.body, usedforsecurity=False).hexdigest()


@dataclass
class Request:
    method: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def source(self) -> str | None:
        given = self.headers.get("x-amz-copy-source")
        return None if given is None else unquote(given).removeprefix("bucket/")


@dataclass
class Service:
    """As much of S3 as a probe asks for. `lacks` names what it does not do; `denies` says what is forbidden."""

    lacks: frozenset[str] = frozenset()
    denies: Callable[[Request], bool] = lambda request: False
    rejects: Callable[[Request], bool] = lambda request: False
    rejection: bytes = b""
    name_of: Callable[[str], str | None] = lambda key: key
    versioned: bool = False
    hangs: Callable[[Request], bool] = lambda request: False
    loses: Callable[[Request], bool] = lambda request: False
    finds_renamed: bool = True
    objects: dict[str, Stored] = field(default_factory=dict)
    versions: set[tuple[str, str]] = field(default_factory=set)
    past: dict[str, Stored] = field(default_factory=dict)
    markers: list[str] = field(default_factory=list)
    uploads: dict[str, str] = field(default_factory=dict)
    seen: list[Request] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    gone_on: asyncio.Event = field(default_factory=asyncio.Event)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        request = self.read(data)
        self.seen.append(request)
        late = self.hangs(request)
        if late:
            self.hanging.set()
            await self.go_on.wait()
        answer = self.answer(request)
        if late:
            self.gone_on.set()
        if self.loses(request):
            writer.close()
        else:
            writer.write(answer)

    def read(self, data: bytes) -> Request:
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, target, _ = first.split(" ")
        address = urlsplit(target)
        headers = dict(line.split(": ", 1) for line in lines)
        key = unquote(address.path.removeprefix("/bucket").removeprefix("/"))
        return Request(method, key, dict(parse_qsl(address.query, keep_blank_values=True)), headers, body)

    def answer(self, request: Request) -> bytes:
        if self.rejects(request):
            return (
                self.rejection if request.method != "HEAD" else self.rejection.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            )
        if self.denies(request):
            return error(403, "AccessDenied") if request.method != "HEAD" else reply(403)
        return self.list(request.query["prefix"]) if not request.key else self.about_object(request)

    def about_object(self, request: Request) -> bytes:
        looks = self.finds_renamed or request.method == "PUT"
        if (name := self.name_of(request.key) if looks else request.key) is None:
            return error(400, "InvalidRequest")
        if request.query.keys() & {"uploads", "uploadId"}:
            return self.upload(request, name)
        if request.method == "PUT" and "tagging" in request.query:
            return reply(200)  # they are the same that it has
        if request.method == "PUT":
            return self.put(request, name)
        if request.method == "DELETE":
            return self.delete(request, name)
        return self.get(request, name)

    def target_conflicts(self, request: Request, name: str, call: str) -> bool:
        there = self.objects.get(name)
        if "if-match" in request.headers and f"{call}_match" not in self.lacks:
            return there is None or f'"{there.etag}"' != request.headers["if-match"]
        return "if-none-match" in request.headers and there is not None and f"{call}_condition" not in self.lacks

    def put(self, request: Request, name: str) -> bytes:  # noqa: PLR0911 - a table of cases
        copies = request.source is not None
        if {"if-none-match", "if-match"} & set(request.headers) and "knowing_conditions" in self.lacks:
            return error(501, "NotImplemented")
        if self.target_conflicts(request, name, "target" if copies else "put"):
            return error(412, "PreconditionFailed")
        if "unsigned" in self.lacks and request.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD":
            return error(400, "InvalidRequest", "the payload is not signed")
        if not self.digest_is_right(request) and "content_md5" not in self.lacks:
            if "refusing_all" in self.lacks:
                self.store(name, request.body, request.headers)
            return error(400, "BadDigest")
        if not copies or "copying" in self.lacks:
            return self.store(name, request.body, request.headers)
        source = self.objects.get(request.source or "")
        if source is None and "missing_source" not in self.lacks:
            return error(404, "NoSuchKey")
        source = source or Stored(b"", {}, "")
        wanted = request.headers.get("x-amz-copy-source-if-match")
        if wanted not in (None, f'"{source.etag}"') and "source_condition" not in self.lacks:
            return error(412, "PreconditionFailed")
        kept = {
            name: value
            for name, value in source.headers.items()
            if ("tags" if name == "x-amz-tagging" else "metadata") not in self.lacks
        }
        if request.headers.get("x-amz-tagging-directive") == "REPLACE":
            kept["x-amz-tagging"] = request.headers["x-amz-tagging"]
        stored = self.store(name, b"other" if "content" in self.lacks else source.body, kept)
        etag = "" if "etag" in self.lacks else f"<ETag>&quot;{source.etag}&quot;</ETag>"
        version = None if "copy_version" in self.lacks else re.search(rb"x-amz-version-id: (\S+)", stored)
        more = {"x_amz_version_id": version[1].decode()} if version else {}
        return reply(200, f"<CopyObjectResult>{etag}</CopyObjectResult>".encode(), **more)

    def digest_is_right(self, request: Request) -> bool:
        digest = b64encode(hashlib.md5(request.body, usedforsecurity=False).digest()).decode()
        return request.headers.get("content-md5", digest) == digest

    def store(self, name: str, body: bytes, headers: dict[str, str]) -> bytes:
        stored = self.objects[name] = Stored(body, headers, f"v{len(self.seen)}")
        more = {}
        if self.versioned:
            self.versions.add((name, stored.version))
            self.past[stored.version] = stored
            more = {"x_amz_version_id": stored.version}
        return reply(200, etag=f'"{stored.etag}"', **more)

    def delete(self, request: Request, name: str) -> bytes:
        if "if-match" in request.headers:
            return error(412, "PreconditionFailed").replace(b"\r\n\r\n", f"\r\ndate: {DATE}\r\n\r\n".encode(), 1)
        if version := request.query.get("versionId"):
            self.versions.discard((name, version))
        elif self.versioned:
            self.markers.append(name)
        if name in self.objects and version in (None, self.objects[name].version):
            del self.objects[name]
            left = [one for key, one in self.versions if version and key == name]
            if left:
                self.objects[name] = self.past[max(left, key=lambda one: int(one[1:]))]
        return reply(204)

    def get(self, request: Request, name: str) -> bytes:
        stored = self.objects.get(name)
        if stored is None:
            return error(404, "NoSuchKey") if request.method == "GET" else reply(404)
        if request.headers.get("if-match") not in (None, f'"{stored.etag}"') and "source_condition" not in self.lacks:
            return error(412, "PreconditionFailed")
        if "tagging" in request.query:
            tags = dict(parse_qsl(stored.headers.get("x-amz-tagging", "")))
            body = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in tags.items())
            return reply(200, f"<Tagging><TagSet>{body}</TagSet></Tagging>".encode())
        shown = {name: value for name, value in stored.headers.items() if name.startswith(("x-amz-meta", "c"))}
        shown = {name.replace("-", "_"): value for name, value in shown.items() if name != "content-length"}
        more = {"x_amz_version_id": stored.version} if self.versioned else {}
        if request.method == "GET":
            return reply(200, stored.body, **shown, **more)
        return reply(200, **shown, **more)

    def upload(self, request: Request, name: str) -> bytes:  # noqa: PLR0911 - a table of cases
        if "uploads" in request.query:
            label = f"u&{len(self.uploads)}"
            self.uploads[label] = name
            escaped = label.replace("&", "&amp;")
            body = f"<InitiateMultipartUploadResult><UploadId>{escaped}</UploadId></InitiateMultipartUploadResult>"
            return reply(200, body.encode())
        if request.source is not None:
            wanted, source = request.headers.get("x-amz-copy-source-if-match"), self.objects[request.source]
            if wanted not in (None, f'"{source.etag}"') and "part_condition" not in self.lacks:
                return error(412, "PreconditionFailed")
            return reply(200, b"<CopyPartResult><ETag>&quot;part&quot;</ETag></CopyPartResult>")
        label = request.query["uploadId"]
        if label not in self.uploads:
            return error(404, "NoSuchUpload")
        if request.method == "PUT":
            return reply(200, etag='"part"')
        if request.method == "GET":
            return reply(200, b"<ListPartsResult></ListPartsResult>")
        if request.method == "DELETE":
            del self.uploads[label]
            return reply(204)
        if self.target_conflicts(request, name, "complete"):
            return error(412, "PreconditionFailed")
        if "completion" in self.lacks:
            return error(400, "InvalidPart")
        del self.uploads[label]
        self.store(name, b"part", {})
        return reply(200, b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")

    def list(self, prefix: str) -> bytes:
        entries = "".join(
            f"<Contents><Key>{quote(key)}</Key><Size>{len(one.body)}</Size><ETag>{one.etag}</ETag>"
            f"<LastModified>{one.modified}</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
            for key, one in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        body = f"<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{entries}"
        spoilt = "listing" in self.lacks and "\x01" in "".join(self.objects)
        return reply(
            200, b"<ListBucketResult>\x01" if spoilt else f"<ListBucketResult>{body}</ListBucketResult>".encode()
        )


@asynccontextmanager
async def opened(service: Service) -> AsyncIterator[tuple[Client, Wire]]:
    async with client_of(service.handle, max_connections=16) as (client, wire, _):
        yield client, wire


async def probed(service: Service, **options: object) -> ProbeResult:
    service.objects.setdefault("image/a.png", Stored(b"png", {}, "v0"))
    async with opened(service) as (client, _):
        return await probe(client, client, "avatar/", source_prefix="image/", **options)  # type: ignore[arg-type]


def scratch(service: Service) -> list[str]:
    return [key for key in service.objects if SCRATCH_NAME in key]


@on_uvloop
async def test_a_service_that_does_all_that_amazons_does_lacks_nothing() -> None:
    service = Service()
    assert await probed(service) == ProbeResult(AMAZON)
    assert describe(AMAZON) == []
    assert list(service.objects) == ["image/a.png"]
    assert not service.uploads


@on_uvloop
async def test_a_service_without_a_lack_gets_few_requests() -> None:
    service = Service()
    await probed(service)
    assert len(service.seen) <= 60


@dataclass
class FarService(Service):
    """Replies to all requests at once, each time that no more come. `waits` counts these times."""

    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    replying: asyncio.Event = field(default_factory=asyncio.Event)
    waits: int = 0

    async def handle(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        self.arrived.set()
        await self.replying.wait()
        await super().handle(data, writer)

    async def reply_in_rounds(self) -> None:
        while True:
            await self.arrived.wait()
            while self.arrived.is_set():
                self.arrived.clear()
                await asyncio.sleep(0.05)
            self.waits += 1
            self.replying.set()
            self.replying = asyncio.Event()


@pytest.mark.parametrize(("method", "waits"), [("stream", 8), ("server_side", 13)])
@on_uvloop
async def test_a_probe_of_a_far_service_waits_for_few_replies_one_after_another(method: str, waits: int) -> None:
    """One less, unless the machine is busy. There were 14 and 22 when each trial waited for the one before it."""
    service = FarService()
    replying = asyncio.create_task(service.reply_in_rounds())
    result = await probed(service, method=method)
    replying.cancel()
    assert result.findings == ()
    assert 0 < service.waits <= waits


@pytest.mark.parametrize(
    "lack",
    [
        "missing_source",
        "source_condition",
        "target_condition",
        "target_match",
        "put_condition",
        "put_match",
        "complete_condition",
        "complete_match",
        "part_condition",
        "etag",
        "metadata",
        "tags",
    ],
)
@on_uvloop
async def test_what_a_service_does_not_do_is_found_and_reported(lack: str) -> None:
    service = Service(frozenset({lack}))
    result = await probed(service)
    assert result == ProbeResult(replace(AMAZON, **{lack: Support.IGNORES}))
    assert len(describe(result.capabilities)) == 1
    assert list(service.objects) == ["image/a.png"]
    assert not service.uploads


@on_uvloop
async def test_a_request_that_ignores_both_conditions_on_its_target_is_told_once() -> None:
    """As copies are on Ceph."""
    result = await probed(Service(frozenset({"target_condition", "target_match"})))
    able = replace(AMAZON, target_condition=Support.IGNORES, target_match=Support.IGNORES)
    assert result == ProbeResult(able)
    (line,) = describe(able)
    assert line.startswith("the service ignores If-None-Match and If-Match on copies: ")


def test_the_largest_object_that_is_streamed_without_parts_is_told_as_it_is() -> None:
    (line,) = describe(replace(AMAZON, uploads=Support.REJECTS))
    assert f"if it is streamed, {MEMORY.limit // 1024**2} MiB, " in line


@on_uvloop
async def test_an_upload_that_cannot_be_completed_at_all_says_nothing_about_conditions() -> None:
    """As Ceph refuses to complete an upload with some of its parts."""
    lacking = {"completion", "complete_condition", "complete_match"}
    found = (await probed(Service(frozenset(lacking)))).capabilities
    assert (found.complete_condition, found.complete_match) == (Support.UNKNOWN, Support.UNKNOWN)


@on_uvloop
async def test_a_service_that_stores_nothing_for_a_copy_ignores_copies() -> None:
    result = await probed(Service(frozenset({"copying"})))
    assert result == ProbeResult(replace(AMAZON, copy=Support.IGNORES))


@on_uvloop
async def test_if_the_content_is_streamed_nothing_is_copied() -> None:
    service = Service(frozenset({"missing_source", "target_condition", "put_condition"}))
    result = await probed(service, method="stream")
    assert result == ProbeResult(replace(AMAZON, put_condition=Support.IGNORES, content_md5=Support.HAS))
    assert all(request.source is None for request in service.seen)


@on_uvloop
async def test_a_source_that_streams_another_version_than_the_listed_is_found() -> None:
    result = await probed(Service(frozenset({"source_condition"})), method="stream")
    assert result.capabilities == replace(AMAZON, source_condition=Support.IGNORES, content_md5=Support.HAS)


@pytest.mark.parametrize(
    ("lacks", "found"),
    [
        (frozenset(), Support.HAS),
        (frozenset({"content_md5"}), Support.IGNORES),
        (frozenset({"unsigned"}), Support.REJECTS),
        (frozenset({"refusing_all"}), Support.UNKNOWN),
    ],
    ids=["refuses other content", "stores other content", "wants signatures", "refuses and stores other content"],
)
def test_only_a_target_that_refuses_content_with_another_digest_and_stores_nothing_of_it_is_relied_upon(
    lacks: frozenset[str], found: Support
) -> None:
    @on_uvloop
    async def scenario() -> None:
        service = Service(lacks)
        result = await probed(service, method="stream")
        assert (result.capabilities.content_md5, result.findings) == (found, ())
        assert any("Content-MD5" in note for note in result.notes) == (found is not Support.HAS)
        assert set(service.objects) == {"image/a.png"}

    scenario()


@on_uvloop
async def test_whether_digests_are_compared_is_not_tried_where_no_content_is_sent() -> None:
    assert (await probed(Service())).capabilities.content_md5 is Support.UNKNOWN


@on_uvloop
async def test_a_service_whose_copies_differ_from_their_source_is_refused() -> None:
    result = await probed(Service(frozenset({"content"})))
    assert [finding.setting for finding in result.findings] == ["rehome_target"]
    assert "content" in result.findings[0].problem


@on_uvloop
async def test_a_service_that_rejects_every_condition_gets_none() -> None:
    """As where they are ignored, the target is looked at first; and no key counts as refused for it."""
    put, target = ("put_condition", "put_match"), ("target_condition", "target_match")
    for method, names in (("server_side", (*target, *put)), ("stream", put)):
        result = await probed(Service(frozenset({"knowing_conditions"})), method=method)
        digests = {"content_md5": Support.HAS} if method == "stream" else {}
        assert result == ProbeResult(replace(AMAZON, **dict.fromkeys(names, Support.REJECTS), **digests))


REJECTIONS = {
    "501": error(501, "NotImplemented"),
    "501 without a word": reply(501),
    "405": error(405, "MethodNotAllowed"),
    "400 in words": error(400, "InvalidArgument", "Unsupported header received for this API call."),
    "400 without words": error(400, "InvalidRequest", "no"),
    "403 by code": error(403, "UnsupportedOperation", "no"),
}

REJECTED: dict[str, Callable[[Request], bool]] = {
    "copy": lambda one: one.source is not None and "partNumber" not in one.query,
    "source_condition": lambda one: "x-amz-copy-source-if-match" in one.headers and "partNumber" not in one.query,
    "target_condition": lambda one: one.source is not None and "if-none-match" in one.headers,
    "target_match": lambda one: one.source is not None and "if-match" in one.headers,
    "put_match": lambda one: one.source is None and one.method == "PUT" and "if-match" in one.headers,
    "complete_match": lambda one: one.method == "POST" and "if-match" in one.headers,
    "put_condition": lambda one: one.source is None and one.method == "PUT" and "if-none-match" in one.headers,
    "complete_condition": lambda one: one.method == "POST" and "if-none-match" in one.headers,
    "uploads": lambda one: one.method == "POST" and "uploads" in one.query,
    "part_copy": lambda one: one.source is not None and "partNumber" in one.query,
    "part_condition": lambda one: "x-amz-copy-source-if-match" in one.headers and "partNumber" in one.query,
    "tag_header": lambda one: "x-amz-tagging" in one.headers,
    "tag_request": lambda one: one.method == "PUT" and "tagging" in one.query,
    "source_tags": lambda one: one.method == "GET" and "tagging" in one.query and SCRATCH_NAME not in one.key,
}


@pytest.mark.parametrize("answer", list(REJECTIONS))
@pytest.mark.parametrize("feature", list(REJECTED))
def test_a_feature_that_is_rejected_is_found_whatever_the_words_and_no_right_is_missed(
    feature: str, answer: str
) -> None:
    @on_uvloop
    async def scenario() -> None:
        service = Service(rejects=REJECTED[feature], rejection=REJECTIONS[answer])
        result = await probed(service)
        assert result.findings == ()
        assert result.notes == ()
        assert getattr(result.capabilities, feature) is Support.REJECTS
        others = {name for name in REJECTED if not getattr(result.capabilities, name)} - {feature}
        assert others <= {"tag_request"} if feature == "tag_header" else others == set()
        assert list(service.objects) == ["image/a.png"]
        assert not service.uploads

    scenario()


def refusing(*shapes: KeyShape) -> Callable[[str], str | None]:
    return lambda key: None if shapes_of(key) & set(shapes) else key


@pytest.mark.parametrize("shape", list(KeyShape))
@on_uvloop
async def test_a_key_that_is_refused_is_found(shape: KeyShape) -> None:
    service = Service(name_of=refusing(shape))
    assert (await probed(service)).capabilities == replace(AMAZON, refused_keys=frozenset({shape}))
    assert scratch(service) == []


@pytest.mark.parametrize(
    ("shape", "rename"),
    [
        (KeyShape.BACKSLASH, lambda key: key.replace("\\", "/")),
        (KeyShape.EMPTY_SEGMENT, lambda key: re.sub("/+", "/", key)),
        (KeyShape.DOT_SEGMENT, lambda key: key.replace("/./", "/")),
        (KeyShape.FOLDER, lambda key: key.rstrip("/") or key),
        (KeyShape.LONG_SEGMENT, lambda key: re.sub("L{255}L+", "L" * 255, key)),
    ],
)
@pytest.mark.parametrize("method", ["server_side", "stream"])
@pytest.mark.parametrize("finds_renamed", [False, True])
@on_uvloop
async def test_a_key_that_comes_back_under_another_name_counts_as_refused_and_is_removed(
    shape: KeyShape, rename: Callable[[str], str], finds_renamed: bool, method: str
) -> None:
    service = Service(name_of=rename, finds_renamed=finds_renamed)
    assert (await probed(service, method=method)).capabilities.refused_keys == {shape}
    assert scratch(service) == []


@on_uvloop
async def test_a_key_that_spoils_the_listing_counts_as_refused_and_is_removed() -> None:
    service = Service(frozenset({"listing"}))
    assert KeyShape.CONTROL in (await probed(service)).capabilities.refused_keys
    assert scratch(service) == []


DENIED: dict[str, Callable[[Request], bool]] = {
    "s3:PutObject": lambda request: request.method in ("PUT", "POST"),
    "s3:PutObjectTagging": lambda request: "x-amz-tagging" in request.headers,
    "s3:AbortMultipartUpload": lambda request: request.method == "DELETE" and "uploadId" in request.query,
    "s3:ListMultipartUploadParts": lambda request: request.method == "GET" and "uploadId" in request.query,
    "s3:ListBucketMultipartUploads": lambda request: request.method == "GET" and "uploads" in request.query,
}


@pytest.mark.parametrize("amazon", [False, True])
@pytest.mark.parametrize("action", list(DENIED))
@on_uvloop
async def test_a_missing_right_names_the_target_and_the_action(action: str, amazon: bool) -> None:
    """On Amazon's also where the credentials may not delete, so that nothing is stored."""
    denied = DENIED[action]
    service = Service(denies=lambda request: denied(request) or (amazon and is_delete(request)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Endpoint, "is_aws", amazon)
        result = await probed(service)
    (finding,) = result.findings
    assert finding.setting == "rehome_target"
    resource = "bucket" if action == "s3:ListBucketMultipartUploads" else "bucket/avatar/*"
    assert finding.way_out == f"Grant {action} on arn:aws:s3:::{resource}"
    assert scratch(service) == []


@on_uvloop
async def test_a_right_to_store_tags_that_is_checked_without_an_object_only_is_missed() -> None:
    """SeaweedFS 4.48 lets objects be stored with tags without it."""
    service = Service(denies=lambda request: request.method == "PUT" and "tagging" in request.query)
    (finding,) = (await probed(service)).findings
    assert "s3:PutObjectTagging" in finding.way_out


@on_uvloop
async def test_tags_that_cannot_be_read_are_said_not_to_be_tried() -> None:
    def denies(request: Request) -> bool:
        return SCRATCH_NAME in request.key and request.method == "GET" and "tagging" in request.query

    service = Service(denies=denies)
    result = await probed(service)
    assert result.capabilities.tags
    (note,) = result.notes
    assert "Grant s3:GetObjectTagging on arn:aws:s3:::bucket/avatar/.rehome-probe-*" in note


@on_uvloop
async def test_the_right_to_abort_is_tried_also_if_the_upload_was_completed() -> None:
    service = Service(frozenset({"complete_condition"}), denies=DENIED["s3:AbortMultipartUpload"])
    result = await probed(service)
    assert not result.capabilities.complete_condition
    assert "s3:AbortMultipartUpload" in str(result.findings[0])


@pytest.mark.parametrize("name", ["plain", "taken", "copy", "tagged-copy"])
@on_uvloop
async def test_a_lost_reply_is_no_lack(name: str) -> None:
    """The request is sent again, and then what is in the way is our own object."""
    lost: list[str] = []

    def loses(request: Request) -> bool:
        if request.method != "PUT" or not request.key.endswith(f"/{name}") or lost:
            return False
        lost.append(request.key)
        return True

    assert await probed(Service(loses=loses)) == ProbeResult(AMAZON)
    assert lost


def is_delete(request: Request) -> bool:
    return request.method == "DELETE" and "uploadId" not in request.query


@pytest.mark.parametrize(
    ("action", "query"), [("s3:GetObject", frozenset[str]()), ("s3:GetObjectTagging", frozenset({"tagging"}))]
)
@pytest.mark.parametrize(("method", "setting"), [("server_side", "rehome_target"), ("stream", "rehome_source")])
@on_uvloop
async def test_a_source_that_cannot_be_read_names_who_reads_it(
    action: str, query: frozenset[str], method: str, setting: str
) -> None:
    service = Service(
        denies=lambda request: (
            request.key.startswith("image/") and request.query.keys() == query and request.method == "GET"
        )
    )
    (finding,) = (await probed(service, method=method)).findings
    assert finding.setting == setting
    assert f"{action} on arn:aws:s3:::bucket/image/*" in finding.way_out


@on_uvloop
async def test_the_targets_credentials_read_the_source_if_the_service_copies() -> None:
    service = Service(objects={"image/a.png": Stored(b"png", {}, "v0")})
    async with opened(service) as (target, wire):
        as_other = replace(endpoint(wire.port), credentials=lambda: Credentials("OTHER", "SECRET"))
        async with Client(as_other, 4) as source:
            await probe(source, target, "avatar/", source_prefix="image/")
    read = [request.headers["authorization"] for request in service.seen if request.key == "image/a.png"]
    assert read
    assert all("Credential=AKID/" in who for who in read)


@on_uvloop
async def test_without_the_right_to_delete_the_same_few_objects_stay_however_often_it_is_probed() -> None:
    service = Service(denies=is_delete)
    first = await probed(service)
    kept = scratch(service)
    assert 0 < len(kept) <= 6
    assert all(key.startswith("avatar/.rehome-probe-kept/") for key in kept)
    assert await probed(service) == first
    assert scratch(service) == kept
    assert first.findings == ()
    assert first.capabilities == replace(AMAZON, refused_keys=UNTRIED_SHAPES, keys_tried=False)
    assert "s3:DeleteObject on arn:aws:s3:::bucket/avatar/.rehome-probe-*" in first.notes[0]
    assert "was not tried" in describe(first.capabilities)[0]


@on_uvloop
async def test_what_a_service_lacks_is_found_without_the_right_to_delete_too() -> None:
    for _ in range(2):
        service = Service(frozenset({"target_condition", "put_condition", "missing_source"}), denies=is_delete)
        able = (await probed(service)).capabilities
        assert not (able.target_condition or able.put_condition or able.missing_source)
        assert able.source_condition
        assert able.complete_condition


@on_uvloop
async def test_without_the_right_to_delete_nothing_at_all_is_stored_at_amazons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Endpoint, "is_aws", True)
    service = Service(denies=is_delete)
    result = await probed(service)
    assert result.capabilities == AMAZON
    assert result.findings == ()
    assert result.notes
    assert list(service.objects) == ["image/a.png"]
    assert not service.uploads


@on_uvloop
async def test_every_version_is_removed_and_no_delete_marker_left() -> None:
    service = Service(frozenset({"target_condition", "put_condition"}), versioned=True)
    await probed(service)
    assert service.versions == set()
    assert service.markers == []
    assert scratch(service) == []


@on_uvloop
async def test_every_version_is_removed_from_a_service_that_does_not_say_which_one_a_copy_is() -> None:
    """As Ceph, which also makes a version of each copy that should have been refused."""
    service = Service(frozenset({"target_condition", "target_match", "copy_version"}), versioned=True)
    await probed(service)
    assert (service.versions, service.markers, scratch(service)) == (set(), [], [])


@on_uvloop
async def test_a_key_that_the_service_stumbles_over_gets_no_delete_marker() -> None:
    service = Service(versioned=True)
    plain = service.put

    def put(request: Request, name: str) -> bytes:
        return error(500, "InternalError") if KeyShape.LONG_SEGMENT in shapes_of(name) else plain(request, name)

    service.put = put  # type: ignore[method-assign]
    assert (await probed(service)).capabilities.refused_keys == {KeyShape.LONG_SEGMENT}
    assert service.markers == []


@on_uvloop
async def test_versions_that_may_not_be_removed_are_hidden() -> None:
    service = Service(versioned=True, denies=lambda request: "versionId" in request.query)
    result = await probed(service)
    assert result.findings == ()
    (note,) = result.notes
    assert "Grant s3:DeleteObjectVersion on arn:aws:s3:::bucket/avatar/.rehome-probe-*" in note
    assert scratch(service) == []
    assert len(service.markers) == len(set(service.markers)) > 0


@pytest.mark.parametrize(
    "hangs",
    [
        lambda request: request.key.endswith("/tagged") and request.method == "PUT",
        lambda request: "uploads" in request.query,
        lambda request: "partNumber" in request.query,
    ],
)
@on_uvloop
async def test_a_probe_that_is_cancelled_removes_what_was_being_written(hangs: Callable[[Request], bool]) -> None:
    service = Service(hangs=hangs)
    async with opened(service) as (client, _):
        running = asyncio.create_task(probe(client, client, "avatar/"))
        await service.hanging.wait()
        assert scratch(service)
        running.cancel()
        asyncio.get_running_loop().call_later(0.05, service.go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await running
        await service.gone_on.wait()
    assert scratch(service) == []
    assert not service.uploads


@on_uvloop
async def test_a_probe_that_fails_midway_removes_what_it_wrote() -> None:
    service = Service()
    plain = service.answer

    def answer(request: Request) -> bytes:
        return error(503, "SlowDown") if "tagging" in request.query else plain(request)

    service.answer = answer  # type: ignore[method-assign]
    with pytest.raises(S3Error, match="SlowDown"):
        await probed(service)
    assert scratch(service) == []


LABEL = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("key", "marker", "modified", "goes"),
    [
        (f"avatar/.rehome-probe-{LABEL}/plain", LABEL, OLD, True),
        (f"avatar/.rehome-probe-{LABEL}/dot_segment/a/..", LABEL, OLD, True),
        (f"avatar/.rehome-probe-{LABEL}/plain", LABEL, NOW, False),
        (f"avatar/.rehome-probe-{LABEL}/plain", "f" * 32, OLD, False),
        (f"avatar/.rehome-probe-{LABEL}/plain", "", OLD, False),
        ("avatar/.rehome-probe-kept/plain", "kept", OLD, False),
        ("avatar/.rehome-probe-x/plain", "x", OLD, False),
        (f"avatar/.rehome-probe-{LABEL}", LABEL, OLD, False),
        (f"avatar/x/.rehome-probe-{LABEL}/plain", LABEL, OLD, False),
    ],
)
@on_uvloop
async def test_only_what_dead_probes_left_is_removed(key: str, marker: str, modified: str, goes: bool) -> None:
    service = Service(objects={key: Stored(b"x", {MARKER: marker} if marker else {}, "v0", modified)})
    await probed(service)
    assert (key not in service.objects) == goes


@on_uvloop
async def test_headers_that_copies_store_with_are_tried_too() -> None:
    encrypted = {"x-amz-server-side-encryption": "aws:kms"}
    service = Service()
    await probed(service, storage_headers=encrypted)
    writes = [
        request
        for request in service.seen
        if (request.method == "PUT" and not request.query.keys() & {"uploadId", "tagging"})
        or (request.method == "POST" and "uploads" in request.query)
    ]
    assert writes
    assert all(request.headers.items() >= encrypted.items() for request in writes)


CAPABILITIES = st.builds(
    Capabilities,
    *[st.sampled_from(Support)] * 18,
    refused_keys=st.frozensets(st.sampled_from(KeyShape)),
    keys_tried=st.booleans(),
)


@given(able=CAPABILITIES)
def test_capabilities_survive_being_written_down(able: Capabilities) -> None:
    assert Capabilities.from_json(json.loads(json.dumps(able.to_json()))) == able


@pytest.mark.parametrize(
    "kept", [{}, {"etag": True}, {**AMAZON.to_json(), "more": True}, {**AMAZON.to_json(), "refused_keys": ["new"]}]
)
def test_capabilities_of_another_version_are_not_believed(kept: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Capabilities.from_json(kept)


@pytest.mark.parametrize(
    ("key", "shapes"),
    [
        ("avatar/a.png", set()),
        ("a/.b/..c/d./...", set()),
        ("./a", {KeyShape.DOT_SEGMENT}),
        ("a/..", {KeyShape.DOT_SEGMENT}),
        ("a/..\n", {KeyShape.LINE_BREAK}),
        ("/a", {KeyShape.EMPTY_SEGMENT}),
        ("a//", {KeyShape.EMPTY_SEGMENT, KeyShape.FOLDER}),
        ("a/", {KeyShape.FOLDER}),
        ("a/b", set()),
        ("a\\b", {KeyShape.BACKSLASH}),
        ("a\0", {KeyShape.NUL}),
        ("a\r", {KeyShape.LINE_BREAK}),
        ("a\t", {KeyShape.CONTROL}),
        ("a\x7f", {KeyShape.CONTROL}),
        ("a\x80\ufffe", set()),
        ("a" * 255, set()),
        ("a" * 256, {KeyShape.LONG_SEGMENT}),
        ("😀" * 63 + "abc", set()),
        ("😀" * 64, {KeyShape.LONG_SEGMENT}),
        ("é" * 100 + "/" + "é" * 100, set()),
        ("x/..//\\", {KeyShape.DOT_SEGMENT, KeyShape.EMPTY_SEGMENT, KeyShape.BACKSLASH}),
    ],
)
def test_the_shapes_of_a_key(key: str, shapes: set[KeyShape]) -> None:
    assert shapes_of(key) == shapes

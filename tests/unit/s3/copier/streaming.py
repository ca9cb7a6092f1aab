"""Services for the tests of streams: scripted ones, and such with one large object."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import unquote

from rehome.s3.capabilities import Capabilities
from rehome.s3.client.client import Client
from rehome.s3.copier.run import copy_objects
from rehome.s3.multipart.record import Uploads
from rehome.s3.multipart.upload import CopyContext, Gate
from rehome.s3.objects.job import CopyJob, CopyOptions, CopyOutcome
from rehome.s3.objects.target_headers import TargetHeaders
from rehome.s3.support import Support

from tests.unit.s3.wire import Handler, Wire, client_of, error, reply

BODY = b"12345"
MEBIBYTE = 1024**2


def md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def base64_md5(body: bytes) -> str:
    return b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


ETAG = md5(BODY)
JOB = CopyJob("old/a b", ETAG, len(BODY), "new/a b")
STREAM = CopyOptions(method="stream")
NO_TAGS = error(404, "NoSuchTagSet")
PRECONDITION = error(412, "PreconditionFailed")
STORED = reply(200, etag=f'"{ETAG}"')
CUT = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12"
KMS = {"x_amz_server_side_encryption": "aws:kms"}
PROVING = CopyOptions(method="stream", capabilities=Capabilities(content_md5=Support.HAS))
BAD_DIGEST = error(400, "BadDigest")

Script = Mapping[str, Sequence[bytes | None]]


def content(body: bytes = BODY, etag: str | None = None, **headers: str) -> bytes:
    """A reply to GET."""
    return reply(200, body, etag=f'"{etag or md5(body)}"', **headers)


def found(etag: str, size: int = 5, **headers: str) -> bytes:
    """A reply to HEAD."""
    return reply(200, etag=f'"{etag}"', **headers).replace(b"content-length: 0", b"content-length: %d" % size)


def tagged(**tags: str) -> bytes:
    pairs = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in tags.items())
    return reply(200, f"<Tagging><TagSet>{pairs}</TagSet></Tagging>".encode())


def kind_of(request: bytes) -> str:
    """Verb, key and query: `GET old/a b?tagging=`."""
    verb, path = request.split(b" ")[:2]
    return f"{verb.decode()} {unquote(path.decode()).removeprefix('/bucket/')}"


def answering(replies: Script) -> Handler:
    """The replies to each kind of request in turn; None closes the connection, and so does the end of `CUT`."""
    left = {kind: iter(values) for kind, values in replies.items()}

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        kind = kind_of(request)
        if kind.endswith("?tagging=") and kind not in left:
            writer.write(NO_TAGS)
            return
        data = next(left[kind])
        if data is not None:
            writer.write(data)
            await writer.drain()
        if data is None or data is CUT:
            writer.close()

    return handle


class Services(NamedTuple):
    source: Client
    target: Client
    source_wire: Wire
    target_wire: Wire


@asynccontextmanager
async def services(source: Script | Handler, target: Script | Handler) -> AsyncIterator[Services]:
    """Two scripted services at ports of their own."""
    handlers = [answering(one) if isinstance(one, Mapping) else one for one in (source, target)]
    async with client_of(handlers[0]) as (reading, source_wire, _), client_of(handlers[1]) as (writing, target_wire, _):
        yield Services(reading, writing, source_wire, target_wire)


def context_of(both: Services, uploads: Uploads, slots: int = 2) -> CopyContext:
    headers = TargetHeaders(both.source, both.target, STREAM)
    return CopyContext(both.source, both.target, STREAM, uploads, Gate(slots), headers)


async def outcome_of(
    source: Script | Handler, target: Script | Handler, job: CopyJob = JOB, options: CopyOptions = STREAM
) -> CopyOutcome:
    outcomes: list[CopyOutcome] = []
    async with services(source, target) as both:
        await copy_objects(both.source, both.target, iter([job]), outcomes.append, options)
    (outcome,) = outcomes
    return outcome


def summary(outcome: CopyOutcome) -> tuple[object, ...]:
    return outcome.result, outcome.target_etag, outcome.evidence, outcome.error


LARGE = bytes(range(256)) * (17 * MEBIBYTE // 256) + b"tail"
LARGE_JOB = CopyJob("old/big", md5(LARGE), len(LARGE), "new/big")


class LargeSource:
    """A service with one large object."""

    def __init__(self, body: bytes = LARGE, etag: str = LARGE_JOB.etag, part_size: int = 0) -> None:
        self.body = body
        self.etag = etag
        self.part_size = part_size
        self.cuts = 0
        self.ranges: list[tuple[int, int]] = []

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        kind = kind_of(request)
        if kind.endswith("?tagging="):
            writer.write(tagged(team="web"))
        elif kind.endswith("?partNumber=1"):
            writer.write(found(self.etag, self.part_size or len(self.body)))
        elif kind.startswith("HEAD"):
            writer.write(found(self.etag, len(self.body), content_type="image/png"))
        else:
            assert f'\r\nif-match: "{self.etag}"\r\n'.encode() in request
            wanted_range = next(line for line in request.split(b"\r\n") if line.startswith(b"range: bytes="))
            first, last = (int(number) for number in wanted_range[13:].split(b"-"))
            self.ranges.append((first, last))
            answer = reply(206, self.body[first : last + 1], etag=f'"{self.etag}"')
            if self.cuts:
                self.cuts -= 1
                writer.write(answer[: len(answer) // 2])
                await writer.drain()
                writer.close()
            else:
                writer.write(answer)


class LargeTarget:
    """A service that takes an upload in parts."""

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.created: bytes = b""
        self.completed: bytes = b""
        self.aborted = False
        self.damaging = False
        self.refused = 0

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        kind = kind_of(request)
        head, _, body = request.partition(b"\r\n\r\n")
        if kind.startswith("HEAD"):
            writer.write(reply(404))
        elif kind.endswith("?uploads="):
            self.created = head
            writer.write(reply(200, b"<R><UploadId>u1</UploadId></R>"))
        elif kind.startswith("PUT"):
            number = int(kind.partition("partNumber=")[2].partition("&")[0])
            if number == self.refused:
                writer.write(error(500, "InternalError"))
                return
            assert f"\r\ncontent-md5: {base64_md5(body)}\r\n".encode() in head
            self.parts[number] = body
            writer.write(reply(200, etag=f'"{"0" * 32 if self.damaging else md5(body)}"'))
        elif kind.startswith("POST"):
            self.completed = head
            etag = composite([self.parts[number] for number in sorted(self.parts)])
            result = f"<CompleteMultipartUploadResult><ETag>&quot;{etag}&quot;</ETag></CompleteMultipartUploadResult>"
            writer.write(reply(200, result.encode()))
        elif kind.startswith("DELETE"):
            self.aborted = True
            writer.write(reply(204))
        else:
            writer.write(error(404, "NoSuchUpload") if self.aborted else self._listed())

    def _listed(self) -> bytes:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><Size>{len(part)}</Size><ETag>{md5(part)}</ETag></Part>"
            for number, part in self.parts.items()
        )
        return reply(200, f"<ListPartsResult>{parts}</ListPartsResult>".encode())


def composite(parts: Sequence[bytes]) -> str:
    digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    return f"{md5(digests)}-{len(parts)}"


class ProvingTarget:
    """A target that compares content with its Content-MD5.

    damages: of so many requests, a byte changes on the way to it
    """

    def __init__(self, damages: int = 0) -> None:
        self.damages = damages
        self.stored: list[bytes] = []
        self.sums: list[bytes] = []
        self.refused = 0

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        if not request.startswith(b"PUT"):
            writer.write(reply(404))
            return
        head, _, body = request.partition(b"\r\n\r\n")
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        self.sums.append(lines[b"x-amz-content-sha256"])
        if self.damages:
            self.damages -= 1
            body = body[:-1] + b"?"
        if lines.get(b"content-md5") != base64_md5(body).encode():
            self.refused += 1
            writer.write(BAD_DIGEST)
            return
        self.stored.append(body)
        writer.write(reply(200, etag=f'"{md5(body)}"'))


class PlainSource:
    """A source with one object.

    bodies: of its replies to GET, the last of which comes again; one that is shorter breaks off
    """

    def __init__(self, *bodies: bytes, etag: str = "") -> None:
        self.bodies = list(bodies)
        self.size = len(bodies[-1])
        self.etag = etag or md5(bodies[-1])
        self.reads = 0

    def job(self) -> CopyJob:
        return CopyJob("old/big", self.etag, self.size, "new/big")

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        kind = kind_of(request)
        if kind.endswith("?tagging="):
            writer.write(NO_TAGS)
        elif kind.startswith("HEAD"):
            writer.write(found(self.etag, self.size, content_type="image/png"))
        else:
            self.reads += 1
            body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
            whole = b"content-length: %d" % self.size
            writer.write(content(body, self.etag).replace(b"content-length: %d" % len(body), whole))
            await writer.drain()
            if len(body) < self.size:
                writer.close()

"""Deletes by the thousand and one by one, against scripted replies."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from rehome.s3.deletion.delete import DeleteJob, DeleteOutcome, Refusal, delete_objects, undelete
from rehome.s3.deletion.versions import Version, find_delete_marker, has_object_lock, noncurrent_days, versioning_of
from rehome.s3.errors import S3Error, S3StopError

from tests.unit.s3.wire import Naps, client_of, error, on_uvloop, reply, script


def result(*entries: str) -> bytes:
    return reply(200, f"<?xml version='1.0'?>\n<DeleteResult>{''.join(entries)}</DeleteResult>".encode())


def deleted(key: str, marker: str = "") -> str:
    element = (
        f"<DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>{marker}</DeleteMarkerVersionId>" if marker else ""
    )
    return f"<Deleted><Key>{key}</Key>{element}</Deleted>"


def refused(key: str, code: str) -> str:
    return f"<Error><Key>{key}</Key><Code>{code}</Code><Message>because</Message></Error>"


JOBS = [DeleteJob("a", "e1"), DeleteJob("b & <c>", "e2"), DeleteJob("d", "e3")]


def by_key(outcomes: Sequence[DeleteOutcome]) -> dict[str, tuple[str, str | None, str | None, bool]]:
    return {one.job.key: (one.result, one.marker, one.error, one.unsure) for one in outcomes}


@on_uvloop
async def test_a_thousand_go_in_one_request_each_with_its_etag_and_each_gets_its_own_answer() -> None:
    replies = [
        result(refused("d", "AccessDenied"), deleted("a", "v1"), refused("b &amp; &lt;c&gt;", "PreconditionFailed"))
    ]
    async with client_of(script(replies)) as (client, wire, _):
        outcomes = await delete_objects(client, JOBS, "together")
    assert by_key(outcomes) == {
        "a": ("deleted", "v1", None, False),
        "b & <c>": ("changed", None, "PreconditionFailed", False),
        "d": ("failed", None, "AccessDenied", False),
    }
    head, _, body = wire.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /bucket?delete= HTTP/1.1")
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest())
    assert b"content-md5: " + digest in head
    assert re.findall(rb"<Key>(.*?)</Key><ETag>(.*?)</ETag>", body) == [
        (b"a", b'"e1"'),
        (b"b &amp; &lt;c&gt;", b'"e2"'),
        (b"d", b'"e3"'),
    ]


@on_uvloop
async def test_what_s3_had_trouble_with_is_retried_and_what_it_does_not_mention_is_no_success() -> None:
    naps = Naps()
    replies = [result(deleted("a"), refused("d", "InternalError")), *[result(refused("d", "NoSuchKey"))] * 4]
    async with client_of(script(replies)) as (client, wire, _):
        outcomes = await delete_objects(client, JOBS, "together", naps)
    assert by_key(outcomes) == {
        "a": ("deleted", None, None, False),
        "b & <c>": ("failed", None, "NotMentioned", True),
        "d": ("changed", None, "NoSuchKey", True),
    }
    assert len(wire.requests) == 5
    assert b"<Key>a</Key>" not in wire.requests[1]
    assert len(naps.taken) == 4


@on_uvloop
async def test_a_lost_reply_leaves_what_is_gone_by_then_unsure() -> None:
    replies = [None, None, result(*(refused(key, "NoSuchKey") for key in ("a", "b &amp; &lt;c&gt;", "d")))]
    async with client_of(script(replies)) as (client, _, _):
        outcomes = await delete_objects(client, JOBS, "together")
    assert {(one.result, one.unsure) for one in outcomes} == {("changed", True)}


@on_uvloop
async def test_half_a_result_and_an_error_inside_a_success_are_no_answer() -> None:
    half = reply(200, b"<DeleteResult><Deleted><Key>a</Key></Deleted>")
    inside = reply(200, b"<?xml version='1.0'?>  <Error><Code>AccessDenied</Code></Error>")
    for answer in (half, inside):
        async with client_of(script([answer] * 4)) as (client, _, _):
            outcomes = await delete_objects(client, JOBS, "together")
        assert {one.result for one in outcomes} == {"failed"}
    assert {one.error for one in outcomes} == {"AccessDenied"}


@on_uvloop
async def test_what_every_request_would_meet_is_raised() -> None:
    async with client_of(script([error(403, "InvalidAccessKeyId")])) as (client, _, _):
        with pytest.raises(S3StopError):
            await delete_objects(client, JOBS, "together")


@on_uvloop
async def test_a_marker_without_an_id_of_its_own_is_no_way_back() -> None:
    async with client_of(script([result(deleted("a", "null"))])) as (client, _, _):
        (outcome,) = await delete_objects(client, JOBS[:1], "together")
    assert (outcome.result, outcome.marker) == ("deleted", None)


@on_uvloop
async def test_keys_that_xml_would_change_are_looked_at_and_deleted_on_their_own() -> None:
    replies = [reply(200, etag='"e"'), reply(204, x_amz_delete_marker="true", x_amz_version_id="v")]
    async with client_of(script(replies), max_connections=1) as (client, wire, _):
        (outcome,) = await delete_objects(client, [DeleteJob("a\r\nb\x01", "e")], "together")
    assert (outcome.result, outcome.marker) == ("deleted", "v")
    assert [request.split(b" HTTP")[0] for request in wire.requests] == [
        b"HEAD /bucket/a%0D%0Ab%01",
        b"DELETE /bucket/a%0D%0Ab%01",
    ]
    assert b'if-match: "e"' in wire.requests[1]


@on_uvloop
async def test_one_by_one_an_object_with_another_etag_gets_no_delete_request() -> None:
    async with client_of(script([reply(200, etag='"other"')])) as (client, wire, _):
        (outcome,) = await delete_objects(client, JOBS[:1], "singly")
    assert (outcome.result, len(wire.requests)) == ("changed", 1)
    async with client_of(script([reply(200, etag='"e1"'), reply(412)])) as (client, _, _):
        (outcome,) = await delete_objects(client, JOBS[:1], "singly")
    assert (outcome.result, outcome.error) == ("changed", "PreconditionFailed")


@on_uvloop
async def test_markers_are_deleted_by_their_ids_and_refusals_are_reported() -> None:
    entries = ["<Deleted><Key>a</Key><VersionId>v1</VersionId><DeleteMarker>true</DeleteMarker></Deleted>"]
    entries.append("<Error><Key>d</Key><VersionId>v2</VersionId><Code>AccessDenied</Code><Message>no</Message></Error>")
    async with client_of(script([result(*entries)])) as (client, wire, _):
        problems = await undelete(client, [Version("a", "v1"), Version("d", "v2")])
    assert problems == [(Version("a", "v1"), None), (Version("d", "v2"), Refusal("AccessDenied", "no"))]
    assert b"<Key>a</Key><VersionId>v1</VersionId>" in wire.requests[0]
    assert b"ETag" not in wire.requests[0]


@on_uvloop
async def test_versioning_locks_and_lifecycle_are_read_as_they_are() -> None:
    statuses = {"<Status>Enabled</Status>": "enabled", "<Status>Suspended</Status>": "suspended", "": "off"}
    for text, expected in statuses.items():
        body = f"<VersioningConfiguration>{text}</VersioningConfiguration>".encode()
        async with client_of(script([reply(200, body, date="Mon, 01 Jun 2026 12:00:00 GMT")])) as (client, _, _):
            assert await versioning_of(client) == (expected, datetime(2026, 6, 1, 12, tzinfo=UTC))
    async with client_of(script([reply(200, b"<html/>")])) as (client, _, _):
        with pytest.raises(S3Error):
            await versioning_of(client)
    locked = b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"
    answers = {reply(200, locked): True, error(404, "ObjectLockConfigurationNotFoundError"): False}
    for answer, expects in (answers | {error(501, "NotImplemented"): False}).items():
        async with client_of(script([answer])) as (client, _, _):
            assert await has_object_lock(client) is expects
    rule = "<Rule><Status>{}</Status><NoncurrentVersionExpiration><NoncurrentDays>{}</NoncurrentDays>"
    rules = "".join(f"{rule.format(*one)}</NoncurrentVersionExpiration></Rule>" for one in (("Enabled", 9), ("Off", 2)))
    body = f"<LifecycleConfiguration>{rules}</LifecycleConfiguration>".encode()
    async with client_of(script([reply(200, body), error(403, "AccessDenied")])) as (client, _, _):
        assert (await noncurrent_days(client), await noncurrent_days(client)) == (9, None)


@on_uvloop
async def test_a_marker_is_ours_only_right_on_top_of_what_we_intended_and_about_then() -> None:
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)

    def entry(kind: str, version: str, minute: int, latest: str = "false", key: str = "a%20b") -> str:
        return (
            f"<{kind}><Key>{key}</Key><VersionId>{version}</VersionId><IsLatest>{latest}</IsLatest>"
            f"<ETag>&quot;e&quot;</ETag><LastModified>2026-06-01T12:{minute:02}:00.000Z</LastModified></{kind}>"
        )

    def listing(*entries: str) -> bytes:
        text = f"<ListVersionsResult><EncodingType>url</EncodingType>{''.join(entries)}</ListVersionsResult>"
        return reply(200, text.encode())

    version = entry("Version", "v0", 0)
    marker = entry("DeleteMarker", "m", 1, "true")
    cases = [
        (listing(marker, version), "e", now, "m"),
        (listing(version, marker, entry("Version", "x", 9, "true", "a%20bc")), "e", now, "m"),
        (listing(marker, version), "other", now, None),
        (listing(marker, version), "e", now + timedelta(hours=2), None),
        (listing(entry("Version", "v1", 2, "true"), marker, version), "e", now, None),
        (listing(marker, entry("DeleteMarker", "m0", 0), version), "e", now, None),
        (listing(entry("DeleteMarker", "null", 1, "true"), version), "e", now, None),
        (listing(marker), "e", now, None),
        (listing(), "e", now, None),
    ]
    for answer, etag, intended_at, expected in cases:
        async with client_of(script([answer])) as (client, _, _):
            assert await find_delete_marker(client, "a b", etag, intended_at) == expected

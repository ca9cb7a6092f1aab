"""Migrations at services that reject, in their various words, what a copy would rely on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from rehome.checks import refusals
from rehome.config.settings import Settings
from rehome.errors import RehomeError
from rehome.preflight.preflight import preflight
from rehome.progress import Progress
from rehome.stages import copy_objects as stage

from sandbox.s3_server import S3Server
from sandbox.sqlite import SQLite
from tests.conftest import Buckets
from tests.integration.migration import Migration
from tests.rejecting_proxy import RejectingProxy, Rejection, Request, Rule

WORDS = (
    Rejection(501, "NotImplemented", "A header you provided implies functionality that is not implemented"),
    Rejection(400, "InvalidArgument", "Unsupported header 'x' received for this API call."),
    Rejection(405, "MethodNotAllowed", "The specified method is not allowed against this resource."),
    Rejection(400, "NotImplemented", "A header or query you provided requested a function that is not implemented."),
    Rejection(400, "InvalidRequest", "no further word"),
    Rejection(403, "UnsupportedOperation", "not here"),
)
"""As Amazon and Alibaba, Backblaze, gateways, Google, some in a hurry, and one that calls it forbidden say it."""


@dataclass
class Lacking:
    """A migration within an object store behind a proxy."""

    migration: Migration
    proxy: RejectingProxy
    folder: Path

    def run(self, settings: Settings) -> tuple[stage.CopyCounts, str]:
        """Preflight, plan, copy and rewrite; return the counts and the notes of the preflight."""
        checks = preflight(settings, dry_run=False, progress=Progress(self.folder)).checks
        assert refusals(checks) == []
        self.migration.plan(settings)
        counts = self.migration.copy(settings)
        self.migration.rewrite(settings)
        return counts, " ".join(check.found for check in checks if check.status == "warn")

    def refusals(self, settings: Settings) -> list[Any]:
        return refusals(preflight(settings, dry_run=False, progress=Progress(self.folder)).checks)


class Front:
    """An object store as it is reached through a proxy; the witness of a test goes past it."""

    def __init__(self, store: S3Server, port: int) -> None:
        self.users, self.region, self.client = store.users, store.region, store.client
        self.endpoint_url = f"http://127.0.0.1:{port}"


@pytest.fixture
def lacking(object_store: S3Server, buckets: Buckets, sqlite: SQLite, tmp_path: Path) -> Iterator[Lacking]:
    with RejectingProxy(object_store.state.ports["s3"]) as proxy:
        front = Front(object_store, proxy.port)
        migration = Migration(cast(S3Server, front), buckets, sqlite, tmp_path)
        yield Lacking(migration, proxy, tmp_path)
        migration.close()


def is_copy(request: Request) -> bool:
    return "x-amz-copy-source" in request.headers and "partnumber" not in request.query


def is_part_copy(request: Request) -> bool:
    return "x-amz-copy-source" in request.headers and "partnumber" in request.query


def has_header(*names: str, when: Callable[[Request], bool] = lambda request: True) -> Callable[[Request], bool]:
    return lambda request: any(name in request.headers for name in names) and when(request)


def rejects(feature: Callable[[Request], bool], words: Rejection) -> Rule:
    return lambda request: words if feature(request) else None


IS_TAGGING = ("x-amz-tagging", "x-amz-tagging-directive")

FEATURES: dict[str, tuple[Callable[[Request], bool], str]] = {
    "tags": (lambda one: has_header(*IS_TAGGING)(one) or "tagging" in one.query, ""),
    "tags in headers": (has_header(*IS_TAGGING), ""),
    "copies": (is_copy, "CopyObject"),
    "conditions on the target of copies": (has_header("if-none-match", when=is_copy), "If-None-Match on copies"),
    "conditions on the source of copies": (has_header("x-amz-copy-source-if-match"), "condition on the source's ETag"),
    "conditions on stored objects": (
        has_header("if-none-match", when=lambda one: one.method == "PUT" and not is_copy(one)),
        "If-None-Match on PutObject",
    ),
    "all conditions on writes": (has_header("if-none-match"), "If-None-Match on CompleteMultipartUpload"),
    "copied parts": (is_part_copy, "UploadPartCopy"),
    "multipart uploads": (lambda one: "uploads" in one.query and one.method == "POST", "multipart uploads"),
    "checksums": (lambda one: any(name.startswith("x-amz-checksum") for name in one.headers), ""),
    "the size of an upload": (has_header("x-amz-mp-object-size"), ""),
    "restore states in listings": (has_header("x-amz-optional-object-attributes"), ""),
    "conditions on reads": (has_header("if-match", when=lambda one: one.method in ("GET", "HEAD")), ""),
    "storage classes": (has_header("x-amz-storage-class"), ""),
    "lists of access": (lambda one: "acl" in one.query or has_header("x-amz-acl")(one), ""),
    "versions and locks": (lambda one: bool({"versioning", "versions", "object-lock"} & set(one.query)), ""),
}


@pytest.mark.parametrize("number", range(len(FEATURES)), ids=list(FEATURES))
def test_what_a_service_rejects_is_done_another_way_and_said(lacking: Lacking, number: int) -> None:
    """In one of the wordings each; `tests/unit/s3/test_support.py` has all of them."""
    asks, note = list(FEATURES.values())[number]
    words = WORDS[number % 4]
    lacking.proxy.rule = rejects(asks, words)
    migration = lacking.migration
    for name in range(3):
        migration.put(f"avatar-{name}.png", f"content {name}".encode())
    migration.put("avatar-large.png", bytes(6 * 1024**2))
    counts, notes = lacking.run(migration.settings(multipart_threshold=5 * 1024**2))
    assert (counts.copied, counts.failed, counts.method) == (4, 0, "stream" if asks is is_copy else "server_side")
    assert migration.paths() == [f"avatar/avatar-{name}.png" for name in (0, 1, 2, "large")]
    assert [migration.content(path) for path in migration.paths()[:3]] == [b"content 0", b"content 1", b"content 2"]
    assert note in notes
    assert "Grant" not in notes
    assert migration.target_keys() == migration.paths(), "no scratch object is left"


@pytest.mark.parametrize("feature", ["copies", "conditions on the target of copies", "all conditions on writes"])
def test_where_conditions_are_rejected_the_target_is_looked_at_first(lacking: Lacking, feature: str) -> None:
    asks, _ = FEATURES[feature]
    lacking.proxy.rule = rejects(lambda one: asks(one) or has_header("if-none-match")(one), WORDS[0])
    migration, settings = lacking.migration, lacking.migration.settings()
    migration.put("avatar-1.png", b"mine")
    migration.put("avatar-2.png", b"mine")
    assert lacking.refusals(settings) == []
    migration.plan(settings)
    migration.target_s3.put_object(Bucket=migration.target, Key="avatar/avatar-2.png", Body=b"somebody else's")
    counts = migration.copy(settings)
    assert (counts.copied, counts.conflict) == (1, 1)
    assert migration.content("avatar/avatar-2.png") == b"somebody else's"


@pytest.mark.parametrize("words", WORDS[:2], ids=[f"{one.status} {one.code}" for one in WORDS[:2]])
def test_tags_that_the_target_cannot_keep_stop_the_run_before_the_first_copy(
    lacking: Lacking, words: Rejection
) -> None:
    def writes_tags(request: Request) -> bool:
        by_request = request.method == "PUT" and "tagging" in request.query
        return by_request or has_header(*IS_TAGGING)(request)

    # as of a target in another service: the source has tags
    def reads_tags_of_target(request: Request) -> bool:
        return request.method == "GET" and "tagging" in request.query and lacking.migration.target in request.path

    lacking.proxy.rule = rejects(lambda one: writes_tags(one) or reads_tags_of_target(one), words)
    migration = lacking.migration
    migration.put("avatar-1.png", Tagging="team=blue")
    (refusal,) = lacking.refusals(migration.settings())
    assert refusal.setting == "rehome_tags"
    assert "Set it to none" in refusal.way_out
    counts, _ = lacking.run(migration.settings(tags="none"))
    assert (counts.copied, counts.failed) == (1, 0)


def test_tags_go_by_a_request_of_their_own_where_headers_are_rejected(lacking: Lacking) -> None:
    lacking.proxy.rule = rejects(has_header(*IS_TAGGING), Rejection(400, "InvalidArgument"))
    migration = lacking.migration
    migration.put("avatar-1.png", Tagging="team=blue")
    counts, _ = lacking.run(migration.settings(copy_method="stream"))
    assert counts.copied == 1
    tags = migration.target_s3.get_object_tagging(Bucket=migration.target, Key="avatar/avatar-1.png")["TagSet"]
    assert tags == [{"Key": "team", "Value": "blue"}]


@pytest.mark.parametrize("words", WORDS[-2:], ids=[f"{one.status} {one.code}" for one in WORDS[-2:]])
def test_a_service_that_does_not_copy_is_refused_if_it_must(lacking: Lacking, words: Rejection) -> None:
    lacking.proxy.rule = rejects(is_copy, words)
    lacking.migration.put("avatar-1.png")
    (refusal,) = lacking.refusals(lacking.migration.settings(copy_method="server_side"))
    assert refusal.setting == "rehome_copy_method"
    assert "no missing right" in str(refusal)
    assert "Grant" not in str(refusal)


@pytest.mark.parametrize(
    ("setting", "value", "feature", "words"),
    [
        ("encryption", "SSE-S3", has_header("x-amz-server-side-encryption"), WORDS[0]),
        ("encryption", "SSE-KMS", has_header("x-amz-server-side-encryption"), WORDS[4]),
        ("acl", "bucket-owner-full-control", has_header("x-amz-acl"), WORDS[1]),
        ("acl", "copy", has_header("x-amz-acl"), Rejection(400, "AccessControlListNotSupported")),
        ("storage_class", "STANDARD_IA", has_header("x-amz-storage-class"), Rejection(400, "InvalidStorageClass")),
        ("storage_class", "GLACIER", has_header("x-amz-storage-class"), WORDS[3]),
    ],
)
def test_what_a_setting_asks_for_and_the_service_rejects_is_refused_by_the_settings_name(
    lacking: Lacking, setting: str, value: str, feature: Callable[[Request], bool], words: Rejection
) -> None:
    lacking.proxy.rule = rejects(feature, words)
    lacking.migration.put("avatar-1.png")
    # these credentials may not read ACLs of the source, which is another finding
    found = lacking.refusals(lacking.migration.settings(**{setting: value}))
    (refusal,) = [one for one in found if one.setting != "rehome_source"]
    assert refusal.setting == f"rehome_{setting}"
    assert "no missing right" in str(refusal)
    assert lacking.migration.target_keys() == []


def test_a_denied_right_is_still_told_as_one(lacking: Lacking) -> None:
    lacking.proxy.rule = rejects(is_copy, Rejection(403, "AccessDenied", "Access Denied"))
    lacking.migration.put("avatar-1.png")
    (refusal,) = lacking.refusals(lacking.migration.settings())
    assert "Grant s3:GetObject and s3:PutObject" in refusal.way_out


def test_an_answer_that_says_nothing_is_told_as_unknown(lacking: Lacking) -> None:
    lacking.proxy.rule = rejects(is_copy, Rejection(500, "InternalError", "try again"))
    lacking.migration.put("avatar-1.png")
    (refusal,) = lacking.refusals(lacking.migration.settings())
    assert "could not be found out" in str(refusal)
    assert "Grant" not in str(refusal)


@pytest.mark.parametrize("words", WORDS[:2], ids=[f"{one.status} {one.code}" for one in WORDS[:2]])
def test_what_is_rejected_only_midway_stops_the_run_after_few_and_is_no_missing_right(
    lacking: Lacking, words: Rejection
) -> None:
    migration, settings = lacking.migration, lacking.migration.settings(max_requests=2)
    for number in range(60):
        migration.put(f"avatar-{number:03}.png")
    assert lacking.refusals(settings) == []
    migration.plan(settings)
    lacking.proxy.rule = rejects(is_copy, words)
    counts = stage.CopyCounts()
    with pytest.raises(RehomeError) as stopped:
        stage.copy_planned(migration.run_with(settings), counts)
    assert counts.failed < 20
    assert "This is no missing right" in str(stopped.value)
    assert "credentials" not in str(stopped.value)


def test_a_refusal_that_is_no_denied_right_does_not_name_one(lacking: Lacking) -> None:
    migration, settings = lacking.migration, lacking.migration.settings(max_requests=2)
    for number in range(60):
        migration.put(f"avatar-{number:03}.png")
    migration.plan(settings)
    lacking.proxy.rule = rejects(is_copy, Rejection(400, "InvalidRequest", "not today"))
    with pytest.raises(RehomeError, match="not today") as stopped:
        migration.copy(settings)
    assert "Correct what S3 names" in str(stopped.value)
    lacking.proxy.rule = rejects(is_copy, Rejection(403, "AccessDenied", "Access Denied"))
    migration.plan(settings)
    with pytest.raises(RehomeError, match="may read the source and write the target"):
        migration.copy(settings)


def test_streamed_content_is_asked_for_as_it_is_stored(lacking: Lacking) -> None:
    lacking.migration.put("avatar-1.png")
    lacking.run(lacking.migration.settings(copy_method="stream"))
    reads = [one for one in lacking.proxy.seen if one.method == "GET" and one.path.endswith("/avatar-1.png")]
    assert reads
    ours = [one for one in reads if one.headers.get("user-agent") == "rehome"]
    assert {one.headers.get("accept-encoding") for one in ours} == {"identity"}
    assert not any("accept-encoding" in one.headers["authorization"] for one in ours)

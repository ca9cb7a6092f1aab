"""Every key that S3 allows, listed, copied and read, on servers that accept such keys."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from functools import cache

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rehome.mapping.key_shapes import MAX_KEY_BYTES, KeyShape, shapes_of
from rehome.mapping.keymap import KeyMap
from rehome.s3.capabilities import Capabilities
from rehome.s3.client.client import Client
from rehome.s3.copier.run import copy_objects
from rehome.s3.listing.listing import list_objects
from rehome.s3.listing.page import Listed
from rehome.s3.objects.job import CopyJob, CopyOptions, CopyOutcome

from matrix.servers.moto import Moto
from sandbox.s3_server import S3Server
from tests.conftest import Buckets
from tests.integration.s3.opening import capabilities, new_buckets, opened, witness

ANY = st.characters(exclude_categories=["Cs"])
AWKWARD = st.sampled_from(
    [
        *(
            "/",
            "//",
            "/./",
            "/../",
            "..",
            ".",
            "+",
            "%",
            "%2F",
            "%20",
            "?",
            "#",
            "&",
            "&amp;",
            "<",
            ">",
            '"',
            "'",
            "\\",
        ),
        *(" ", "  ", "\t", "\n", "\r", "\r\n", "\0", "\x01", "\x1b", "\x7f", "\x85", "\ufffe", "\uffff", "\ufeff"),
        *("=", ";", ":", "@", ",", "$", "*", "!", "(", ")", "[", "]", "{", "}", "|", "^", "`", "~", "\u2028"),
        *("é", "e\u0301", "日本語", "😀", "\U0010ffff", "?versionId=x", "?uploads", "avatar-1.png"),
    ]
)
NAMES = st.lists(AWKWARD | st.text(ANY, max_size=4), min_size=1, max_size=12).map("".join)
LONG_NAMES = st.tuples(st.text(ANY, min_size=1, max_size=3), st.integers(200, 1100)).map(lambda pair: filled(*pair))
MANY_NAMES = st.lists(NAMES | LONG_NAMES, min_size=25, max_size=40, unique=True)

FEW = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    # Shrinking a failing example would take minutes on a real server.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def filled(pattern: str, size: int) -> str:
    """Repeat `pattern` to at most `size` bytes."""
    return (pattern * size).encode()[:size].decode(errors="ignore")


class Copied:
    """The result of a round: the keys in both buckets, and the contents in the target, as our client reads them."""

    def __init__(self) -> None:
        self.outcomes: list[CopyOutcome] = []
        self.unroutable: dict[str, str] = {}
        self.listed: dict[str, Listed] = {}
        self.arrived: dict[str, bytes] = {}


async def listing(client: Client, prefix: str) -> dict[str, Listed]:
    return {one.key: one async for page in list_objects(client, prefix) for one in page}


async def move(server: S3Server, buckets: Buckets, keymap: KeyMap, names: Iterable[str], able: Capabilities) -> Copied:
    """Store an object for each name, list them, and copy those that the target accepts."""
    round_ = Copied()
    async with opened(server, buckets) as (_, target), opened(server, buckets, "admin") as (source, _):
        stored = [keymap.source_prefix + name for name in names]
        stored = [
            key for key in stored if len(key.encode()) <= MAX_KEY_BYTES and not shapes_of(key) & able.refused_keys
        ]
        await asyncio.gather(*(source.put_object(key, key.encode()) for key in stored))
        round_.listed = await listing(source, keymap.source_prefix)
        assert round_.listed.keys() == set(stored)
        reasons = {key: keymap.unroutable(key, able.refused_keys) for key in stored}
        round_.unroutable = {key: reason for key, reason in reasons.items() if reason is not None}
        jobs = (
            CopyJob(key, one.etag, one.size, keymap.target_prefix + key.removeprefix(keymap.source_prefix))
            for key, one in round_.listed.items()
            if key not in round_.unroutable
        )
        await copy_objects(source, target, jobs, round_.outcomes.append, CopyOptions(capabilities=able))
        arrived = await listing(target, keymap.target_prefix)
        replies = await asyncio.gather(*(target.request("GET", key) for key in arrived))
        round_.arrived = {key: reply.body for key, reply in zip(arrived, replies, strict=True)}
    seen = {
        entry["Key"]
        for page in witness(server)
        .get_paginator("list_objects_v2")
        .paginate(Bucket=buckets.target, Prefix=keymap.target_prefix)
        for entry in page.get("Contents", [])
    }
    assert seen == round_.arrived.keys()
    for key in sorted(seen)[:3]:
        assert witness(server).get_object(Bucket=buckets.target, Key=key)["Body"].read() == round_.arrived[key]
    return round_


def check(server: S3Server, keymap: KeyMap, names: list[str]) -> Copied:
    round_ = uvloop.run(asyncio.wait_for(move(server, buckets_of(server), keymap, names, capabilities(server)), 60))
    routed = round_.listed.keys() - round_.unroutable.keys()
    assert {(one.result, one.message) for one in round_.outcomes} <= {("copied", None)}
    assert len(round_.outcomes) == len(routed)
    assert round_.arrived == {
        keymap.target_prefix + key.removeprefix(keymap.source_prefix): key.encode() for key in routed
    }
    assert all(len((keymap.target_prefix + key).encode()) > MAX_KEY_BYTES for key in round_.unroutable)
    return round_


@cache
def buckets_of(server: S3Server) -> Buckets:
    return new_buckets(server)


def apart() -> KeyMap:
    """Return a map that makes keys longer."""
    label = secrets.token_hex(4)
    return KeyMap(f"{label}/i/", f"{label}/avatars/")


@given(names=MANY_NAMES)
@FEW
def test_any_key_is_moved_as_it_is_if_the_service_takes_all_keys(moto: Moto, names: list[str]) -> None:
    """moto accepts all keys but those with a line break, and ignores the conditions of copies."""
    check(moto, apart(), names)


@given(names=MANY_NAMES)
@FEW
def test_any_key_that_the_object_store_takes_is_moved_as_it_is(object_store: S3Server, names: list[str]) -> None:
    if object_store.name == "seaweedfs":
        # It keeps objects as files, so that a key cannot be a folder of another one.
        names = [name for name in names if not any(other.startswith(f"{name}/") for other in names)]
    check(object_store, apart(), names)


def test_keys_at_the_limit_are_moved_and_longer_ones_unroutable(moto: Moto) -> None:
    keymap = KeyMap("i/", "avatars/")
    names = [filled("é😀a/", size) for size in (MAX_KEY_BYTES - 8, MAX_KEY_BYTES - 7, MAX_KEY_BYTES - 2)]
    names += ["x" * size for size in (MAX_KEY_BYTES - 8, MAX_KEY_BYTES - 7, MAX_KEY_BYTES - 2)]
    round_ = check(moto, keymap, names)
    assert {len(key.encode()) for key in round_.listed} >= {MAX_KEY_BYTES - 6, MAX_KEY_BYTES - 5, MAX_KEY_BYTES}
    assert {len(key.encode()) for key in round_.arrived} >= {MAX_KEY_BYTES}
    assert len(round_.unroutable) >= 3


def test_a_leading_slash_is_part_of_the_key(moto: Moto) -> None:
    round_ = check(moto, KeyMap("/", "//"), ["a", "/a", "//a", "/", "./a"])
    assert round_.arrived.keys() == {"//a", "///a", "////a", "///", "//./a"}


@pytest.mark.needs("line breaks")
def test_line_breaks_are_moved_if_the_object_store_takes_them(object_store: S3Server) -> None:
    assert KeyShape.LINE_BREAK not in capabilities(object_store).refused_keys
    round_ = check(object_store, apart(), ["a\nb", "a\r\nb", "a\rb", "a%0Ab", "a\x01b"])
    assert len(round_.arrived) == 5

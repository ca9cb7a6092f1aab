"""How many requests a copy sends, by kind. Pure: counts in, counts out; retries and the preflight are not counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ..config.settings import CopyMethod, CopyPolicy
from ..report.facts import RequestFact
from ..s3.copier.stream_object import PART_BYTES, WHOLE_BYTES
from ..s3.objects.job import CopyOptions

_Kind = Literal["list", "copy", "put", "get", "head"]
_Side = Literal["source", "target"]

PAGE_KEYS = 1_000
"""Keys that one LIST returns (ListObjectsV2, S3 API reference)."""


class Limits(NamedTuple):
    """Objects of more than `whole` bytes are sent in parts of `part` bytes."""

    whole: int
    part: int


class Queue(NamedTuple):
    """The objects to copy.

    whole: copied by one request; in_parts: the others, with `parts` parts together
    unproven: of the whole ones, those whose ETag is no digest of their content
    """

    whole: int
    in_parts: int
    parts: int
    unproven: int


def limits(policy: CopyPolicy, method: CopyMethod) -> Limits:
    """Return from which size objects are sent in parts, and about how large the parts are."""
    if method == "stream":
        return Limits(min(WHOLE_BYTES, policy.multipart_threshold), PART_BYTES)
    return Limits(policy.multipart_threshold, CopyOptions().part_size)


def requests_of_copies(queue: Queue, method: CopyMethod, policy: CopyPolicy) -> list[RequestFact]:
    """Return the requests for the objects of a queue, without the kinds that it has none of."""
    objects = queue.whole + queue.in_parts
    begun = 2 * queue.in_parts
    compared = objects if policy.encryption == "SSE-KMS" else queue.unproven + queue.in_parts
    extra = [
        _request("get", "source", queue.in_parts if policy.tags == "copy" else 0, "the tags of objects in parts"),
        _request("get", "source", objects if policy.acl == "copy" else 0, "access lists"),
        _request("head", "source", queue.in_parts, "metadata of objects in parts"),
        _request("head", "target", queue.in_parts, "whether the key of an object in parts is free"),
        _request("head", "source", compared, "to prove copies whose ETags say nothing"),
        _request("head", "target", compared, "to prove copies whose ETags say nothing"),
        _request("put", "target", begun, "to begin and complete uploads in parts"),
    ]
    if method == "stream":
        moved = [
            _request("get", "source", queue.whole + queue.parts, "objects, and parts of large ones"),
            _request("put", "target", queue.whole + queue.parts, "objects, and parts of large ones"),
        ]
    else:
        moved = [
            _request("copy", "target", queue.whole, "one for each object"),
            _request("copy", "target", queue.parts, "parts of large objects"),
        ]
    return [request for request in (*moved, *extra) if request["count"]]


def requests_of_listings(source: Sequence[int], target: Sequence[int]) -> list[RequestFact]:
    """Return the requests that list both sides.

    source, target: how many keys each listing finds
    """
    sides: tuple[tuple[_Side, Sequence[int]], ...] = (("source", source), ("target", target))
    return [
        _request("list", side, sum(map(_pages, keys)), f"listings of {' and '.join(map('{:,}'.format, keys))} keys")
        for side, keys in sides
    ]


def requests_of_restores(objects: int) -> list[RequestFact]:
    """Return the requests that have archived objects restored (`rehome_restore`); what a restore costs comes on top."""
    return [_request("put", "source", objects, "to have archived objects restored")] if objects else []


def requests_of_sample(objects: int) -> list[RequestFact]:
    """Return the requests that read objects on both sides to compare them (`rehome_verify_sample`)."""
    why = "objects that the verification reads"
    sides: tuple[_Side, ...] = ("source", "target")
    return [_request("get", side, objects, why) for side in sides if objects]


def _pages(keys: int) -> int:
    return max(1, -(-keys // PAGE_KEYS))


def _request(kind: _Kind, side: _Side, count: int, why: str) -> RequestFact:
    return RequestFact(kind=kind, side=side, count=count, why=why)

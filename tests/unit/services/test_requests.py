"""The requests of a copy, by what Rehome sends for each object (tests/unit/s3/copier has the requests themselves)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rehome.config.read import read_settings
from rehome.config.settings import CopyMethod
from rehome.report.facts import RequestFact
from rehome.services.requests import (
    Queue,
    limits,
    requests_of_copies,
    requests_of_listings,
    requests_of_restores,
    requests_of_sample,
)

from tests.unit.config.test_settings import given


def sums(requests: list[RequestFact]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for request in requests:
        counts[f"{request['kind']} {request['side']}"] += request["count"]
    return dict(counts)


def copies(queue: Queue, method: CopyMethod = "server_side", **changes: Any) -> dict[str, int]:
    return sums(requests_of_copies(queue, method, read_settings(given(**changes)).copy))


def test_a_small_object_takes_one_request_inside_of_the_service() -> None:
    assert copies(Queue(whole=1_000, in_parts=0, parts=0, unproven=0)) == {"copy target": 1_000}


def test_a_small_object_is_read_and_written_in_a_stream() -> None:
    assert copies(Queue(1_000, 0, 0, 0), "stream") == {"get source": 1_000, "put target": 1_000}


def test_an_object_in_parts_takes_its_parts_and_what_opens_closes_and_proves_the_upload() -> None:
    found = copies(Queue(whole=0, in_parts=2, parts=30, unproven=0))
    assert found == {
        "copy target": 30,
        "put target": 4,
        "get source": 2,
        "head source": 4,
        "head target": 4,
    }
    assert "get source" not in copies(Queue(0, 2, 30, 0), tags="none")


def test_etags_that_say_nothing_take_a_head_on_each_side() -> None:
    assert copies(Queue(10, 0, 0, unproven=3)) == {"copy target": 10, "head source": 3, "head target": 3}
    assert copies(Queue(10, 0, 0, 0), encryption="SSE-KMS")["head target"] == 10


def test_access_lists_are_read_one_by_one() -> None:
    assert copies(Queue(10, 0, 0, 0), acl="copy")["get source"] == 10


def test_a_listing_takes_a_request_for_each_thousand_keys_and_at_least_one() -> None:
    assert sums(requests_of_listings([2_001, 2_001], [0, 2_001])) == {"list source": 6, "list target": 4}


def test_the_sample_of_the_verification_is_read_on_both_sides() -> None:
    assert sums(requests_of_sample(5)) == {"get source": 5, "get target": 5}
    assert requests_of_sample(0) == []


def test_archived_objects_are_asked_for_one_by_one() -> None:
    assert sums(requests_of_restores(7)) == {"put source": 7}
    assert requests_of_restores(0) == []


def test_a_stream_sends_smaller_objects_in_parts_than_the_service_copies() -> None:
    policy = read_settings(given(multipart_threshold=1024**3)).copy
    assert limits(policy, "server_side").whole == 1024**3
    assert limits(policy, "stream").whole == 16 * 1024**2

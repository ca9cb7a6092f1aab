"""What workers report becomes the outcomes of the run: none twice, and none of ours as another's."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st
from rehome.fleet.outcomes import folded, job_of, packed
from rehome.fleet.shards import Row, Shard
from rehome.s3.objects.compare import Evidence
from rehome.s3.objects.job import CopyOutcome, CopyResult

texts = st.none() | st.text(max_size=5)
row = st.tuples(st.text(), st.integers(0), st.text(), texts, st.text())


def outcome_of(of: Row, draw: Any) -> CopyOutcome:
    """Any outcome of this row."""
    return CopyOutcome(
        job_of(of, "image/", "avatar/"),
        draw(st.sampled_from(get_args(CopyResult))),
        draw(texts),
        draw(st.none() | st.sampled_from(Evidence)),
        draw(st.integers(0)),
        draw(texts),
        draw(texts),
        draw(st.floats(0, 1e9)),
    )


@given(st.lists(row, min_size=1), st.data())
def test_an_outcome_arrives_as_it_was_sent(rows: list[Row], data: st.DataObject) -> None:
    sent = [outcome_of(one, data.draw) for one in rows]
    wire = [packed(index, outcome) for index, outcome in enumerate(sent)]
    assert list(folded(Shard(0, tuple(rows)), wire, "image/", "avatar/", ran_before=False)) == sent


@given(st.lists(row, min_size=1), st.data())
def test_no_row_has_two_outcomes(rows: list[Row], data: st.DataObject) -> None:
    indexes = data.draw(st.lists(st.integers(0, len(rows) - 1)))
    wire = [packed(index, outcome_of(rows[index], data.draw)) for index in indexes]
    outcomes = list(folded(Shard(0, tuple(rows)), wire, "image/", "avatar/", ran_before=False))
    assert [packed(index, one) for index, one in zip(dict.fromkeys(indexes), outcomes, strict=True)] == [
        next(first for first in wire if first[0] == index) for index in dict.fromkeys(indexes)
    ]


@given(st.lists(row, min_size=1), st.data())
def test_what_a_lost_worker_has_copied_counts_as_copied(rows: list[Row], data: st.DataObject) -> None:
    shard, sent = Shard(0, tuple(rows)), [outcome_of(one, data.draw) for one in rows]
    wire = [packed(index, outcome) for index, outcome in enumerate(sent)]
    again = list(folded(shard, wire, "image/", "avatar/", ran_before=True))
    assert [one.result for one in again] == ["copied" if one.result == "present" else one.result for one in sent]
    assert [one.target_etag for one in again] == [one.target_etag for one in sent]


@given(st.lists(row, min_size=1), st.data())
def test_what_was_present_has_no_outcome_if_nobody_can_say_who_has_copied_it(
    rows: list[Row], data: st.DataObject
) -> None:
    shard, sent = Shard(0, tuple(rows)), [outcome_of(one, data.draw) for one in rows]
    wire = [packed(index, outcome) for index, outcome in enumerate(sent)]
    known = list(folded(shard, wire, "image/", "avatar/", ran_before=None))
    assert known == [one for one in sent if one.result != "present"]

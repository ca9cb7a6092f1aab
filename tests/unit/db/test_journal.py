from __future__ import annotations

import random
import socket
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome.db import journal
from rehome.db.dialect import Change, Dialect, RecordedEntry, UnusableJournalError
from rehome.job import read_job

texts = st.text(st.characters(exclude_categories=["Cs"]))
integers = st.integers(-(2**63), 2**64)
key_kinds = st.sampled_from(
    [st.tuples(integers), st.tuples(texts), st.tuples(integers, texts), st.tuples(st.one_of(integers, texts))]
)
changes = key_kinds.flatmap(lambda keys: st.lists(st.builds(Change, keys, texts, texts), min_size=1, max_size=20))
swaps = st.tuples(texts, texts, st.lists(st.tuples(st.tuples(integers), texts), min_size=1, max_size=20)).map(
    lambda drawn: [Change(key, drawn[0] + suffix, drawn[1] + suffix) for key, suffix in drawn[2]]
)


@given(st.one_of(changes, swaps))
def test_unpacking_returns_what_was_packed(changes: list[Change]) -> None:
    assert journal.unpack(journal.pack(changes)) == changes


TARGET = journal.JournalTarget("rehome", "avatars", "f" * 64)


@pytest.mark.parametrize("order", ["of the keys", "none"])
def test_an_entry_of_the_seeds_paths_takes_less_than_ten_bytes_a_row_all_told(order: str) -> None:
    numbers = list(range(1_000_000, 1_001_000))
    if order == "none":
        numbers = random.Random(1).sample(range(1_000_000), 1000)
    changes = [Change((n,), f"image/avatar-{m}.png", f"avatar/avatar-{m}.png") for n, m in enumerate(numbers, 9**7)]
    entry = journal.entry(uuid.uuid4().hex, TARGET, "avatars.path", changes)
    assert (entry.row_count, entry.first_key, entry.last_key) == (1000, "[4782969]", "[4783968]")
    assert sum(len(str(value)) for value in entry._replace(entries=b"")) + len(entry.entries) < 10_000


def test_a_rollbacks_entry_says_what_it_undoes() -> None:
    target = TARGET._replace(direction="rollback", undoes=7)
    entry = journal.entry(uuid.uuid4().hex, target, "avatars.path", [Change((1,), "b", "a")])
    assert (entry.direction, entry.undoes) == ("rollback", 7)


def recorded(place: str, **changes: object) -> RecordedEntry:
    entry = journal.entry("c", TARGET._replace(place=place), "avatars.path", [Change((1,), "image/a", "avatar/a")])
    return RecordedEntry(1, datetime(2026, 11, 28, 22, 10, 5, tzinfo=UTC), entry._replace(**changes))  # type: ignore[arg-type]


def test_an_entry_says_in_ascii_whose_it_is_and_is_cut_where_the_column_ends() -> None:
    entry = recorded("app: s3://a/фото/ to s3://b/").entry
    assert entry.written_by.endswith("; app: s3://a/\\u0444\\u043e\\u0442\\u043e/ to s3://b/")
    assert len(recorded("app: " + "x" * 500).entry.written_by) == 255


def test_an_entry_of_a_job_says_which_and_who_has_launched_it_and_its_place_stays_readable() -> None:
    place = f"app: s3://a/{'x' * 90}/ to s3://b/"

    def author(**facts: str) -> str:
        target = TARGET._replace(place=place, job=read_job(facts))
        return journal.entry("c", target, "avatars.path", [Change((1,), "image/a", "avatar/a")]).written_by

    assert author(id="42", user="alice") == f"alice@{socket.gethostname()} job 42; {place}"
    assert author(id="9" * 500, user="mallory; other: s3://x/" * 20).endswith(f"; {place}")


def test_whose_an_entry_is_is_told_even_if_it_is_old_or_damaged() -> None:
    assert "2026-11-28 22:10:05 UTC by " in journal.whose(recorded("app: s3://a/ to s3://b/"))
    assert "1 rows of avatars.path (app: s3://a/ to s3://b/)" in journal.whose(recorded("app: s3://a/ to s3://b/"))
    old = recorded("", written_by="ann@ops1 job 5")
    assert journal.whose(old).endswith("by ann@ops1 job 5, 1 rows of avatars.path (such as image/a to avatar/a)")
    damaged = recorded("", sha256="0" * 64)
    assert journal.whose(damaged).endswith("(a damaged entry)")


def test_the_database_of_an_entry_is_compared_as_far_as_it_is_known() -> None:
    mine = recorded("äpp: s3://a/ to s3://b/")
    assert journal.is_of_database(mine, "äpp: s3://c/ to s3://d/")
    assert not journal.is_of_database(mine, "app2: s3://a/ to s3://b/")
    assert journal.is_of_database(recorded("", written_by="ann@ops1 pid 5"), "app2: s3://a/ to s3://b/")


def test_a_table_with_other_columns_is_not_a_journal_and_the_message_says_what_it_lacks() -> None:
    with pytest.raises(UnusableJournalError, match=r"rehome\.journal .* lacks chunk, direction, undoes"):
        columns = {"id", "written_at", *journal.JournalEntry._fields} - {"chunk", "direction", "undoes"}
        journal.check_columns("rehome.journal", columns)
    assert not journal.check_columns("rehome.journal", [])
    assert journal.check_columns("rehome.journal", ["id", "written_at", *journal.JournalEntry._fields, "more"])


def test_the_newest_come_first_without_those_written_meanwhile() -> None:
    entry = journal.entry(uuid.uuid4().hex, TARGET, "avatars.path", [Change((1,), "a", "b")])
    written = [RecordedEntry(number, datetime.now(UTC), entry) for number in range(1, 8)]

    def read(schema: str, migration: str, before: int | None, limit: int) -> Sequence[RecordedEntry]:
        found = [item for item in reversed(written) if before is None or item.id < before][:limit]
        written.append(RecordedEntry(len(written) + 1, datetime.now(UTC), entry))
        return found

    database = cast(Dialect, SimpleNamespace(read_journal=read))
    batches = journal.newest_first(database, "rehome", "avatars", batch=3)
    assert [[item.id for item in batch] for batch in batches] == [[7, 6, 5], [4, 3, 2], [1]]

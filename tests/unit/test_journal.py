from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rehome.db import journal
from rehome.db.dialect import Change

texts = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.lists(st.one_of(st.integers(-(2**63), 2**64), texts), min_size=1, max_size=3).map(tuple)


@given(st.lists(st.builds(Change, keys, texts, texts), min_size=1, max_size=20))
def test_what_is_packed_comes_back_to_the_last_byte(changes: list[Change]) -> None:
    assert journal.unpack(journal.pack(changes)) == changes


def test_an_entry_of_a_thousand_avatars_takes_less_than_ten_bytes_a_row() -> None:
    changes = [Change((n,), f"image/avatar-{n}.png", f"avatar/avatar-{n}.png") for n in range(1, 1001)]
    entry = journal.entry("avatars", "f" * 64, "avatars.path", changes)
    assert (entry.row_count, entry.first_key, entry.last_key) == (1000, "[1]", "[1000]")
    assert len(entry.entries) < 10_000

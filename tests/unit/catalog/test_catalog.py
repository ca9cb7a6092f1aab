"""The catalog: rows go in as they are, however they are handed over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rehome.catalog.catalog import FILL_ROWS, Catalog


@pytest.fixture(scope="module")
def catalog() -> Iterator[Catalog]:
    with TemporaryDirectory() as folder, Catalog.create(Path(folder) / "catalog.duckdb", {}) as opened:
        opened.run("CREATE TABLE things (name VARCHAR, size BIGINT, other VARCHAR, flag BOOLEAN)")
        yield opened


def things(catalog: Catalog) -> list[tuple[object, ...]]:
    return catalog.query("SELECT * FROM things")


def test_what_is_noted_together_replaces_what_was_noted_before(catalog: Catalog) -> None:
    catalog.note("a", 1)
    catalog.note_all({"a": 2, "b'": "it's"})
    catalog.note_all({})
    assert catalog.metadata() == {"a": "2", "b'": "it's"}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
ROW = st.tuples(TEXT, st.integers(-(2**63), 2**63 - 1) | st.none(), TEXT | st.none(), st.booleans() | st.none())


def append_columns(catalog: Catalog, columns: Sequence[Sequence[object]]) -> None:
    with catalog.transaction(), catalog.bulk_appender("things") as filling:
        filling.append(*columns)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(ROW, max_size=12), same=st.booleans())
def test_rows_are_in_the_table_as_they_were_appended(
    catalog: Catalog, rows: list[tuple[object, ...]], same: bool
) -> None:
    rows = rows[:1] * len(rows) if same else rows
    catalog.run("TRUNCATE things")
    catalog.append("things", rows)
    assert things(catalog) == rows
    if rows:
        append_columns(catalog, list(zip(*rows, strict=True)))
        assert things(catalog) == rows * 2


def test_nothing_is_downloaded_for_it(catalog: Catalog) -> None:
    assert catalog.query("SELECT current_setting('autoinstall_known_extensions')") == [(False,)]
    # what Rehome uses is part of the package
    used = "SELECT extension_name, install_mode FROM duckdb_extensions() WHERE extension_name IN ('json', 'parquet')"
    assert sorted(catalog.query(used)) == [("json", "STATICALLY_LINKED"), ("parquet", "STATICALLY_LINKED")]


@pytest.mark.parametrize("values", [[None, None], ["a", "a"], ["", ""], ["\x1f", "\x1e\x00"], [None, "a"]])
def test_columns_of_one_value_and_of_none_are_kept(catalog: Catalog, values: list[str | None]) -> None:
    catalog.run("TRUNCATE things")
    append_columns(catalog, [values, [1, 1], [None, None], [True, True]])
    assert things(catalog) == [(value, 1, None, True) for value in values]


def test_columns_of_different_lengths_are_an_error_and_leave_the_table_as_it_was(catalog: Catalog) -> None:
    catalog.run("TRUNCATE things")
    with pytest.raises(ValueError):
        append_columns(catalog, [["a", "b"], [1], [None, None], [True, True]])
    assert things(catalog) == []


def test_columns_that_are_not_given_have_their_defaults(catalog: Catalog) -> None:
    catalog.run("CREATE OR REPLACE TABLE defaulted (a VARCHAR, b VARCHAR DEFAULT 'b', c VARCHAR)")
    with catalog.bulk_appender("defaulted", ["a"]) as some, catalog.bulk_appender("defaulted") as all_of_them:
        some.append(["1", "2"])
        all_of_them.append(["3"], ["x"], ["y"])
    assert sorted(catalog.query("FROM defaulted")) == [("1", "b", None), ("2", "b", None), ("3", "x", "y")]


def test_a_transaction_is_kept_as_a_whole_or_not_at_all(catalog: Catalog) -> None:
    catalog.run("TRUNCATE things")
    row = ("a", 1, None, True)
    with pytest.raises(KeyError), catalog.transaction(), catalog.bulk_appender("things") as filling:
        filling.append(*zip(row, row, strict=True))
        raise KeyError
    assert things(catalog) == []
    with catalog.transaction(), catalog.bulk_appender("things") as filling:
        filling.append(*zip(row, row, strict=True))
        filling.flush()
        assert list(catalog.stream("FROM things")) == [], "no cursor sees it before its end"
    assert things(catalog) == [row, row]


def test_a_table_is_filled_in_large_batches_and_wholly(catalog: Catalog) -> None:
    catalog.run("TRUNCATE things")
    count = 2 * FILL_ROWS + 1
    with catalog.bulk_appender("things") as filling:
        for start in range(0, count, 1000):
            part = range(start, min(count, start + 1000))
            filling.append([str(n) for n in part], part, ("x",) * len(part), [None] * len(part))
        assert len(things(catalog)) == 2 * FILL_ROWS
    assert things(catalog) == [(str(n), n, "x", None) for n in range(count)]


def test_what_was_gathered_is_in_the_table_after_an_exception(catalog: Catalog) -> None:
    catalog.run("TRUNCATE things")
    with pytest.raises(RuntimeError), catalog.bulk_appender("things") as filling:
        filling.append(["a"], [1], [None], [True])
        raise RuntimeError
    assert things(catalog) == [("a", 1, None, True)]


def test_a_catalog_that_shrinks_lets_go_of_what_it_has_read_and_may_take_as_much_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cached(catalog: Catalog) -> int:
        ((size,),) = catalog.query("SELECT memory_usage_bytes FROM duckdb_memory() WHERE tag = 'BASE_TABLE'")
        return int(size)

    monkeypatch.setattr("rehome.catalog.catalog.SHRUNK_MB", 4)
    path = tmp_path / "catalog.duckdb"
    with Catalog.create(path, {}) as catalog:
        catalog.run("INSERT INTO compared SELECT sha256(i::VARCHAR), 'etag' FROM range(200_000) AS numbers(i)")
    with Catalog.open(path) as catalog:
        limit = catalog.query("SELECT current_setting('memory_limit')")
        catalog.query("SELECT count(*) FROM compared WHERE suffix LIKE '%0%1%2%'")
        before = cached(catalog)
        catalog.shrink()
        assert cached(catalog) <= 4_000_000 < before
        assert catalog.query("SELECT current_setting('memory_limit')") == limit


def test_a_statement_that_cannot_do_with_the_memory_of_the_catalog_is_given_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limit(catalog: Catalog) -> object:
        return catalog.query("SELECT current_setting('memory_limit')")

    # a list of one row cannot be spilled
    hungry = "SELECT len(list(repeat('a', 1_000) || i)) FROM range(40_000) AS numbers(i)"
    with Catalog.create(tmp_path / "catalog.duckdb", {}) as catalog:
        catalog.limit_memory(16)
        before = limit(catalog)
        assert catalog.query(hungry) == [(40_000,)]
        assert limit(catalog) != before
        catalog.limit_memory(16)
        monkeypatch.setattr("rehome.catalog.catalog.MAX_MEMORY_SHARE", 0)
        with pytest.raises(duckdb.OutOfMemoryException):
            catalog.query(hungry)
        assert limit(catalog) == before


@pytest.mark.parametrize("numbers", [range(0, 1), range(5, 9), range(2**40, 2**40 + 3)])
def test_a_range_is_the_numbers_in_it(catalog: Catalog, numbers: range) -> None:
    catalog.run("TRUNCATE things")
    same = [None] * len(numbers)
    append_columns(catalog, [same, numbers, same, same])
    assert catalog.query("SELECT size FROM things") == [(number,) for number in numbers]


def test_one_returns_the_only_row(catalog: Catalog) -> None:
    assert catalog.one("SELECT 1, 'a'") == (1, "a")
    for rows in (0, 2):
        with pytest.raises(ValueError):
            catalog.one("FROM range(?)", [rows])


@pytest.mark.parametrize(
    ("rows", "values", "expected"),
    [("things", (), 2), ("SELECT DISTINCT other FROM things", (), 1), ("FROM things WHERE size > ?", [1], 1)],
)
def test_count_takes_a_table_or_a_select(catalog: Catalog, rows: str, values: list[object], expected: int) -> None:
    catalog.run("TRUNCATE things")
    catalog.append("things", [("a", 1, "x", None), ("b", 2, "x", None)])
    assert catalog.count(rows, values) == expected

"""A table is read completely, in the server's own key order, and every value is returned unchanged."""

from __future__ import annotations

import threading
import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rehome.db.dialect import DatabaseError, Dialect, Row, TableFacts, UnknownTableError, UnusableTableError
from rehome.db.journal import JournalTarget
from rehome.db.work.chunk import ChunkOutcome, rewrite_chunk
from rehome.db.work.keyset import read_by_keyset

from tests.integration.db.conftest import Bench
from tests.integration.db.test_rewrite import only, planned, rewrite

SEPARATORS = ["\x1d", "\x1e", "\x1f", "a\x1d", "\x1fa\x1e", "\x1d\x1e\x1f"]


def read_all(database: Dialect, facts: TableFacts, batch_rows: int) -> list[Row]:
    return [row for batch in read_by_keyset(database, facts, batch_rows) for row in batch]


def values(bench: Bench, batch_rows: int = 2) -> list[str | None]:
    database = bench.rehome()
    return [row.value for row in read_all(database, database.describe(bench.table, "path"), batch_rows)]


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 100])
def test_null_empty_and_the_packing_marks_are_read_as_they_are(bench: Bench, batch_rows: int) -> None:
    bench.create()
    written = [None, "", "image/a.png", *SEPARATORS, None, " ", "image/é😀\n.png"]
    bench.fill(*written)
    assert values(bench, batch_rows) == written


@pytest.fixture
def text_bench(bench: Bench) -> Bench:
    bench.create(column="path VARCHAR(100)")
    return bench


any_texts = st.none() | st.text("a\x1d\x1e\x1f\\'\" é😀", max_size=4)


@settings(
    max_examples=15,
    deadline=None,
    # the table is emptied for each example
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(written=st.lists(any_texts, max_size=8), batch_rows=st.integers(1, 9))
def test_any_text_is_read_as_it_is(text_bench: Bench, written: list[str | None], batch_rows: int) -> None:
    text_bench.execute("DELETE FROM T ")
    text_bench.fill(*written)
    assert values(text_bench, batch_rows) == written


def test_null_is_distinguished_from_the_mark_that_represents_it(bench: Bench) -> None:
    bench.create()
    bench.fill(None, "\x1d")
    assert values(bench, 2) == [None, "\x1d"]


@only("mariadb")  # the others' drivers need no packing
def test_a_truncated_batch_whose_values_make_up_for_the_lost_separator_is_read_row_by_row(bench: Bench) -> None:
    bench.create()
    written = ["a\x1fb", "x" * 50]
    bench.fill(*written)
    database: Any = bench.rehome()
    database.run("SET SESSION group_concat_max_len = 20")
    assert [row.value for row in read_all(database, database.describe(bench.table, "path"), 2)] == written


@only("mariadb")  # the others' drivers need no packing
def test_a_batch_that_the_server_truncates_is_read_row_by_row(bench: Bench) -> None:
    bench.create()
    written = [f"image/{'x' * 100}-{number}.png" for number in range(50)]
    bench.fill(*written)
    database: Any = bench.rehome()
    facts = database.describe(bench.table, "path")
    for limit in (1024, 1024 + 100, 64, 4):
        database.run(f"SET SESSION group_concat_max_len = {limit}")
        assert [row.value for row in read_all(database, facts, 20)] == written


@only("mariadb", "postgresql")  # in SQLite a statement by itself is the transaction
def test_batches_are_read_in_transactions_that_proxies_send_to_the_primary(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png")
    database: Any = bench.rehome()
    facts = database.describe(bench.table, "path")
    began, during = database.transaction, []
    run, inside = database.run, threading.Event()

    def transaction() -> Any:
        inside.set()
        return began()

    def recorded(statement: str, *more: Any) -> Any:
        if bench.table in statement:
            during.append(inside.is_set())
        return run(statement, *more)

    monkeypatch.setattr(database, "transaction", transaction)
    monkeypatch.setattr(database, "run", recorded)
    assert len(read_all(database, facts, 1)) == 2
    assert during
    assert all(during)


def test_a_read_that_is_left_halfway_leaves_a_connection_that_works(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png", "image/c.png")
    database = bench.rehome()
    facts = database.describe(bench.table, "path")
    batches = read_by_keyset(database, facts, 1)
    next(batches)
    batches.close()
    assert len(read_all(database, facts, 2)) == 3


OF_PRODUCT: dict[str, dict[str, tuple[str, list[Any]]]] = {
    "mariadb": {
        "inet6": ("INET6", ["::1", "2001:db8::1", "::ffff:1.2.3.4"]),
        "nopad bin": ("VARCHAR(5) COLLATE utf8mb4_nopad_bin", ["a", "a ", "A", "é", "\x1f", "\x1d"]),
    },
    "mysql": {
        "0900 bin": ("VARCHAR(5) COLLATE utf8mb4_0900_bin", ["a", "a ", "A", "é", "\x1f", "\x1d"]),
        "0900 as_cs": ("VARCHAR(5) COLLATE utf8mb4_0900_as_cs", ["a", "a ", "A", "é", "b", "B"]),
        "0900 ai_ci": ("VARCHAR(5) COLLATE utf8mb4_0900_ai_ci", ["a", "a ", "É", "b", "_"]),
    },
}
KEYS: dict[str, dict[str, tuple[str, list[Any]]]] = {
    "mariadb": {
        "bigint unsigned": ("BIGINT UNSIGNED", [2**64 - 1, 0, 2**63, 7]),
        "decimal": ("DECIMAL(30,2)", ["12345678901234567890123456.78", "12345678901234567890123456.79", "-1", "0.5"]),
        "date": ("DATE", ["2020-01-02", "1999-12-31", "2020-01-01"]),
        "char": ("CHAR(5) COLLATE utf8mb4_unicode_ci", ["a b", "B", "c", "é", "z"]),
        "latin1": ("VARCHAR(5) CHARACTER SET latin1", ["é", "a", "ü", "Z"]),
        "varbinary": ("VARBINARY(8)", [b"", b"\xff\x00", b"a", b"a ", b"\x1e"]),
    },
    "postgresql": {
        "numeric": ("NUMERIC", ["12345678901234567890123456.78", "12345678901234567890123456.79", "-1", "0.5"]),
        "uuid": ("UUID", [str(uuid.UUID(int=number)) for number in (5, 2**127, 1)]),
        "citext": ("CITEXT", ["b", "A", "c", "É"]),
        "enum": ("colour", ["red", "blue", "green"]),
        "inet": ("INET", ["10.0.0.1", "10.0.0.0/8", "::1"]),
        "domain": ("positive", [3, 2, 10]),
        "nondeterministic": ("TEXT COLLATE no_case", ["b", "A", "C", "é"]),
        "bpchar": ("CHAR(5)", ["a b", "B", "c"]),
        "timestamptz": ("TIMESTAMPTZ", ["2020-01-01 00:00:00.000001+00", "2020-01-01 00:00:00+00"]),
    },
    "sqlite": {
        "nocase": ("TEXT COLLATE NOCASE", ["b", "A", "C", "é", "É"]),
        "decimal": ("DECIMAL(10)", [10, 9, 100]),
        "blob": ("BLOB", [b"", b"\xff\x00", b"a"]),
        "untyped": ("", [b"b", b"a"]),
    },
}


@pytest.fixture
def types(bench: Bench) -> Bench:
    if bench.engine == "postgresql":
        bench.execute("CREATE EXTENSION IF NOT EXISTS citext")
        for statement in (
            "CREATE TYPE colour AS ENUM ('red', 'green', 'blue')",
            "CREATE DOMAIN positive AS BIGINT CHECK (VALUE > 0)",
            "CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        ):
            bench.execute(
                f"DO $$ BEGIN {statement}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
            )
    return bench


@pytest.mark.parametrize(
    ("bench", "kind"),
    [
        *((engine, kind) for engine in KEYS for kind in KEYS[engine]),
        *(
            pytest.param("mariadb", kind, marks=pytest.mark.product(product))
            for product, kinds in OF_PRODUCT.items()
            for kind in kinds
        ),
    ],
    indirect=["bench"],
)
def test_each_type_of_key_is_read_in_the_servers_order_and_rewritten(types: Bench, kind: str) -> None:
    declared, keys = {**KEYS[types.engine], **OF_PRODUCT.get(types.product, {})}[kind]
    types.create(key=f"id {declared} NOT NULL PRIMARY KEY")
    for number, key in enumerate(keys):
        types.execute("INSERT INTO T (id, path) VALUES (?, ?)", key, f"image/{number}.png")
    changes = planned(types)
    assert [change.old for change in changes] == types.values()
    assert len({change.key for change in changes}) == len(keys)
    assert rewrite(types, changes) == ChunkOutcome(rewritten=len(keys))


@pytest.mark.parametrize(
    ("bench", "declared"),
    [
        ("mariadb", "ENUM('b', 'a') NOT NULL"),
        ("mariadb", "DOUBLE NOT NULL"),
        ("postgresql", "DOUBLE PRECISION NOT NULL"),
        ("postgresql", "JSONB NOT NULL"),
        ("sqlite", "TEXT"),
    ],
    indirect=["bench"],
)
def test_a_key_whose_order_or_spelling_is_not_exact_is_refused(bench: Bench, declared: str) -> None:
    bench.create(key=f"id {declared} PRIMARY KEY")
    with pytest.raises(UnusableTableError, match=f"table {bench.table} has no usable unique key"):
        bench.rehome().describe(bench.table, "path")


@only("sqlite")
def test_a_unique_index_over_a_generated_column_is_no_key(bench: Bench) -> None:
    bench.execute("CREATE TABLE T (id TEXT NOT NULL UNIQUE, path TEXT, large TEXT AS (upper(path)) VIRTUAL)")
    bench.execute("CREATE UNIQUE INDEX above ON T (large)")
    assert [part.name for part in bench.rehome().describe(bench.table, "path").key] == ["id"]


@only("sqlite")
def test_a_table_without_row_ids_is_read_by_its_key(bench: Bench) -> None:
    bench.execute("CREATE TABLE T (a TEXT, b INTEGER, path TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID")
    for a, b in (("b", 1), ("a", 2), ("a", 1)):
        bench.execute("INSERT INTO T VALUES (?, ?, ?)", a, b, f"image/{a}{b}")
    assert [change.key for change in planned(bench)] == [("a", 1), ("a", 2), ("b", 1)]
    assert rewrite(bench, planned(bench)).rewritten == 3


@only("sqlite")
@pytest.mark.parametrize(("declared", "key"), [("TEXT", b"bytes"), ("BLOB", "text"), ("NUMERIC", 1.5)])
def test_keys_that_are_not_what_their_column_declares_are_refused(bench: Bench, declared: str, key: object) -> None:
    bench.create(key=f"id {declared} NOT NULL PRIMARY KEY")
    bench.execute("INSERT INTO T (id, path) VALUES (?, 'image/a.png')", key)
    database = bench.rehome()
    with pytest.raises(UnusableTableError, match="keys of several kinds in its column id"):
        database.read_batch(database.describe(bench.table, "path"), None, 10)


@only("mariadb")
def test_a_table_of_another_database_is_reported_as_another_migration(bench: Bench) -> None:
    with pytest.raises(UnknownTableError, match=r"no table other\.avatars .* a migration of its own"):
        bench.rehome().describe("other.avatars", "path")


@only("postgresql")
def test_a_table_may_be_written_with_its_schema(bench: Bench) -> None:
    bench.execute("CREATE SCHEMA IF NOT EXISTS media")
    bench.execute(f"CREATE TABLE media.{bench.table} (id BIGINT PRIMARY KEY, path TEXT)")
    bench.execute("GRANT USAGE ON SCHEMA media TO PUBLIC")
    bench.execute(f"GRANT SELECT, UPDATE ON media.{bench.table} TO PUBLIC")
    bench.execute(f"INSERT INTO media.{bench.table} VALUES (1, 'image/a.png')")
    bench.table = f"media.{bench.table}"
    assert rewrite(bench, planned(bench)).rewritten == 1


def narrowed(bench: Bench, condition: str) -> tuple[Dialect, TableFacts]:
    database = bench.rehome()
    return database, replace(database.describe(bench.table, "path"), where=condition)


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("id > 1", [2, 3, 4]),
        ("path LIKE '%b%' OR id = 3", [2, 3]),
        ("t.id % 2 = 0", [2, 4]),
        ("path = '%s ?' OR path = '{}'", [4]),
        ("id IN (SELECT max(o.id) FROM T o)", [4]),
        ("EXISTS (SELECT 1 FROM T o WHERE o.id = t.id + 3)", [1]),
    ],
)
def test_a_condition_narrows_the_table(bench: Bench, condition: str, ids: list[int]) -> None:
    bench.create()
    bench.fill("image/a", "image/b", "image/c", "%s ?")
    database, facts = narrowed(bench, condition.replace(" T ", f" {bench.table} "))
    for batch_rows in (1, 10):
        assert [row.key for row in read_all(database, facts, batch_rows)] == [(number,) for number in ids]


def test_a_condition_narrows_a_table_with_a_key_of_two_columns(bench: Bench) -> None:
    bench.create(key="a INTEGER NOT NULL, b INTEGER NOT NULL", more=", PRIMARY KEY (a, b)")
    for a in range(3):
        for b in range(3):
            bench.execute("INSERT INTO T VALUES (?, ?, 'image/a')", a, b)
    database, facts = narrowed(bench, "a = 1 OR b = 2")
    assert [row.key for row in read_all(database, facts, 2)] == [(0, 2), (1, 0), (1, 1), (1, 2), (2, 2)]


def rewritten_where(bench: Bench, condition: str) -> ChunkOutcome:
    changes = planned(bench)
    database, facts = narrowed(bench, condition)
    database.create_journal(bench.schema)
    outcome = ChunkOutcome()
    rewrite_chunk(database, facts, changes, JournalTarget(bench.schema, bench.table, "f" * 64), outcome)
    return outcome


def test_a_row_that_left_the_condition_counts_as_changed_by_the_application(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png")
    outcome = rewritten_where(bench, "id < 2")
    assert (outcome.rewritten, [change.key for change in outcome.changed_by_app]) == (1, [(2,)])
    assert bench.values() == ["avatar/a.png", "image/b.png"]


def test_a_condition_on_the_value_itself_is_no_obstacle(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png")
    assert rewritten_where(bench, "path LIKE 'image/%'") == ChunkOutcome(rewritten=2)


@pytest.mark.parametrize("condition", ["no_such_column = 1", "id >", "id = 1 GROUP BY id", "count(*) > 1"])
def test_a_condition_that_the_server_refuses_is_reported_before_it_is_run(bench: Bench, condition: str) -> None:
    bench.create()
    database, facts = narrowed(bench, condition)
    with pytest.raises(DatabaseError, match="the database answered"), database.explaining():
        database.read_batch(facts, None, 1)
    whole = replace(facts, where=None)
    assert len(database.read_batch(whole, None, 1)) == 0

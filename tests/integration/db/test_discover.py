"""Every column that names objects of the source is found, in which form and how often, on three databases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import yaml
from rehome.config.settings import Reference, Side
from rehome.db.engines.open import connect
from rehome.discover.columns import FoundColumn
from rehome.discover.search import Asked, InterruptedSearchError, Position, Watch, discover_columns, search
from rehome.discover.words import to_paste

from bench.many_tables import ManyTables
from tests.integration.db.conftest import Bench, only

SOURCE = Side("source", "legacy-s3", "image/", endpoint_url="https://s3.example.com", region="eu-1")
GLOBS = ("avatar-*.png",)


class Schema:
    """Tables of this test, in the shared database of a bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.engine = bench.engine
        self._made: list[str] = []

    def execute(self, statement: str, *values: object) -> None:
        """Run a statement as it is: for the drivers of servers, a `%` begins a parameter."""
        self.bench.execute(statement if self.engine == "sqlite" else statement.replace("%", "%%"), *values)

    def make(self, table: str, columns: str, *rows: tuple[object, ...], more: str = "", key: bool = True) -> None:
        """Create a table and fill it."""
        self._made.append(table)
        number = "id BIGINT NOT NULL PRIMARY KEY, " if key else ""
        self.execute(f"CREATE TABLE {table} ({number}{columns}) {more}")
        for at, row in enumerate(rows, 1):
            values = (at, *row) if key else row
            self.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", *values)

    def grow(self, table: str, rows: int, values: str, columns: str = "") -> None:
        """Add so many rows. values: SQL, in which `seq` counts them; columns: all of them, unless there is no key"""
        sequence = {
            "mariadb": f"seq_1_to_{rows}",
            "postgresql": f"generate_series(1, {rows}) AS s(seq)",
            "sqlite": f"(WITH RECURSIVE s(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM s WHERE seq < {rows})"
            " SELECT seq FROM s)",
        }[self.engine]
        into, number = (f" ({columns})", "") if columns else ("", "seq, ")
        self.bench.execute(f"INSERT INTO {table}{into} SELECT {number}{values} FROM {sequence}")

    def concatenated(self, number: str) -> str:
        """Return SQL of a name with a number in it."""
        if self.engine == "mariadb":
            return f"CONCAT('image/avatar-', {number}, '.png')"
        return f"'image/avatar-' || {number} || '.png'"

    def analyze(self, table: str) -> None:
        """Let the server count the rows."""
        self.bench.execute(f"ANALYZE {'TABLE ' if self.engine == 'mariadb' else ''}{table}")

    def asked(self, **changes: Any) -> Asked:
        return Asked(**{"source": SOURCE, "prefix": "image/", "include": GLOBS, **changes})

    def found(self, watch: Watch | None = None, user: str = "migrate", **changes: Any) -> dict[str, FoundColumn]:
        """Return the columns of the tables of this test, by name."""
        before, position = changes.pop("before", None), changes.pop("position", None)
        database = self.bench.rehome(user)
        found = search(database, self.bench.settings(user), self.asked(**changes), watch, before, position)
        return {column.name: column for column in found}

    def drop(self) -> None:
        for table in reversed(self._made):
            self.execute(f"DROP TABLE IF EXISTS {table}")


@pytest.fixture
def schema(bench: Bench) -> Iterator[Schema]:
    made = Schema(bench)
    yield made
    made.drop()


def test_each_form_is_told_apart_and_is_one_that_a_reference_takes(schema: Schema) -> None:
    forms = {
        "key": "image/avatar-1.png",
        "/key": "/image/avatar-1.png",
        "s3://bucket/key": "s3://legacy-s3/image/avatar-1.png",
        "path-style": "https://s3.example.com/legacy-s3/image/avatar-1.png",
        '{prefix: "legacy-s3/"}': "legacy-s3/image/avatar-1.png",
        '{prefix: "https://cdn.example.com/", encoded: true, query: true}': "https://cdn.example.com/image/avatar-1.png?v=2",
        '{prefix: "//cdn.example.com/", encoded: true, query: true}': "//cdn.example.com/image/avatar-1.png",
        '{prefix: "", encoded: true}': "image%2Favatar-1.png",
    }
    for number, value in enumerate(forms.values()):
        schema.make(f"d_form_{number}", "c VARCHAR(200)", (value,), ("else",), (None,))
    found = schema.found()
    assert [found[f"d_form_{number}.c"].form for number in range(len(forms))] == list(forms)
    assert {found[f"d_form_{number}.c"].rows for number in range(len(forms))} == {1}


def test_quick_discovery(schema: Schema) -> None:
    schema.make("d_quick", "c VARCHAR(200), d TEXT", ("image/avatar-1.png", "x"))
    found = {c.name: c for c in discover_columns(schema.bench.settings(), SOURCE, "image/", GLOBS)}
    assert found["d_quick.c"].standing == "names", found["d_quick.c"].why
    assert found["d_quick.d"].standing == "none"


def test_all_kinds_of_columns_are_searched(schema: Schema) -> None:
    kinds = {
        "mariadb": (
            "a CHAR(40), b TINYTEXT, c MEDIUMTEXT, d LONGTEXT, e JSON, f VARBINARY(90), g LONGBLOB,"
            " h ENUM('image/avatar-1.png', 'x'), i VARCHAR(90) CHARACTER SET latin1, j VARCHAR(90) CHARACTER SET ucs2,"
            " k SET('image/avatar-1.png', 'x')"
        ),
        "postgresql": (
            "a CHAR(40), b TEXT, c VARCHAR(90), d JSON, e JSONB, f BYTEA, g TEXT[], h XML, i VARCHAR(90)[], j NAME,"
            ' k TEXT COLLATE "C"'
        ),
        "sqlite": "a TEXT, b, c BLOB, d INTEGER, e REAL, f VARCHAR(90), g DATE, h TEXT COLLATE NOCASE, i NUMERIC, j, k",
    }[schema.engine]
    value = "image/avatar-1.png"
    values: dict[str, object] = dict.fromkeys("abcdefghijk", value)
    if schema.engine == "mariadb":
        values |= {"e": json.dumps([value]), "f": value.encode(), "g": value.encode()}
    if schema.engine == "postgresql":
        values |= {"d": json.dumps([value]), "e": json.dumps([value]), "f": value.encode()}
        values |= {"g": [value, "x"], "h": f"<a>{value}</a>", "i": [value]}
    if schema.engine == "sqlite":
        values |= {"c": value.encode()}
    schema.make("d_kinds", kinds, tuple(values.values()))
    found = schema.found()
    assert not {found[f"d_kinds.{name}"].why for name in values} - {""}
    assert {name: found[f"d_kinds.{name}"].rows for name in values} == dict.fromkeys(values, 1)
    assert {found[f"d_kinds.{name}"].standing for name in values} == {"names"}


def test_case_and_accents_count_whatever_the_collation_ignores(schema: Schema) -> None:
    kind = {"mariadb": "VARCHAR(90) COLLATE utf8mb4_general_ci", "sqlite": "TEXT COLLATE NOCASE"}.get(
        schema.engine, "VARCHAR(90)"
    )
    schema.make("d_case", f"c {kind}, d {kind}", ("Image/avatar-1.png", "x"), ("imáge/avatar-1.png", "y"))
    schema.make("d_both", f"c {kind}", ("IMAGE/avatar-1.png",), ("image/avatar-1.png",))
    found = schema.found()
    assert found["d_case.c"].standing == "none"
    assert (found["d_both.c"].standing, found["d_both.c"].rows) == ("names", 1)


@only("postgresql")
def test_a_nondeterministic_collation_is_searched_by_bytes(schema: Schema) -> None:
    schema.bench.execute(
        "CREATE COLLATION d_ignoring (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    )
    try:
        schema.make("d_ci", "c TEXT COLLATE d_ignoring", ("image/avatar-1.png",), ("IMAGE/avatar-1.png",))
        found = schema.found()
        assert (found["d_ci.c"].standing, found["d_ci.c"].rows) == ("names", 1)
    finally:
        schema.drop()
        schema.bench.execute("DROP COLLATION d_ignoring")


def test_names_that_need_quotes_are_quoted(schema: Schema) -> None:
    quote = "`" if schema.engine == "mariadb" else '"'
    table, column = f"{quote}select 100% \u00e4{quote}", f"{quote}order{quote}"
    schema.make(table, f"{column} VARCHAR(90)", ("image/avatar-1.png",))
    found = schema.found()
    assert found["select 100% \u00e4.order"].standing == "names"
    (line,) = [line for line in to_paste(list(found.values())) if "100%" in line]
    reference = yaml.safe_load(line.strip().removeprefix("- "))
    assert (reference["table"], reference["column"]) == ("select 100% \u00e4", "order")


def test_a_huge_value_is_not_fetched_as_a_whole_and_is_found(schema: Schema) -> None:
    far = "x" * 3_000_000 + ' src="/image/avatar-1.png" ' + "y" * 1_000
    schema.make("d_huge", "c " + {"mariadb": "LONGTEXT"}.get(schema.engine, "TEXT"), (far,), ("image " * 100_000,))
    found = schema.found()
    assert (found["d_huge.c"].standing, found["d_huge.c"].rows) == ("names", 1)
    assert max(map(len, found["d_huge.c"].forms[0].examples)) < 1_000


def test_generated_columns_and_views_are_listed_with_the_reason(schema: Schema) -> None:
    stored = {"postgresql": "GENERATED ALWAYS AS (c || 'x') STORED"}.get(schema.engine, "AS (c)")
    schema.make("d_generated", f"c VARCHAR(90), g VARCHAR(99) {stored}")
    schema.bench.execute("INSERT INTO d_generated (id, c) VALUES (1, 'image/avatar-1.png')")
    schema.bench.execute("CREATE VIEW d_view AS SELECT c FROM d_generated")
    try:
        found = schema.found()
        assert found["d_generated.c"].standing == "names"
        assert (found["d_generated.g"].standing, found["d_view"].standing) == ("not_searched", "not_searched")
        assert "computed" in found["d_generated.g"].why
        assert "view" in found["d_view"].why
    finally:
        schema.bench.execute("DROP VIEW d_view")


@pytest.mark.parametrize("rows", [3, 12_000])
def test_a_table_without_a_key_is_read_and_can_be_no_reference(schema: Schema, rows: int) -> None:
    schema.make("d_keyless", "c VARCHAR(90)", ("image/avatar-1.png",), (None,), ("else",), key=False)
    schema.grow("d_keyless", rows, "'else'", "c")
    (column,) = [column for column in schema.found(whole=True).values() if column.table == "d_keyless"]
    assert (column.standing, column.rows, column.whole) == ("names", 1, True)
    assert column.rows_read == rows + 3
    assert "no usable unique key" in column.no_reference
    assert column.form is None


@only("sqlite")
def test_a_table_without_rowid_is_read_by_its_key(schema: Schema) -> None:
    schema.make("d_wr", "a TEXT, b TEXT, c TEXT, PRIMARY KEY (a, b)", more="WITHOUT ROWID", key=False)
    for at in range(1_200):
        schema.bench.execute(f"INSERT INTO d_wr VALUES ('{at % 7}', '{at}', 'image/avatar-{at}.png')")
    column = schema.found(whole=True)["d_wr.c"]
    assert (column.rows, column.rows_read) == (1_200, 1_200)


@only("mariadb", "postgresql")
def test_composite_and_text_keys_are_walked_without_gaps(schema: Schema) -> None:
    schema.make("d_keys", "a VARCHAR(20), b BIGINT, c VARCHAR(90), PRIMARY KEY (a, b)", key=False)
    sequence = {"mariadb": "seq_1_to_3000", "postgresql": "generate_series(1, 3000) AS s(seq)"}[schema.engine]
    letter = {"mariadb": "CHAR(65 + seq % 50)", "postgresql": "chr(65 + seq % 50)"}[schema.engine]
    name = {"mariadb": "CONCAT('image/avatar-', seq, '.png')", "postgresql": "'image/avatar-' || seq || '.png'"}
    schema.execute(f"INSERT INTO d_keys SELECT {letter}, seq, {name[schema.engine]} FROM {sequence}")
    column = schema.found(whole=True)["d_keys.c"]
    assert (column.rows, column.rows_read, column.whole) == (3_000, 3_000, True)


def test_a_large_table_is_sampled_and_read_as_a_whole_where_a_sample_finds_something(schema: Schema) -> None:
    schema.make("d_large", "hit VARCHAR(90), clean VARCHAR(90), rare VARCHAR(90)")
    schema.grow("d_large", 20_000, f"{schema.concatenated('seq')}, 'else', 'else'")
    schema.bench.execute("UPDATE d_large SET rare = 'image/avatar-1.png' WHERE id = 19000")
    schema.analyze("d_large")
    found = schema.found()
    hit, clean = found["d_large.hit"], found["d_large.clean"]
    assert (hit.rows, hit.whole, hit.rows_read) == (20_000, True, 20_000)
    assert (clean.standing, clean.whole) == ("none", False)
    assert 500 <= clean.rows_read <= 3_000
    assert found["d_large.rare"].standing == "none"
    assert schema.found(whole=True)["d_large.rare"].standing == "names"
    quick = schema.found(whole=None)["d_large.hit"]
    assert (quick.whole, quick.standing, quick.form) == (False, "names", "key")
    assert quick.estimated is not None
    assert 10_000 < quick.estimated < 40_000


@only("postgresql")
def test_a_partitioned_table_is_one_table(schema: Schema) -> None:
    schema.make("d_parts", "id BIGINT PRIMARY KEY, c TEXT", more="PARTITION BY RANGE (id)", key=False)
    for low in (0, 1_000):
        schema.bench.execute(
            f"CREATE TABLE d_part_{low} PARTITION OF d_parts FOR VALUES FROM ({low}) TO ({low + 1_000})"
        )
    schema.bench.execute("INSERT INTO d_parts SELECT i, 'image/avatar-' || i || '.png' FROM generate_series(1, 1999) i")
    found = {name: column for name, column in schema.found(whole=True).items() if name.startswith("d_part")}
    assert list(found) == ["d_parts.c"]
    assert (found["d_parts.c"].rows, found["d_parts.c"].no_reference) == (1_999, "")


def test_references_and_rehomes_own_tables_are_not_searched(schema: Schema) -> None:
    schema.make("d_ref", "c VARCHAR(90), d VARCHAR(90)", ("image/avatar-1.png", "image/avatar-2.png"))
    database = schema.bench.rehome()
    database.create_journal("rehome")
    try:
        own = {"sqlite": ("", "rehome_journal")}.get(schema.engine, ("rehome", "journal"))
        schemas = {"mariadb": ("app", "rehome")}.get(schema.engine, ())
        found = schema.found(references=(Reference("d_ref", "c"),), ours=(own,), schemas=schemas)
        assert (found["d_ref.c"].standing, found["d_ref.d"].standing) == ("reference", "names")
        (ours,) = [column for column in found.values() if column.why == "Rehome's own"]
        assert ours.standing == "not_searched"
    finally:
        database.drop_journal("rehome")


def test_a_table_that_is_dropped_meanwhile_is_unknown_and_the_others_are_searched(schema: Schema) -> None:
    for number in range(3):
        schema.make(f"d_gone_{number}", "c VARCHAR(90)", ("image/avatar-1.png",))

    def at(done: int, _total: int, _found: int) -> None:
        if done == 0:
            schema.bench.execute("DROP TABLE d_gone_1")

    found = schema.found(Watch(at=at))
    assert [found[f"d_gone_{number}.c"].standing for number in range(3)] == ["names", "not_searched", "names"]
    assert "d_gone_1" in found["d_gone_1.c"].why


class _KilledError(Exception):
    pass


def test_an_interrupted_walk_goes_on_where_it_was(schema: Schema) -> None:
    schema.make("d_walk", "c VARCHAR(90), d VARCHAR(90)")
    schema.grow("d_walk", 30_000, f"{schema.concatenated('seq')}, 'else'")
    schema.analyze("d_walk")
    positions: list[Position] = []

    def reached(position: Position) -> None:
        positions.append(Position.of_dict(json.loads(json.dumps(position.as_dict()))))
        if len(positions) == 3:
            raise _KilledError

    with pytest.raises(_KilledError):
        schema.found(Watch(reached=reached))
    later: list[Position] = []
    found = schema.found(Watch(reached=later.append), position=positions[-1])
    assert later[0].rows > positions[-1].rows > 0
    assert (found["d_walk.c"].rows, found["d_walk.c"].rows_read) == (30_000, 30_000)
    assert found["d_walk.d"].standing == "none"


def test_what_was_done_is_not_done_again(schema: Schema) -> None:
    for number in range(3):
        schema.make(f"d_done_{number}", "c VARCHAR(90)", ("image/avatar-1.png",))
    done: dict[str, list[FoundColumn]] = {}

    def stop(table: str, columns: Sequence[FoundColumn]) -> None:
        done[table] = list(columns)

    with pytest.raises(InterruptedSearchError):
        schema.found(Watch(done=stop, stopping=lambda: "d_done_0" in done))
    again: dict[str, Sequence[FoundColumn]] = {}
    whole = schema.found(Watch(done=again.__setitem__), before=done)
    assert set(again).isdisjoint(done)
    assert whole["d_done_0.c"].standing == whole["d_done_2.c"].standing == "names"


@only("mariadb", "postgresql")
def test_what_a_user_may_not_read_is_not_searched_and_never_clean(
    schema: Schema, modest: Callable[..., dict[str, str]]
) -> None:
    schema.make("d_secret", "c VARCHAR(90)", ("image/avatar-1.png",))
    schema.bench.create(column="path VARCHAR(90), other VARCHAR(90)")
    schema.bench.execute("INSERT INTO T VALUES (1, 'image/avatar-1.png', 'image/avatar-1.png')")
    login = modest("SELECT (id, path)")
    settings = replace(schema.bench.settings(), **login)
    table = schema.bench.table
    with connect(settings) as database:
        found = {column.name: column for column in search(database, settings, schema.asked())}
    assert found[f"{table}.path"].standing == "names"
    assert found.keys().isdisjoint({"none"})
    if schema.engine == "postgresql":
        assert found[f"{table}.other"].standing == "not_searched"
        assert found["d_secret.c"].standing == "not_searched"
        assert "may not read" in found["d_secret.c"].why
    else:
        assert "hidden" in found["app"].why
        assert f"{table}.other" not in found


@only("postgresql")
def test_a_schema_without_rights_is_listed(schema: Schema, modest: Callable[..., dict[str, str]]) -> None:
    schema.bench.execute("CREATE SCHEMA d_closed")
    schema.bench.execute("CREATE TABLE d_closed.t (id INT PRIMARY KEY, c TEXT)")
    schema.bench.create()
    try:
        settings = replace(schema.bench.settings(), **modest("SELECT"))
        with connect(settings) as database:
            found = {column.name: column for column in search(database, settings, schema.asked())}
        assert (found["d_closed.t"].standing, found["d_closed.t"].why) == (
            "not_searched",
            "this user may not use the schema",
        )
    finally:
        schema.bench.execute("DROP SCHEMA d_closed CASCADE")


@only("mariadb")
def test_other_databases_are_listed_and_searched_on_request(schema: Schema) -> None:
    schema.bench.execute("CREATE DATABASE d_other")
    schema.bench.execute("CREATE TABLE d_other.t (id INT PRIMARY KEY, c TEXT)")
    schema.bench.execute("INSERT INTO d_other.t VALUES (1, 'image/avatar-1.png')")
    try:
        assert schema.found(user="admin")["d_other"].standing == "not_searched"
        found = schema.found(user="admin", schemas=("app", "d_*"))
        assert found["d_other.t.c"].standing == "names"
        assert found["d_other.t.c"].no_reference
    finally:
        schema.bench.execute("DROP DATABASE d_other")


def test_a_listing_tells_names_from_look_alikes(schema: Schema) -> None:
    schema.make("d_real", "c VARCHAR(90)", ("image/png",), ("image/logo.svg",))
    schema.make("d_type", "c VARCHAR(90)", ("image/png",), ("image/jpeg",))
    schema.make("d_other", "c VARCHAR(90)", ("image/processing",), ("image/editing",))
    listed = {"logo.svg"}

    def exists(groups: Sequence[Sequence[str]]) -> list[bool]:
        return [bool(listed & set(group)) for group in groups]

    names = ("d_real.c", "d_type.c", "d_other.c")
    without = schema.found(include=("*",))
    assert [without[name].standing for name in names] == ["names", "may", "names"]
    compared = schema.found(include=("*",), exists=exists)
    assert [compared[name].standing for name in names] == ["names", "may", "may"]
    assert (compared["d_real.c"].compared, compared["d_real.c"].existing) == (2, 1)


def test_bare_file_names_are_a_maybe(schema: Schema) -> None:
    schema.make("d_bare", "c VARCHAR(90)", ("avatar-1.png",), ("other.gif",))
    column = schema.found()["d_bare.c"]
    assert (column.standing, column.rows, column.form) == ("may", 1, None)


def test_many_tables_are_found_exactly(schema: Schema) -> None:
    """300 tables with columns of each kind."""
    made = ManyTables(schema.engine, tables=300, rows=100, large=700)
    try:
        made.make(schema.execute)
        found = schema.found(whole=True)
        mine = {name: column for name, column in found.items() if name.startswith("many_")}
        assert len(mine) == 300 * len(made.columns())
        assert {name: c.rows for name, c in mine.items() if c.standing == "names"} == made.expected()
        assert {column.standing for column in mine.values()} == {"names", "none"}
    finally:
        made.drop(schema.execute)

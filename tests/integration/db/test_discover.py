"""Every column that names objects of the source is found, in which form and how often, on three databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rehome.config.settings import Side
from rehome.discover.columns import FoundColumn
from rehome.discover.search import Asked, Watch, discover_columns, search

from tests.integration.db.conftest import Bench

SOURCE = Side("source", "legacy-s3", "image/", endpoint_url="https://s3.example.com", region="eu-1")
GLOBS = ("avatar-*.png",)


class Schema:
    """Tables of this test, in the shared database of a bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.engine = bench.engine
        self._made: list[str] = []

    def make(self, table: str, columns: str, *rows: tuple[object, ...], more: str = "", key: bool = True) -> None:
        """Create a table and fill it."""
        self._made.append(table)
        number = "id BIGINT NOT NULL PRIMARY KEY, " if key else ""
        self.bench.execute(f"CREATE TABLE {table} ({number}{columns}) {more}")
        for at, row in enumerate(rows, 1):
            values = (at, *row) if key else row
            self.bench.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", *values)

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
            self.bench.execute(f"DROP TABLE IF EXISTS {table}")


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

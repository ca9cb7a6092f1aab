"""A schema of many tables with columns of each kind, in some of which are names of objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

Execute = Callable[[str], object]

FILLER: Final = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, with a picture or two and a path/like/this. "
LIKE_A_NAME: Final = FILLER.replace("picture", "image")
"""In every twentieth row, as texts have the word."""

KINDS: Final[Mapping[str, Mapping[str, str]]] = {
    "mariadb": {
        "a_char": "CHAR(40)",
        "a_varchar": "VARCHAR(255)",
        "a_binary_collation": "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        "a_latin1": "VARCHAR(255) CHARACTER SET latin1",
        "a_text": "TEXT",
        "a_long_text": "LONGTEXT",
        "a_json": "JSON",
        "a_blob": "BLOB",
        "an_enum": "ENUM('draft', 'image/avatar-0.png', 'done')",
    },
    "postgresql": {
        "a_char": "CHAR(40)",
        "a_varchar": "VARCHAR(255)",
        "a_c_collation": 'VARCHAR(255) COLLATE "C"',
        "a_text": "TEXT",
        "a_json": "JSON",
        "a_jsonb": "JSONB",
        "an_array": "TEXT[]",
        "some_bytes": "BYTEA",
    },
    "sqlite": {
        "a_varchar": "VARCHAR(255)",
        "a_nocase": "TEXT COLLATE NOCASE",
        "a_text": "TEXT",
        "a_blob": "BLOB",
        "untyped": "",
        "a_number": "INTEGER",
    },
}
"""Engine → the columns of every table."""

NAMED: Final = {"mariadb": "a_text", "postgresql": "a_text", "sqlite": "a_text"}
"""The column that holds names, in tables that have some."""

_SEQUENCE: Final = {
    "mariadb": "seq_1_to_{rows}",
    "postgresql": "generate_series(1, {rows}) AS s(seq)",
    "sqlite": "(WITH RECURSIVE s(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM s WHERE seq < {rows})"
    " SELECT seq FROM s)",
}
_CONCATENATED: Final = {"mariadb": "CONCAT({0}, {1})", "postgresql": "({0} || {1})", "sqlite": "({0} || {1})"}


@dataclass(frozen=True)
class ManyTables:
    """The tables of one engine.

    tables: how many; every tenth has names of objects in one row of a hundred
    rows: of each, and `large` of every thirtieth
    """

    engine: str
    tables: int
    rows: int
    large: int

    def names(self) -> Iterator[str]:
        """Yield the name of each table."""
        return (f"many_{number:03}" for number in range(self.tables))

    def columns(self) -> list[str]:
        """Return the names of each table's columns that may hold texts."""
        return list(KINDS[self.engine])

    def expected(self) -> dict[str, int]:
        """Return the columns that name objects, and in how many rows."""
        found = {
            f"{name}.{NAMED[self.engine]}": self.rows_of(number) // 100
            for number, name in enumerate(self.names())
            if self.has_names(number)
        }
        return {name: rows for name, rows in found.items() if rows}

    def rows_of(self, number: int) -> int:
        """Return how many rows a table has."""
        return self.large if number % 30 == 3 else self.rows

    @staticmethod
    def has_names(number: int) -> bool:
        """Return whether a table has names of objects."""
        return number % 10 == 3

    def make(self, execute: Execute) -> None:
        """Create and fill them."""
        for number, name in enumerate(self.names()):
            columns = ", ".join(f"{column} {kind}" for column, kind in KINDS[self.engine].items())
            key = "INTEGER" if self.engine == "sqlite" else "BIGINT"
            execute(f"CREATE TABLE {name} (id {key} NOT NULL PRIMARY KEY, {columns})")
            values = ", ".join(self._value(column, kind, number) for column, kind in KINDS[self.engine].items())
            rows = _SEQUENCE[self.engine].format(rows=self.rows_of(number))
            execute(f"INSERT INTO {name} SELECT seq, {values} FROM {rows}")

    def drop(self, execute: Execute) -> None:
        """Drop them, as far as they exist."""
        for name in self.names():
            execute(f"DROP TABLE IF EXISTS {name}")

    def counting(self, table: str, column: str) -> str:
        """Return the statement that people would search one column with."""
        kind = KINDS[self.engine][column]
        if self.engine == "postgresql":
            found = (
                f"position('image/'::bytea in {column}) > 0" if kind == "BYTEA" else f"{column}::text LIKE '%image/%'"
            )
            return f"SELECT count(*) FROM {table} WHERE {found}"
        return f"SELECT count(*) FROM {table} WHERE {column} LIKE '%image/%'"

    def _value(self, column: str, kind: str, number: int) -> str:
        texts = {
            "a_char": self._with("'row '", "seq"),
            "a_json": self._with(f'\'{{"text": "{FILLER}", "number": \'', self._with("seq", "'}'")),
            "an_enum": "'draft'",
            "a_number": "seq",
            "a_long_text": self._with(f"'{FILLER * 3}'", "seq"),
        }
        some = f"CASE WHEN seq % 20 = 0 THEN '{LIKE_A_NAME}' ELSE '{FILLER}' END"
        value = texts.get(column) or self._with(some, "seq")
        if column == "a_jsonb":
            value = f"({texts['a_json']})::jsonb"
        if column == "a_json" and self.engine == "postgresql":
            value = f"({value})::json"
        if kind == "TEXT[]":
            value = f"ARRAY[{value}, 'two']"
        if kind == "BYTEA":
            value = f"convert_to({value}, 'UTF8')"
        if column == NAMED[self.engine] and self.has_names(number):
            name = self._with("'<img src=\"/image/avatar-'", self._with("seq", "'.png\">'"))
            value = f"CASE WHEN seq % 100 = 0 THEN {name} ELSE {value} END"
        return value

    def _with(self, one: str, other: str) -> str:
        return _CONCATENATED[self.engine].format(one, other)

"""The catalog's schema: what statements name is in it, and each table lists the modules that fill and read it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import duckdb
import pytest
from rehome.catalog import schema
from rehome.catalog.catalog import Catalog
from rehome.catalog.schema import Table
from rehome.planning import plan
from rehome.scan import journal
from rehome.stages import deletion_candidates, remove_copies, retire, rollback_rows, verify_rows
from rehome.state import delete_log, outcomes

ENGINE = Path(schema.__file__).parents[1]
TABLES = {name: table for name, table in vars(schema).items() if isinstance(table, Table)}
BY_NAME = {table.name: table for table in TABLES.values()}

SCHEMA = Path("catalog/schema.py")
STRANGERS = {"db", "s3", "grants"}
"""Rooms that know no catalog: their SQL is for other databases."""

FILLED = re.compile(
    r"\b(?:(?:INSERT(?: OR REPLACE)? INTO|DELETE FROM)\s+([a-z_]+)|UPDATE\s+([a-z_]+)\s+(?:\w+\s+)?SET)\b"
)
READ = re.compile(r"(?<!DELETE )(?<!DISTINCT )\b(?:FROM|JOIN|USING)\s+(?:(?:rollback|earlier)\.)?([a-z_]+)\b(?!\s*\()")
INLINE = re.compile(r"\bWITH ([a-z_]+) AS\b")

STATEMENT = re.compile(r"\s*(SELECT|FROM|WITH|INSERT|UPDATE|DELETE|COPY)\s")
PLACEHOLDER = re.compile(r"\{\w*\}")

FILES = {
    # the columns of the files that statements read, besides their name
    "read_parquet": outcomes._EXPORT.partition("COPY (")[2].partition(") TO")[0],
    "read_json": "SELECT '' AS event, '' AS key",
}


def _modules() -> list[str]:
    files = (file.relative_to(ENGINE) for file in sorted(ENGINE.rglob("*.py")))
    return [file.with_suffix("").as_posix() for file in files if file.parts[0] not in STRANGERS and file != SCHEMA]


def _module(path: str) -> ModuleType:
    return import_module(".".join(("rehome", *path.split("/"))))


@cache
def _tree(path: str) -> ast.Module:
    return ast.parse((ENGINE / f"{path}.py").read_text(encoding="utf-8"))


def _strings(path: str, constants: Mapping[str, object]) -> Iterator[str]:
    """Yield a module's strings, except docstrings. A name in an f-string is its value in `constants`, or `{}`."""
    inner: set[ast.AST] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Expr):
            inner.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            inner.update(node.values)
            yield "".join(_text(part, constants) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inner:
            yield node.value


def _text(part: ast.expr, constants: Mapping[str, object]) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    return str(constants.get(ast.unparse(part.value), "{}"))


def _calls(path: str) -> Iterator[tuple[str, str]]:
    """Yield the methods of the catalog that a module calls with a table's name, and that name."""
    for node in ast.walk(_tree(path)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value).endswith("catalog")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.func.attr, str(node.args[0].value)


def _filled(path: str) -> set[str]:
    """Return the names of the tables that a module makes or fills."""
    in_sql = (name for text in _strings(path, {}) for names in FILLED.findall(text) for name in names if name)
    appended = (name for method, name in _calls(path) if method in ("append", "bulk_appender"))
    return {*in_sql, *appended, *_made(path)}


def _made(path: str) -> set[str]:
    """Return the names of the tables that a module takes from the schema, to make them."""
    constants = vars(_module(path))
    used = {ast.unparse(node) for node in ast.walk(_tree(path)) if isinstance(node, ast.Attribute)}
    return {table.name for name, table in TABLES.items() if constants.get(name) is table or f"schema.{name}" in used}


def _read(path: str) -> set[str]:
    """Return the names of the tables that a module reads."""
    counted = {name for method, name in _calls(path) if method == "count" and name.isidentifier()}
    return counted.union(*(set(READ.findall(text)) - set(INLINE.findall(text)) for text in _strings(path, {})))


def _users(names: Callable[[str], set[str]]) -> dict[str, tuple[str, ...]]:
    """Return table name → the modules for which `names` has it."""
    users: dict[str, tuple[str, ...]] = dict.fromkeys(BY_NAME, ())
    for path in _modules():
        for name in names(path):
            users[name] = (*users.get(name, ()), path)
    return users


def test_each_table_says_who_fills_it() -> None:
    assert _users(_filled) == {name: tuple(table.filled_by.split()) for name, table in BY_NAME.items()}


def test_each_table_says_who_reads_it() -> None:
    assert _users(_read) == {name: tuple(table.read_by.split()) for name, table in BY_NAME.items()}


def _values(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | tuple | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _values(one)


def _statements(path: str) -> set[str]:
    """Return the SQL statements that a module has: its constants, and what its functions make of them."""
    constants = vars(_module(path))
    texts = {
        *_values({name: value for name, value in constants.items() if name != "__doc__"}),
        *_strings(path, constants),
    }
    return {text for text in texts if STATEMENT.match(text) and not PLACEHOLDER.search(text)}


@pytest.fixture(scope="module")
def catalog() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for table in BY_NAME.values():
            connection.execute(table.create())
        connection.execute("CREATE SCHEMA rollback")
        connection.execute(f"CREATE TABLE rollback.rollback_rows ({schema.ROLLBACK_ROWS.columns})")
        connection.execute("CREATE SCHEMA earlier")
        for table in BY_NAME.values():
            connection.execute(f"CREATE TABLE earlier.{table.name} ({table.columns})")
        yield connection


def _without_files(statement: str) -> str:
    for function, select in FILES.items():
        statement = re.sub(rf"\b{function}\([^)]*\)", f"(SELECT *, '' AS filename FROM ({select}))", statement)
    return statement


@pytest.mark.parametrize("path", _modules())
def test_tables_and_columns_of_every_statement_exist(catalog: duckdb.DuckDBPyConnection, path: str) -> None:
    for statement in _statements(path):
        catalog.execute(f"PREPARE statement AS {_without_files(statement)}")


def test_a_misspelt_name_is_found(catalog: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.CatalogException):
        catalog.execute("PREPARE statement AS SELECT suffix FROM source_object")
    with pytest.raises(duckdb.BinderException):
        catalog.execute("PREPARE statement AS SELECT s.restt FROM source_objects s")


_REASONS = [
    retire._BY_POLICY.format(skips=True),
    retire._TOO_YOUNG.format(all_young=False, before="2026-01-01"),
    *remove_copies._REASONS.values(),
]

SELECTED = {
    "OBJECT_VERDICTS": f"SELECT * EXCLUDE (place) FROM ({plan._CLASSIFY_OBJECTS})",
    "ROW_VERDICTS": f"SELECT * EXCLUDE (place) FROM ({plan._CLASSIFY_ROWS})",
    "UNPROVEN": outcomes._UNPROVEN,
    "STANDING_ROWS": journal._STANDING,
    "DIFFERING_RANGES": verify_rows._DIFFERING,
    "ROLLBACK_ROWS": rollback_rows._CLASSIFY,
    "JUDGED": deletion_candidates._CLASSIFY.format(reasons=" ".join(f"WHEN {reason} THEN ''" for reason in _REASONS)),
    "TO_BRING_BACK": delete_log.LIVE_MARKERS,
    "MADE": outcomes._MADE,
    "UNTOLD": outcomes._UNTOLD,
    "EXPECTED": remove_copies._EXPECTED,
}
"""Tables that are made of what a SELECT returns."""

IN_ORDER = {"OBJECT_VERDICTS", "ROW_VERDICTS"}
"""Those that the plan makes, by one function for both."""


@pytest.mark.parametrize("name", SELECTED)
def test_a_select_returns_the_columns_of_its_table(catalog: duckdb.DuckDBPyConnection, name: str) -> None:
    table, select = TABLES[name], _without_files(SELECTED[name])
    columns = catalog.execute(f"DESCRIBE {table.name}").fetchall()
    params = {param: param not in ("target_prefix", "target_bucket") or "" for param in re.findall(r"\$(\w+)", select)}
    catalog.execute(table.create(select), params)
    assert catalog.execute(f"DESCRIBE {table.name}").fetchall() == columns


def test_every_table_that_is_made_of_a_select_is_tested() -> None:
    made = {
        ast.unparse(node.func.value).removeprefix("schema.")
        for path in _modules()
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "create"
        and node.args
    }
    assert (made & TABLES.keys()) | IN_ORDER == SELECTED.keys()


def test_the_condition_on_rows_that_a_rollback_would_change_is_valid(catalog: duckdb.DuckDBPyConnection) -> None:
    catalog.execute(f"PREPARE statement AS DELETE FROM named_keys WHERE {remove_copies._TO_ROLL_BACK}")


def test_a_new_catalog_has_the_tables_that_no_stage_makes(tmp_path: Path) -> None:
    made = set().union(*map(_made, _modules()))
    with Catalog.create(tmp_path / "catalog.duckdb", {}) as catalog:
        tables = {name for (name,) in catalog.query("SELECT table_name FROM duckdb_tables()")}
    assert tables == BY_NAME.keys() - made

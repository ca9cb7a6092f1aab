"""What the plans of MariaDB and MySQL say: whether rows are found by the key, or nothing that can be interpreted."""

from __future__ import annotations

from typing import Any, cast

import pytest
from rehome.config.settings import Database
from rehome.db.dialect import KeyColumn, TableFacts
from rehome.db.engines.mysql import session
from rehome.db.engines.mysql.dialect import MySQL
from rehome.db.engines.mysql.inspector import MySQLInspector
from rehome.mapping.keymap import KeyMap
from rehome.mapping.value_map import ValueMap
from rehome.preflight.column import FEW_ROWS, Column, _plan

FACTS = TableFacts("avatars", "path", (KeyColumn("id", "integer", "SIGNED"),))
COLUMN = Column(FACTS, "rehome_references[0]", ValueMap(KeyMap("image/", "avatar/")), dry_run=False)
INSPECTOR = MySQLInspector(cast(MySQL, None), Database(engine="mysql", name="app"))
TREE = {"EXPLAIN": "-> Update t (immediate)\n    -> Index range scan on t using PRIMARY  (cost=1.2 rows=3)\n"}


def step(kind: str | None, key: str | None = "PRIMARY", extra: str | None = "Using where") -> dict[str, Any]:
    return {"table": "t", "type": kind, "key": key, "Extra": extra}


@pytest.mark.parametrize(
    ("steps", "by_key"),
    [
        ([step("range")], True),
        ([step("range|filter", "PRIMARY|path")], True),
        ([step("eq_ref"), {"table": "<derived2>", "type": "ALL", "key": None}], True),
        ([step("ALL", None)], False),
        ([step("index")], False),
        ([step(None, None, "Impossible WHERE")], None),
        ([{"table": None, "type": None, "Extra": "no matching row in const table"}], None),
        ([TREE], None),
        ([{"EXPLAIN": '{"query_plan": {"operation": "Table scan on t"}}'}], None),
        ([step("a kind of later servers")], None),
        ([], None),
    ],
)
def test_only_a_plan_that_can_be_read_says_whether_rows_are_found_by_the_key(
    steps: list[dict[str, Any]], by_key: bool | None
) -> None:
    assert INSPECTOR._plan("lock", FACTS, steps).by_key is by_key


@pytest.mark.parametrize("rows", [1, FEW_ROWS, None])
@pytest.mark.parametrize("name", ["read", "lock", "update"])
def test_a_plan_that_cannot_be_read_is_unknown_however_many_rows_there_are(name: str, rows: int | None) -> None:
    check = _plan(COLUMN, INSPECTOR._plan(name, FACTS, [TREE]), rows)
    assert check.status == "info"
    assert check.found.startswith("unknown: ") and "Index range scan on t using PRIMARY" in check.found


def test_the_optimizer_that_explains_no_statement_as_a_table_is_switched_off_and_others_stay() -> None:
    known = {"optimizer_switch": "mrr=on,hypergraph_optimizer=on,hash_set_operations=on"}
    assert (
        session.variables(known)["optimizer_switch"].value == "mrr=on,hypergraph_optimizer=off,hash_set_operations=on"
    )
    assert "optimizer_switch" not in session.variables({"optimizer_switch": "mrr=on,hypergraph_optimizer=off"})


@pytest.mark.parametrize(
    ("version", "comment", "product"),
    [
        ("10.11.19-MariaDB-0+deb12u1", "Debian 12", "MariaDB"),
        ("11.4.2", "MariaDB Server", "MariaDB"),
        ("9.7.4", "(Debian)", "MySQL"),
        ("8.0.36-28", "Percona Server (GPL)", "MySQL"),
    ],
)
def test_the_product_is_read_from_version_and_comment(version: str, comment: str, product: str) -> None:
    assert session.product({"version": version, "version_comment": comment}) == product

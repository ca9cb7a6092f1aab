"""What the server hides from a user is unknown in the preflight, with the right that shows it, and never `pass`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest
from rehome.db.dialect import UnusableTableError
from rehome.db.engines.open import connect
from rehome.db.engines.open_inspector import inspector

from tests.integration.db.conftest import Bench, named_on
from tests.integration.db.conftest import only as with_engines
from tests.integration.db.inspecting import column_checks, named

Modest = Callable[..., dict[str, str]]
"""Creates a user with rights on the table. The table has to exist when the test ends, too."""

COLUMNS = ("SELECT (id, path)", "UPDATE (path)")


class Question(NamedTuple):
    """Something about a table that the check `name` asks for.

    more: what there is in the table
    after: statements that make it; T is the table, and what begins with T_ is made for it
    shown: the status of the check where it is seen
    hidden: the products that hide it from a user with rights on columns
    """

    name: str
    shown: str
    hidden: tuple[str, ...]
    more: str = ""
    after: tuple[str, ...] = ()
    products: tuple[str, ...] = ("mariadb", "mysql", "postgresql")


MYSQLS = ("mariadb", "mysql")

QUESTIONS = {
    "trigger": Question(
        "triggers",
        "warn",
        ("mysql",),
        after=("CREATE TRIGGER T_t AFTER UPDATE ON T FOR EACH ROW SET @seen = 1",),
        products=MYSQLS,
    ),
    "trigger of postgresql": Question(
        "triggers",
        "warn",
        (),
        after=(
            "CREATE FUNCTION T_f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER T_t AFTER UPDATE ON T FOR EACH ROW EXECUTE FUNCTION T_f()",
        ),
        products=("postgresql",),
    ),
    "check": Question(
        "check constraints", "stop", ("mariadb",), more=", CONSTRAINT T_c CHECK (path <> 'avatar/a.png')"
    ),
    "unique index": Question(
        "unique indexes", "warn", ("mariadb",), more=", n INT DEFAULT 1, UNIQUE T_u (n, path)", products=MYSQLS
    ),
    "generated column": Question(
        "generated columns",
        "warn",
        MYSQLS,
        more=", g VARCHAR(99) GENERATED ALWAYS AS (concat(path, 'x')) STORED",
        products=MYSQLS,
    ),
    "generated column of postgresql": Question(
        "generated columns",
        "warn",
        (),
        more=", g TEXT GENERATED ALWAYS AS (path || 'x') STORED",
        products=("postgresql",),
    ),
    "foreign key of the column": Question(
        "foreign keys",
        "stop",
        ("mariadb",),
        after=(
            "CREATE TABLE T_p (path VARCHAR(99) PRIMARY KEY)",
            "INSERT INTO T_p VALUES ('image/a.png')",
            "ALTER TABLE T ADD FOREIGN KEY (path) REFERENCES T_p (path)",
        ),
    ),
    "foreign key to the column": Question(
        "foreign keys",
        "stop",
        MYSQLS,
        after=(
            "CREATE UNIQUE INDEX T_u ON T (path)",
            "CREATE TABLE T_c (id INT PRIMARY KEY, path VARCHAR(99), FOREIGN KEY (path) REFERENCES T (path)"
            " ON UPDATE CASCADE)",
        ),
    ),
}


def ask(bench: Bench, question: Question) -> None:
    """Create the table with what the question is about."""
    bench.execute(_named(bench, f"CREATE TABLE T (id INT PRIMARY KEY, path VARCHAR(99){question.more})"))
    for statement in ("INSERT INTO T (id, path) VALUES (1, 'image/a.png')", *question.after):
        bench.execute(_named(bench, statement))


def _named(bench: Bench, statement: str) -> str:
    """Return the statement with the table's name in place of T, also as the beginning of another name."""
    return re.sub(r"\bT(_\w+)?\b", lambda found: f"{bench.table}{found[1] or ''}", statement)


@named_on({name: question.products for name, question in QUESTIONS.items()})
def test_what_is_hidden_is_unknown_and_the_right_that_is_named_shows_it(
    bench: Bench, modest: Modest, name: str
) -> None:
    question = QUESTIONS[name]
    ask(bench, question)
    login = modest(*COLUMNS)
    found = named(column_checks(bench, login=login), question.name)
    if bench.product in question.hidden:
        (check,) = found
        assert check.status == "info" and check.found.startswith("unknown: "), check
        assert "hidden from" in check.found
        bench.execute(check.advice.replace("%", "%%"))
        found = named(column_checks(bench, login=login), question.name)
    assert not [check for check in found if "hidden from" in check.found], found
    if question.name == "unique indexes":
        # the collisions need SELECT on the other column, too
        bench.execute(f"GRANT SELECT (n) ON app.{bench.table} TO {login['user']}@'%%'")
        found = named(column_checks(bench, login=login), question.name)
        assert [check.status for check in found] == ["pass"]
        return
    assert question.shown in [check.status for check in found], found


@with_engines("mariadb", "postgresql")
def test_a_user_who_may_only_read_columns_is_told_all_that_is_hidden(bench: Bench, modest: Modest) -> None:
    bench.create()
    login = modest("SELECT (id, path)")
    unknown = {check.name for check in column_checks(bench, login=login, dry_run=True) if "hidden" in check.found}
    assert (
        unknown
        == {
            "mariadb": {"unique indexes", "check constraints", "foreign keys", "generated columns", "triggers"},
            "mysql": {"generated columns", "triggers"},
            "postgresql": set(),
        }[bench.product]
    )


@with_engines("mariadb")
def test_a_foreign_key_whose_rule_is_hidden_stops_all_the_same(bench: Bench, modest: Modest) -> None:
    """With SELECT alone on the database, MariaDB shows the columns of a foreign key and hides its rule."""
    ask(bench, QUESTIONS["foreign key to the column"])
    login = modest("SELECT (id, path)")
    bench.execute(f"GRANT SELECT ON app.* TO {login['user']}@'%%'")
    (check,) = named(column_checks(bench, login=login), "foreign keys")
    assert check.status == "stop", check


@with_engines("mariadb")
def test_foreign_keys_of_other_databases_are_for_an_administrator_to_look(bench: Bench, modest: Modest) -> None:
    bench.create()
    bench.execute("CREATE UNIQUE INDEX u ON T (path)")
    login = modest(*COLUMNS)
    bench.execute(f"GRANT REFERENCES ON app.* TO {login['user']}@'%%'")
    (check,) = named(column_checks(bench, login=login), "foreign keys")
    assert "foreign keys of other databases" in check.found and "administrator" in check.advice
    bench.execute(f"GRANT SELECT ON *.* TO {login['user']}@'%%'")
    (check,) = named(column_checks(bench, login=login), "foreign keys")
    assert check.status == "pass"


@with_engines("mariadb", "postgresql")
def test_nothing_is_tried_if_a_trigger_that_is_hidden_may_do_what_lasts(bench: Bench, modest: Modest) -> None:
    bench.create()
    login = modest(*COLUMNS)

    def lasting() -> str | None:
        settings = replace(bench.settings(), **login)
        with connect(settings) as database:
            return inspector(database, settings).irreversible(database.describe(bench.table, "path"))

    if bench.product != "mysql":
        assert lasting() is None
        return
    assert "triggers are hidden from this user" in (lasting() or "")
    bench.execute(f"GRANT TRIGGER ON app.{bench.table} TO {login['user']}@'%%'")
    assert lasting() is None


@pytest.mark.product("mariadb")
@with_engines("mariadb")
def test_a_key_that_is_hidden_is_told_as_hidden(bench: Bench, modest: Modest) -> None:
    bench.execute(f"CREATE TABLE {bench.table} (id INT PRIMARY KEY, path VARCHAR(99)) WITH SYSTEM VERSIONING")
    settings = replace(bench.settings(), **modest(*COLUMNS))
    with connect(settings) as database:
        with pytest.raises(UnusableTableError, match=r"that this user sees \(hidden from it: PRIMARY\)"):
            database.describe(bench.table, "path")
        advice = inspector(database, settings).grant_to_see(bench.table, "path")
    bench.execute(advice.partition("; ")[2].partition(" shows all")[0].replace("%", "%%"))
    with connect(settings) as database:
        assert [part.name for part in database.describe(bench.table, "path").key] == ["id"]

"""What every row would meet is found before the copy: by a trial, and in a dry run by what the catalog tells."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from rehome.checks import Check
from rehome.db.engines.open_inspector import inspector
from rehome.db.journal import JournalTarget
from rehome.mapping.keymap import KeyMap
from rehome.mapping.value_map import ValueMap
from rehome.preflight.column import Column
from rehome.preflight.trial import try_rewrite

from sandbox.postgresql import PostgreSQL
from tests.integration.db.conftest import Bench
from tests.integration.db.conftest import only as with_engines
from tests.integration.db.inspecting import IMAGES, column_checks, named, only

TARGET = JournalTarget("rehome", "trial", "f" * 64)
CYRILLIC = ValueMap(KeyMap("image/", "фото/"))


def trial(bench: Bench, values: ValueMap = IMAGES, user: str = "migrate") -> Check:
    database = bench.rehome(user)
    if not database.has_journal("rehome"):
        database.create_journal("rehome")
    facts = database.describe(bench.table, "path")
    column = Column(facts, "rehome_references[0]", values, False)
    ask = inspector(database, bench.settings(user))
    return try_rewrite(database, ask, column, TARGET)


def commit(bench: Bench) -> None:
    """Let the application's changes be seen: it works on one connection with SQLite."""
    if bench.engine == "sqlite":
        bench._admin.commit()


def refusing(bench: Bench, condition: str) -> None:
    """Make the table refuse rows by a trigger."""
    table = bench.table
    for statement in {
        "mariadb": [
            f"CREATE TRIGGER no_{table} BEFORE UPDATE ON {table} FOR EACH ROW BEGIN IF {condition} THEN"
            " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'paths are frozen', MYSQL_ERRNO = 30001; END IF; END"
        ],
        "postgresql": [
            f"CREATE FUNCTION no_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN"
            " RAISE EXCEPTION 'paths are frozen' USING ERRCODE = '42501'; END IF; RETURN NEW; END $$",
            f"CREATE TRIGGER no BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION no_{table}()",
        ],
        "sqlite": [
            f"CREATE TRIGGER no BEFORE UPDATE ON {table} WHEN {condition}"
            " BEGIN SELECT RAISE(ABORT, 'paths are frozen'); END"
        ],
    }[bench.engine]:
        bench.execute(statement.replace("%", "%%") if bench.engine != "sqlite" else statement)


def test_a_trial_changes_nothing(bench: Bench) -> None:
    bench.create()
    bench.fill(*(f"image/{number}.png" for number in range(9)), "other")
    commit(bench)
    check = trial(bench)
    assert check.status == "pass" and check.found.startswith("5 rows were rewritten and journalled"), check
    assert bench.values() == [*(f"image/{number}.png" for number in range(9)), "other"]
    assert bench.rehome().count_journal("rehome") == 0
    bench.execute("UPDATE T SET path = 'free' WHERE id = 1")


def test_what_every_row_meets_stops_in_the_servers_words_and_advises_no_grant(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png", "image/c.png")
    refusing(bench, "NEW.path LIKE 'avatar/%'")
    commit(bench)
    check = trial(bench)
    assert check.status == "stop", check
    assert "each of 3 tried rows is refused" in check.found and "paths are frozen" in check.found
    assert "GRANT" not in check.advice


def test_what_one_row_of_several_meets_is_a_warning(bench: Bench) -> None:
    bench.create()
    bench.fill(*(f"image/{number}.png" for number in range(5)))
    refusing(bench, "NEW.path LIKE '%3.png'")
    commit(bench)
    check = trial(bench)
    assert check.status == "warn" and check.found.startswith("1 of 5 tried rows is refused"), check
    assert "avatar/3.png" in check.found


@with_engines("sqlite")
def test_what_each_second_row_meets_is_not_taken_for_what_all_meet(bench: Bench) -> None:
    bench.create()
    bench.fill(*(f"image/{number}.png" for number in range(11)))
    refusing(bench, "NEW.id % 2 = 1")
    commit(bench)
    check = trial(bench)
    assert check.status == "warn" and check.found.startswith("5 of 6 tried rows is refused"), check


def test_a_table_in_which_every_new_value_is_taken_is_no_reason_to_stop(bench: Bench) -> None:
    bench.create(column="path VARCHAR(99) UNIQUE")
    bench.fill("image/a.png", "avatar/a.png")
    commit(bench)
    assert trial(bench).status == "warn"


@with_engines("postgresql")
def test_an_exclusion_constraint_is_about_its_rows_too(bench: Bench) -> None:
    bench.create(more=", EXCLUDE USING btree (left(path, 3) WITH =)")
    bench.fill("image/a.png", "ava")
    assert trial(bench).status == "warn"


def test_a_table_without_old_values_has_nothing_to_try(bench: Bench) -> None:
    bench.create()
    bench.fill("avatar/a.png", "image/a.gif", None)
    commit(bench)
    assert trial(bench).found == "no row to try"


@with_engines("mariadb", "postgresql")
def test_a_locked_row_is_waited_for_once_and_then_unknown(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png")
    application = bench.another_admin()
    cursor = application.cursor()
    cursor.execute("BEGIN")
    cursor.execute(f"UPDATE {bench.table} SET path = 'image/b.png' WHERE id = 1")
    try:
        check = trial(bench)
    finally:
        application.rollback()
        application.close()
    assert check.status == "info" and check.found.startswith("unknown: the row with the key (1,)"), check


@with_engines("postgresql")
@pytest.mark.parametrize(("condition", "status"), [("OLD.id = 1", "pass"), ("true", "info")])
def test_a_row_whose_trigger_raises_the_code_of_a_conflict_is_left_out(
    bench: Bench, condition: str, status: str
) -> None:
    table = bench.table
    bench.create()
    bench.execute(
        f"CREATE FUNCTION no_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN"
        " RAISE EXCEPTION 'stale version' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$"
    )
    bench.execute(f"CREATE TRIGGER no BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION no_{table}()")
    bench.fill("image/a.png", "image/b.png", "image/c.png")
    check = trial(bench)
    assert check.status == status, check
    assert "2 rows" in check.found if status == "pass" else "stale version" in check.found, check


@with_engines("postgresql")
@pytest.mark.parametrize("when", ["INITIALLY IMMEDIATE", "INITIALLY DEFERRED"])
def test_what_only_commit_would_check_is_tried_too(bench: Bench, when: str) -> None:
    table = bench.table
    bench.create()
    bench.execute(
        f"CREATE FUNCTION no_{table}() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'checked at the end'; END $$"
    )
    bench.execute(
        f"CREATE CONSTRAINT TRIGGER no AFTER UPDATE ON {table} DEFERRABLE {when}"
        f" FOR EACH ROW EXECUTE FUNCTION no_{table}()"
    )
    bench.fill("image/a.png")
    check = trial(bench)
    assert check.status == "stop" and "checked at the end" in check.found, check


@with_engines("postgresql")
def test_a_trigger_that_calls_what_this_user_may_not_call_is_told_with_its_name(bench: Bench) -> None:
    table = bench.table
    bench.create()
    bench.execute(f"CREATE TABLE audit_{table} (path TEXT)")
    bench.execute(f"REVOKE ALL ON audit_{table} FROM migrate")
    bench.execute(
        f"CREATE FUNCTION log_{table}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN INSERT INTO audit_{table} VALUES (NEW.path); RETURN NEW; END $$"
    )
    bench.execute(f"CREATE TRIGGER log AFTER UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION log_{table}()")
    bench.fill("image/a.png", "image/b.png")
    check = trial(bench)
    assert check.status == "stop" and f"audit_{table}" in check.found, check


@with_engines("mariadb")
@pytest.mark.parametrize("body", ["INSERT INTO lasting VALUES (NEW.path)", "DO 1"])
def test_a_trigger_that_rollback_may_not_undo_is_not_tried(bench: Bench, body: str) -> None:
    bench.create()
    bench.execute("CREATE TABLE lasting (path VARCHAR(99)) ENGINE = MyISAM")
    try:
        bench.execute(f"CREATE TRIGGER log_{bench.table} AFTER UPDATE ON {bench.table} FOR EACH ROW {body}")
        bench.fill("image/a.png")
        seen = {user: trial(bench, user=user) for user in ("admin", "migrate")}
        assert bench.execute("SELECT * FROM lasting") == []
    finally:
        bench.execute("DROP TABLE lasting")
    # the body of a trigger is hidden from users who may not create any
    expected = "pass" if body == "DO 1" else "info"
    assert seen["admin"].status == expected, seen["admin"]
    # on MySQL the user of the tests may, as it would see no trigger otherwise
    assert seen["migrate"].status == (expected if bench.product == "mysql" else "info"), seen["migrate"]
    assert seen["migrate"].status == "pass" or "lasting, which has no transactions" in seen["migrate"].found


# What the database's catalog tells a dry run


@with_engines("mariadb")
@pytest.mark.parametrize(
    ("charset", "head", "holds"),
    [
        ("latin1", "фото/", False),
        ("latin1", "fóto/", True),
        ("ascii", "fóto/", False),
        ("utf8mb3", "😀/", False),
        ("utf8mb3", "фото/", True),
        ("cp1251", "фото/", True),
        ("utf8mb4", "😀/", True),
        ("ucs2", "😀/", False),
    ],
)
@pytest.mark.parametrize("dry_run", [True])
def test_a_prefix_that_the_columns_character_set_lacks_stops(
    bench: Bench, charset: str, head: str, holds: bool, dry_run: bool
) -> None:
    bench.create(column=f"path VARCHAR(99) CHARACTER SET {charset}")
    bench.fill("image/a.png")
    values = ValueMap(KeyMap("image/", head))
    check = only(column_checks(bench, values, dry_run=dry_run), "characters", "pass" if holds else "stop")
    assert holds or charset in check.found
    assert (trial(bench, values).status == "pass") is holds


@contextmanager
def latin1_database(server: PostgreSQL) -> Iterator[str]:
    def administer(statement: str) -> None:
        with server._connect(server.superuser, "postgres", autocommit=True) as superuser:
            superuser.execute(statement)

    administer("CREATE DATABASE narrow ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0 OWNER migrate")
    try:
        yield "narrow"
    finally:
        administer("DROP DATABASE narrow")


def test_a_prefix_that_the_databases_encoding_lacks_stops(postgresql: PostgreSQL) -> None:
    with latin1_database(postgresql) as name:
        bench: Any = Bench("postgresql", None, lambda user: {**postgresql.database(user), "name": name}, None, None)  # type: ignore[arg-type]
        settings = bench.settings()
        with psycopg.connect(
            host=settings.host, port=settings.port, dbname=name, user=settings.user, password=settings.password
        ) as owner:
            owner.execute(f"CREATE TABLE {bench.table} (id BIGINT PRIMARY KEY, path TEXT)")
            owner.execute(f"INSERT INTO {bench.table} VALUES (1, 'image/a.png')")
        assert "LATIN1" in only(column_checks(bench, CYRILLIC, dry_run=True), "characters", "stop").found
        only(column_checks(bench, ValueMap(KeyMap("image/", "fóto/")), dry_run=True), "characters", "pass")


CHECKS = [
    ("CHECK (path LIKE 'image/%')", "stop"),
    ("CHECK (path <> 'avatar/b.png')", "warn"),
    ("CHECK (path LIKE '%.png' OR id > 7)", "pass"),
    ("CHECK (id < 9)", "pass"),
    ("CHECK (length(path) < 15 OR path = 'x ''%')", "pass"),
]


@pytest.mark.parametrize(("constraint", "status"), CHECKS)
def test_check_constraints_are_computed_for_the_new_values(bench: Bench, constraint: str, status: str) -> None:
    quoted = constraint if bench.engine == "sqlite" else constraint.replace("%", "%%")
    bench.create(more=f", CONSTRAINT n_{bench.table} {quoted}")
    bench.fill("image/a.png", *([] if status == "stop" else ["image/b.png", "other.png"]))
    commit(bench)
    found = column_checks(bench, dry_run=True)
    assert [check.status for check in named(found, "check constraints")] == [status], named(found, "check constraints")
    assert status == "pass" or f"n_{bench.table}" in named(found, "check constraints")[0].found


@with_engines("postgresql")
@pytest.mark.parametrize("depth", [1, 3])
def test_the_constraints_of_domains_are_computed_however_deep(bench: Bench, depth: int) -> None:
    names = [f"d{level}_{bench.table}" for level in range(depth)]
    bench.execute(f"CREATE DOMAIN {names[0]} AS text CHECK (VALUE LIKE 'image/%%')")
    for below, name in itertools.pairwise(names):
        bench.execute(f"CREATE DOMAIN {name} AS {below} CHECK (VALUE <> 'never')")
    try:
        bench.create(column=f"path {names[-1]}")
        bench.fill("image/a.png")
        assert "refuses 1 of 1" in only(column_checks(bench, dry_run=True), "check constraints", "stop").found
    finally:
        bench.execute(f"DROP TABLE {bench.table}")
        for name in names[::-1]:
            bench.execute(f"DROP DOMAIN {name}")


@pytest.mark.product("mariadb")  # where it is a text with a constraint
@with_engines("mariadb")
def test_a_json_column_refuses_what_is_no_json(bench: Bench) -> None:
    bench.create(column="path JSON")
    bench.fill('"image/a.png"')
    values = ValueMap(KeyMap('"image/', "avatar/"))
    assert "path refuses" in only(column_checks(bench, values, dry_run=True), "check constraints", "stop").found


@with_engines("mariadb", "postgresql")
def test_a_constraint_that_this_user_cannot_compute_is_unknown(
    bench: Bench, modest: Callable[..., dict[str, str]]
) -> None:
    bench.create(more=", other BIGINT, CONSTRAINT two CHECK (path <> 'x' OR other > 1)")
    bench.fill("image/a.png")
    checks = column_checks(bench, login=modest("SELECT (id, path)", "UPDATE (path)"), dry_run=True)
    (check,) = named(checks, "check constraints")
    assert check.status == "info" or "this user sees" in check.found

"""Rows are rewritten and rolled back whatever the server, the database or the user preset for sessions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest
from rehome.db import journal
from rehome.db.dialect import Change, Dialect
from rehome.db.engines.mysql import session as mysql_session
from rehome.db.engines.postgresql import session as postgresql_session
from rehome.db.engines.sqlite import session as sqlite_session
from rehome.db.journal import JournalTarget
from rehome.db.work.chunk import ChunkOutcome, rewrite_chunk
from rehome.db.work.keyset import read_by_keyset
from rehome.errors import RefusedError

from tests.integration.db.conftest import Bench, only

MARIADB: Mapping[str, object] = {
    "sql_mode": "ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE,EMPTY_STRING_IS_NULL",
    "sql_safe_updates": 1,
    "foreign_key_checks": 0,
    "unique_checks": 0,
    "check_constraint_checks": 0,
    "sql_select_limit": 3,
    "max_join_size": 1,
    "sql_big_selects": 0,
    "group_concat_max_len": 4,
    "max_sort_length": 64,
    "sql_auto_is_null": 1,
    "system_versioning_asof": "2001-01-01 00:00:00",
    "time_zone": "+05:30",
    "autocommit": 0,
    "completion_type": "RELEASE",
    "tx_isolation": "SERIALIZABLE",
    "tx_read_only": 1,
    "innodb_lock_wait_timeout": 1000,
    "lock_wait_timeout": 1000,
    "max_statement_time": 0.5,
    "net_write_timeout": 1,
    "net_read_timeout": 1,
    "wait_timeout": 1,
    "idle_transaction_timeout": 1,
    "idle_write_transaction_timeout": 1,
    "idle_readonly_transaction_timeout": 1,
    "collation_connection": "latin1_german1_ci",
    "character_set_client": "latin1",
    "character_set_results": "latin1",
    "in_predicate_conversion_threshold": 2,
    "optimizer_max_sel_arg_weight": 1,
    "sql_quote_show_create": 0,
}
"""Global values, which new sessions take over."""

MYSQL: Mapping[str, object] = {
    **{
        name: value
        for name, value in MARIADB.items()
        if name
        not in {
            "check_constraint_checks",
            "system_versioning_asof",
            "tx_isolation",
            "tx_read_only",
            "max_statement_time",
            "idle_transaction_timeout",
            "idle_write_transaction_timeout",
            "idle_readonly_transaction_timeout",
            "in_predicate_conversion_threshold",
            "optimizer_max_sel_arg_weight",
        }
    },
    "sql_mode": "ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE",
    "transaction_isolation": "SERIALIZABLE",
    "transaction_read_only": 1,
    "max_execution_time": 1,
    "range_optimizer_max_mem_size": 1,
    "show_gipk_in_create_table_and_information_schema": 0,
    "explain_format": "JSON",
    "information_schema_stats_expiry": 86400,
    "optimizer_switch": "hypergraph_optimizer=on",
}

POSTGRESQL: Mapping[str, str] = {
    "search_path": "evil, public, pg_catalog",
    "session_replication_role": "replica",
    "row_security": "off",
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "datestyle": "SQL, DMY",
    "intervalstyle": "sql_standard",
    "timezone": "Europe/Berlin",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "exit_on_error": "on",
    "lock_timeout": "1h",
    "statement_timeout": "1h",
    "idle_in_transaction_session_timeout": "1h",
    "idle_session_timeout": "1s",
    "synchronous_commit": "off",
}

ORIGIN = "session_replication_role"
VARIABLES = {
    "mariadb": mysql_session.VARIABLES,
    "postgresql": postgresql_session.VARIABLES,
    "sqlite": sqlite_session.VARIABLES,
}
KEYED = {
    "mariadb": "name VARCHAR(40) NOT NULL, at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP",
    "postgresql": "name VARCHAR(40) NOT NULL, at TIMESTAMPTZ NOT NULL",
    "sqlite": "name VARCHAR(40) NOT NULL, at TEXT NOT NULL",
}
EVIL = """
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE FUNCTION evil.never(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR evil.= (leftarg = text, rightarg = text, function = evil.never);
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
"""
"""A schema before pg_catalog in the search path, with objects that replace PostgreSQL's own."""
NAMES = ["a", "D ", "b\\", "c'\"", "фото", "naïve", "z" * 40]


@pytest.fixture
def preset(bench: Bench) -> Iterator[Callable[[Mapping[str, object]], None]]:
    """Preset the variables of new sessions, and reset them at the end."""
    with ExitStack() as stack:

        def set_globals(values: Mapping[str, object]) -> None:
            for name, value in values.items():
                if bench.engine == "mariadb":
                    ((before,),) = bench.execute(f"SELECT @@GLOBAL.{name}")
                    if before == "DEFAULT":
                        stack.callback(bench.execute, f"SET GLOBAL {name} = DEFAULT")
                    else:
                        stack.callback(bench.execute, f"SET GLOBAL {name} = ?", before)
                    bench.execute(f"SET GLOBAL {name} = ?", value)
                else:
                    bench.as_superuser(f"ALTER ROLE migrate RESET {name}", at_end=stack)
                    shown = str(value) if name == "search_path" else f"'{value}'"
                    bench.as_superuser(f"ALTER ROLE migrate SET {name} = {shown}")

        yield set_globals


def presets(bench: Bench) -> Mapping[str, object]:
    """Return what a user may set for itself on this version; the superuser's parameter has a test of its own."""
    if bench.engine == "mariadb":
        return MARIADB if bench.product == "mariadb" else MYSQL
    known = {name for (name,) in bench.execute("SELECT lower(name) FROM pg_settings")}
    return {name: value for name, value in POSTGRESQL.items() if name != ORIGIN and name in known}


def values_in(database: Dialect, engine: str) -> dict[str, str]:
    """Return the values of our variables in a session."""
    names = tuple(VARIABLES[engine])
    if engine == "mariadb":
        return dict(database.run("SHOW SESSION VARIABLES WHERE Variable_name IN %s", (names,)))
    if engine == "postgresql":
        found = database.run(
            "SELECT lower(name), setting FROM pg_settings WHERE lower(name) = ANY (%s)", (list(names),)
        )
        return dict(found)
    return {name: str(row[0]) for name in names for row in database.run(f"PRAGMA {name}")}


def moved(bench: Bench, database: Dialect) -> None:
    """Rewrite all rows of the table, and check and roll back what was written."""
    database.create_journal(bench.schema)
    facts = database.describe(bench.table, "path")
    rows = [row for batch in read_by_keyset(database, facts, 2) for row in batch]
    assert len(rows) == len(NAMES)
    there = [Change(row.key, row.value or "", "avatar/" + (row.value or "")[6:]) for row in rows]
    back = [Change(key, new, old) for key, old, new in there]
    for changes in (there, back):
        outcome = ChunkOutcome()
        target = JournalTarget(bench.schema, bench.table, "f" * 64)
        rewrite_chunk(database, facts, changes, target, outcome)
        assert outcome == ChunkOutcome(rewritten=len(NAMES))
        found = {row.key: row.value for batch in read_by_keyset(database, facts, 2) for row in batch}
        assert found == {change.key: change.new for change in changes}
    entries = [entry for batch in journal.newest_first(database, bench.schema, bench.table) for entry in batch]
    assert sorted(journal.unpack(entries[-1].entry.entries)) == sorted(there)


def filled(bench: Bench) -> None:
    bench.create(key=KEYED[bench.engine], more=", PRIMARY KEY (name, at)")
    for name in NAMES:
        bench.execute("INSERT INTO T (name, at, path) VALUES (?, ?, ?)", name, "2026-10-25 00:30:00", f"image/{name}")


def test_rows_of_a_composite_key_are_rewritten_and_rolled_back(bench: Bench) -> None:
    filled(bench)
    moved(bench, bench.rehome())


@only("mariadb")
def test_the_guard_against_updates_without_a_key_does_not_refuse_a_composite_one(
    bench: Bench, preset: Callable[[Mapping[str, object]], None]
) -> None:
    filled(bench)
    preset({"sql_safe_updates": 1})
    moved(bench, bench.rehome())


@only("mariadb", "postgresql")
def test_each_preset_variable_has_our_value_in_our_session(
    bench: Bench, preset: Callable[[Mapping[str, object]], None]
) -> None:
    expected = values_in(bench.rehome(), bench.engine)
    for name, value in presets(bench).items():
        preset({name: value})
        assert values_in(bench.rehome(), bench.engine) == expected, name


@only("mariadb", "postgresql")
def test_all_at_once_and_after_a_reconnect_the_session_is_ours(
    bench: Bench, preset: Callable[[Mapping[str, object]], None]
) -> None:
    filled(bench)
    bench.rehome().create_journal(bench.schema)
    if bench.engine == "postgresql":
        bench.as_superuser(EVIL)
    preset(presets(bench))
    database = bench.rehome()
    database.reconnect()
    moved(bench, database)
    if bench.engine == "postgresql":
        bench.as_superuser("DROP SCHEMA evil CASCADE")


@only("postgresql")
def test_a_variable_that_may_not_be_set_is_refused_by_name_with_its_value_and_the_way_out(
    bench: Bench, preset: Callable[[Mapping[str, object]], None]
) -> None:
    preset({"session_replication_role": "replica"})
    with pytest.raises(RefusedError) as refused:
        bench.rehome()
    text = str(refused.value)
    assert "the session variable session_replication_role stays replica, and Rehome needs origin" in text
    assert "permission denied to set parameter" in text
    assert "Let this user set session_replication_role, or reset it where it is set" in text
    assert len(refused.value.findings) == 1


@only("postgresql")
@pytest.mark.parametrize("given", ["off", "local", "remote_write", "on"])
def test_a_commit_is_not_reported_before_it_is_safe_and_waits_for_standbys_as_it_did(
    bench: Bench, preset: Callable[[Mapping[str, object]], None], given: str
) -> None:
    preset({"synchronous_commit": given})
    expected = "on" if given in ("off", "local") else given
    assert bench.rehome().run("SHOW synchronous_commit") == [(expected,)]


@only("postgresql")
def test_a_function_or_a_temporary_table_of_the_same_name_does_not_replace_ours(
    bench: Bench, preset: Callable[[Mapping[str, object]], None]
) -> None:
    preset({"search_path": "public, pg_catalog"})
    ((path,),) = bench.rehome().run("SHOW search_path")
    assert path == "pg_catalog, public, pg_catalog, pg_temp"


@only("postgresql")
def test_a_trigger_that_creates_a_table_creates_it_where_the_applications_would(
    bench: Bench, preset: Callable[[Mapping[str, object]], None]
) -> None:
    table = bench.table
    bench.create()
    bench.fill("image/a.png")
    bench.execute(
        f"CREATE FUNCTION log_{table}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
        f" CREATE TABLE log_{table} AS SELECT current_schema() AS schema; RETURN NEW; END $$"
    )
    bench.execute(f"CREATE TRIGGER log BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION log_{table}()")
    preset({"search_path": "public"})
    database = bench.rehome()
    with database.transaction():
        database.run(f"UPDATE {table} SET path = 'avatar/a.png'")
    assert bench.execute(f"SELECT schema FROM public.log_{table}") == [("public",)]
    assert database.run("SHOW search_path") == [("public, pg_temp",)]


def test_every_variable_that_the_server_knows_has_the_value_that_we_need(bench: Bench) -> None:
    database = bench.rehome()
    found = values_in(database, bench.engine)
    wanted = VARIABLES[bench.engine]
    for name, value in found.items():
        assert value.upper() == wanted[name].value.upper() or float(value) == float(wanted[name].value), name
    assert len(found) > len(wanted) * 0.6


@only("sqlite")
def test_rows_that_would_break_a_foreign_key_of_sqlite_are_refused(bench: Bench) -> None:
    bench.execute("CREATE TABLE parents (path TEXT PRIMARY KEY)")
    bench.create(column="path TEXT REFERENCES parents (path)")
    bench.execute("INSERT INTO parents VALUES ('image/a')")
    bench.fill("image/a")
    database = bench.rehome()
    database.create_journal(bench.schema)
    facts = database.describe(bench.table, "path")
    outcome = ChunkOutcome()
    rewrite_chunk(
        database, facts, [Change((1,), "image/a", "avatar/a")], JournalTarget(bench.schema, "m", "f" * 64), outcome
    )
    assert [refusal.change.key for refusal in outcome.refused] == [(1,)]
    assert bench.values() == ["image/a"]
    assert sqlite3.sqlite_version_info >= (3, 33)

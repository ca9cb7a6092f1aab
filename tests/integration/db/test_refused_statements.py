"""What a server refuses is told for its own reason: never as passed, and as a missing right only if it is one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from rehome.checks import Check
from rehome.config.settings import Database
from rehome.db.dialect import DatabaseError, MissingRightError, RetryableError, TableFacts
from rehome.db.engines.open import connect
from rehome.db.engines.open_inspector import inspector
from rehome.preflight.column import Column, inspect_column, inspect_rights

from tests.integration.db.conftest import Bench
from tests.integration.db.conftest import only as with_engines
from tests.integration.db.inspecting import IMAGES, altered, column_checks, named, only


def said(checks: list[Check]) -> str:
    return "\n".join(f"{check.status} {check.name}: {check.found}. {check.advice}" for check in checks)


@contextmanager
def published(bench: Bench, table: str | None = None, options: str = "") -> Iterator[str]:
    name = f"p_{bench.table}"
    bench.execute(f"CREATE PUBLICATION {name} FOR TABLE {table or bench.table}{options}")
    try:
        yield name
    finally:
        bench.execute(f"DROP PUBLICATION {name}")


@with_engines("postgresql")
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_published_table_without_replica_identity_stops_and_no_right_is_asked_for(
    bench: Bench, dry_run: bool
) -> None:
    bench.execute(f"CREATE TABLE {bench.table} (id BIGINT NOT NULL UNIQUE, path TEXT)")
    bench.fill("image/a.png", "image/b.png")
    with published(bench) as name:
        checks = column_checks(bench, dry_run=dry_run)
    check = only(checks, "publications", "stop")
    assert name in check.found and f"ALTER TABLE {bench.table} REPLICA IDENTITY" in check.advice
    only(checks, "grants", "pass")
    assert "replica identity" in only(checks, "plan: update", "info").found
    assert "GRANT" not in said([check for check in checks if check.status == "stop"])
    bench.execute(f"ALTER TABLE {bench.table} REPLICA IDENTITY FULL")
    with published(bench):
        assert not [check for check in column_checks(bench) if check.status in ("stop", "warn")]


@with_engines("postgresql")
def test_a_user_who_may_only_read_learns_of_it_too(bench: Bench, modest: Callable[..., dict[str, str]]) -> None:
    bench.execute(f"CREATE TABLE {bench.table} (id BIGINT NOT NULL UNIQUE, path TEXT)")
    bench.fill("image/a.png")
    login = modest("SELECT (id, path)")
    with published(bench):
        checks = column_checks(bench, login=login, dry_run=True)
    only(checks, "publications", "stop")
    assert "missing" in only(checks, "grants", "info").found
    assert "denied" in only(checks, "plan: update", "info").found


@with_engines("postgresql")
@pytest.mark.parametrize(
    ("table", "change", "options", "status"),
    [
        ("id BIGINT PRIMARY KEY", "REPLICA IDENTITY NOTHING", "", "stop"),
        ("id BIGINT PRIMARY KEY DEFERRABLE, k BIGINT NOT NULL UNIQUE", "REPLICA IDENTITY DEFAULT", "", "stop"),
        ("id BIGINT NOT NULL UNIQUE", "REPLICA IDENTITY NOTHING", " WITH (publish = 'insert, delete')", "pass"),
        ("id BIGINT PRIMARY KEY", "REPLICA IDENTITY DEFAULT", "", "pass"),
    ],
)
def test_the_replica_identity_and_what_is_published_decide(
    bench: Bench, table: str, change: str, options: str, status: str
) -> None:
    bench.execute(f"CREATE TABLE {bench.table} ({table}, path TEXT)")
    bench.execute(f"ALTER TABLE {bench.table} {change}")
    values = ", ".join(["1"] * table.count("BIGINT"))
    bench.execute(f"INSERT INTO {bench.table} VALUES ({values}, 'image/a.png')")
    with published(bench, options=options):
        only(column_checks(bench), "publications", status)


@with_engines("postgresql")
@pytest.mark.parametrize("through_root", ["true", "false"])
def test_a_partition_needs_an_identity_of_its_own(bench: Bench, through_root: str) -> None:
    bench.execute(f"CREATE TABLE {bench.table} (id BIGINT PRIMARY KEY, path TEXT) PARTITION BY HASH (id)")
    bench.execute(f"CREATE TABLE p1_{bench.table} PARTITION OF {bench.table} FOR VALUES WITH (MODULUS 1, REMAINDER 0)")
    bench.execute(f"ALTER TABLE p1_{bench.table} REPLICA IDENTITY NOTHING")
    bench.fill("image/a.png")
    with published(bench, options=f" WITH (publish_via_partition_root = {through_root})"):
        assert f"p1_{bench.table}" in only(column_checks(bench), "publications", "stop").advice


@with_engines("postgresql")
def test_a_publication_whose_filter_is_no_part_of_the_identity_stops_in_the_servers_words(bench: Bench) -> None:
    if bench.execute("SELECT current_setting('server_version_num')::int < 150000") == [(True,)]:
        pytest.skip("publications have filters from PostgreSQL 15 on")
    bench.create()
    bench.fill("image/a.png")
    with published(bench, options=" WHERE (path <> '')"):
        checks = column_checks(bench)
    check = only(checks, "plan: update", "stop")
    assert "SQLSTATE 42P10" in check.found and "publication's WHERE" in check.advice
    only(checks, "grants", "pass")


@with_engines("postgresql")
def test_a_denial_though_all_rights_on_the_column_are_held_advises_no_grant_of_them(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png")
    bench.execute(f"ALTER TABLE {bench.table} ENABLE ROW LEVEL SECURITY")
    database = bench.rehome()
    database.run("SET row_security = off")
    facts = database.describe(bench.table, "path")
    checks = inspect_rights(database, inspector(database, bench.settings()), Column(facts, "r", IMAGES, False))
    check = only(checks, "rewrite", "stop")
    assert "row-level security" in check.found and "a policy" in check.advice
    only(checks, "grants", "pass")


@with_engines("mariadb")
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_read_only_server_is_no_missing_right(bench: Bench, dry_run: bool) -> None:
    bench.create()
    bench.fill("image/a.png")
    with altered(bench, "SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"):
        checks = column_checks(bench, dry_run=dry_run)
    assert only(checks, "grants", "info").found.startswith("unknown: ")
    refused = only(checks, "plan: update", "warn" if dry_run else "stop")
    assert "--read-only" in refused.found and "Connect to the primary" in refused.advice
    assert "GRANT" not in said(checks)


@with_engines("mariadb")
def test_a_session_that_is_read_only_is_no_missing_right(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png")
    database = bench.rehome()
    database.run("SET SESSION TRANSACTION READ ONLY")
    facts = database.describe(bench.table, "path")
    refused = database.update_refusal(facts)
    assert refused is not None and refused.code == "1792"
    checks = inspect_column(database, inspector(database, bench.settings()), Column(facts, "r", IMAGES, False))
    assert "error 1792" in only(checks, "rewrite", "stop").found
    assert "GRANT" not in said([check for check in checks if check.status == "stop"])


@with_engines("mariadb", "postgresql")
def test_a_table_that_another_session_locks_is_unknown(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png")
    if bench.engine == "mariadb":
        patience, lock, code = "lock_wait_timeout = 1, innodb_lock_wait_timeout = 1", "LOCK TABLES {} WRITE", "1205"
    else:
        patience, lock, code = "lock_timeout = 10", "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", "55P03"
    database = bench.rehome()
    facts = database.describe(bench.table, "path")
    database.run(f"SET SESSION {patience}")
    application = bench.another_admin()
    application.cursor().execute(lock.format(bench.table))
    try:
        checks = inspect_column(database, inspector(database, bench.settings()), Column(facts, "r", IMAGES, False))
    finally:
        application.close()
    assert all(code in check.found for check in (*named(checks, "rewrite"), *named(checks, "statements")))
    assert only(checks, "rewrite", "info").found.startswith("unknown: ")
    assert not [check for check in checks if check.status == "stop"]


@with_engines("sqlite")
def test_a_file_that_cannot_be_written_is_a_missing_right_of_the_file_system(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png")
    bench._admin.commit()  # type: ignore[attr-defined]
    database = bench.rehome()
    facts = database.describe(bench.table, "path")
    database.run("PRAGMA query_only = ON")
    assert isinstance(database.update_refusal(facts), MissingRightError)
    checks = inspect_rights(database, inspector(database, bench.settings()), Column(facts, "r", IMAGES, False))
    assert "write access" in only(checks, "rewrite", "stop").advice


@with_engines("sqlite")
def test_a_file_that_another_process_writes_is_unknown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rehome.db.engines.sqlite.dialect.BUSY_TIMEOUT_S", 0.0)
    bench.create()
    bench.fill("image/a.png")
    bench._admin.commit()  # type: ignore[attr-defined]
    path = bench.settings().path
    assert path
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        checks = column_checks(bench)
    finally:
        other.close()
    assert "locked" in only(checks, "rewrite", "info").found


class _Refusing:
    """An inspector of which every question that goes to the server is answered with an error."""

    hides_columns = False

    def __init__(self, error: DatabaseError) -> None:
        self._error = error

    def way_out(self, error: DatabaseError, place: str) -> str:
        return f"look at {place}"

    def judged_by(self, error: DatabaseError) -> None:
        return None

    def __getattr__(self, _name: str) -> Any:
        def refuse(*_: object) -> Any:
            raise self._error

        return refuse


@pytest.mark.parametrize("error", [DatabaseError("odd"), MissingRightError("no"), RetryableError("locked")])
@pytest.mark.parametrize("dry_run", [True, False])
@with_engines("sqlite")
def test_nothing_passes_that_the_server_refuses_to_tell(bench: Bench, error: DatabaseError, dry_run: bool) -> None:
    bench.create()
    database: Any = bench.rehome()
    facts: TableFacts = database.describe(bench.table, "path")

    class Refused:
        def update_refusal(self, _facts: TableFacts) -> DatabaseError:
            return error

    checks = inspect_column(Refused(), _Refusing(error), Column(facts, "r", IMAGES, dry_run))  # type: ignore[arg-type]
    # what `describe` has read is known
    assert {check.name for check in checks if check.status == "pass"} <= {"key", "triggers"}, said(checks)
    assert {check.status for check in checks if "unknown" in check.found} == {"info"}


@with_engines("postgresql")
def test_a_function_that_only_others_may_execute_takes_the_lock_away(bench: Bench) -> None:
    settings: Database = replace(bench.settings())
    superuser = bench._connect_as("postgres")  # type: ignore[attr-defined]
    lock = "FUNCTION pg_try_advisory_lock(bigint)"
    with superuser as connection:
        connection.execute(f"REVOKE EXECUTE ON {lock} FROM PUBLIC")
        connection.commit()
        try:
            with connect(settings) as database:
                check = only(inspector(database, settings).server_checks(dry_run=False), "lock", "stop")
        finally:
            connection.execute(f"GRANT EXECUTE ON {lock} TO PUBLIC")
    assert f"GRANT EXECUTE ON {lock}" in check.advice

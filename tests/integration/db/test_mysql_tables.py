"""What MySQL 8 and 9 have and MariaDB has not: in tables, in accounts, and in what is set for the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rehome.checks import Check, refusals
from rehome.db.dialect import UnusableTableError
from rehome.db.work.chunk import ChunkOutcome
from rehome.preflight import column as judging
from rehome.preflight.preflight import _database
from rehome.progress import Progress

from tests.integration.db.conftest import Bench
from tests.integration.db.conftest import only as with_engines
from tests.integration.db.inspecting import altered, column_checks, named, only, server_checks, troubles
from tests.integration.db.rows import Rows
from tests.integration.db.test_rewrite import planned, rewrite

pytestmark = [pytest.mark.product("mysql"), with_engines("mariadb")]


def preflight(bench: Bench, rows: Rows, *, dry_run: bool = False, user: str = "migrate") -> list[Check]:
    """Return what the preflight of a run finds about the database."""
    made = replace(rows.settings(), database=bench.settings(user))
    return _database(made, dry_run, dry_run, Progress(rows.folder))[0]


def key_names(bench: Bench) -> list[str]:
    return [part.name for part in bench.rehome().describe(bench.table, "path").key]


# Plans


@contextmanager
def presets(bench: Bench, **values: str) -> Iterator[None]:
    before = {name: bench.execute(f"SELECT @@GLOBAL.{name}")[0][0] for name in values}
    for name, value in values.items():
        bench.execute(f"SET GLOBAL {name} = ?", value)
    try:
        yield
    finally:
        for name, value in before.items():
            bench.execute(f"SET GLOBAL {name} = ?", value)


@pytest.mark.parametrize(
    "given",
    [
        {"explain_format": "TREE"},
        {"explain_format": "JSON"},
        {"optimizer_switch": "hypergraph_optimizer=on"},
    ],
    ids=str,
)
def test_plans_are_read_whatever_form_and_optimizer_the_server_prefers(
    bench: Bench, given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "FEW_ROWS", 1_000)
    bench.create()
    bench.fill(*(f"image/{number}.png" for number in range(3_000)))
    with presets(bench, **given):
        checks = column_checks(bench)
    assert troubles(checks) == []
    for name in ("read", "lock", "update"):
        assert only(checks, f"plan: {name}", "pass").found.startswith("range by PRIMARY")


# Collations


@pytest.mark.parametrize(
    ("collation", "taken", "status"),
    [
        ("0900_ai_ci", "Avatar/á.png", "warn"),
        ("0900_as_ci", "Avatar/a.png", "warn"),
        ("0900_as_ci", "avatar/á.png", "pass"),
        ("0900_as_cs", "Avatar/a.png", "pass"),
        ("0900_bin", "Avatar/a.png", "pass"),
        # those of 8 and 9 do not pad, as the older ones do
        ("0900_ai_ci", "avatar/a.png ", "pass"),
        ("0900_bin", "avatar/a.png ", "pass"),
        ("general_ci", "avatar/a.png ", "warn"),
    ],
)
def test_the_collations_of_8_and_9_decide_what_collides(bench: Bench, collation: str, taken: str, status: str) -> None:
    bench.create(column=f"path VARCHAR(100) COLLATE utf8mb4_{collation} NOT NULL UNIQUE")
    bench.fill("image/a.png", taken)
    checks = column_checks(bench)
    only(checks, "unique indexes", status)
    assert ("trailing spaces" in only(checks, "collation", "pass").found) is (collation == "general_ci")


# Keys


def test_a_generated_invisible_primary_key_is_used(bench: Bench, modest: Callable[..., dict[str, str]]) -> None:
    with presets(bench, show_gipk_in_create_table_and_information_schema="OFF"):
        bench.execute("SET SESSION sql_generate_invisible_primary_key = ON")
        bench.execute(f"CREATE TABLE {bench.table} (path VARCHAR(255))")
        bench.execute("SET SESSION sql_generate_invisible_primary_key = OFF")
        bench.execute("INSERT INTO T (path) VALUES ('image/a.png'), ('image/b.png')")
        assert key_names(bench) == ["my_row_id"]
        login = modest("SELECT (my_row_id, path)", "UPDATE (path)")
        only(column_checks(bench, login=login), "key", "pass")
        assert rewrite(bench, planned(bench)) == ChunkOutcome(rewritten=2)
    assert bench.execute("SELECT my_row_id, path FROM T ORDER BY 1") == [(1, "avatar/a.png"), (2, "avatar/b.png")]


def test_an_invisible_key_and_an_invisible_column_are_used(bench: Bench) -> None:
    bench.create(key="id BIGINT NOT NULL PRIMARY KEY INVISIBLE, shown INT", column="path VARCHAR(255) INVISIBLE")
    bench.execute("INSERT INTO T (id, path) VALUES (1, 'image/a.png')")
    assert troubles(column_checks(bench)) == []
    assert rewrite(bench, planned(bench)) == ChunkOutcome(rewritten=1)
    assert bench.execute("SELECT id, path FROM T ") == [(1, "avatar/a.png")]


def test_an_index_over_an_expression_is_no_key(bench: Bench) -> None:
    bench.create(key="id BIGINT NOT NULL", more=", UNIQUE u ((id + 1)), UNIQUE v ((coalesce(id, 0)), id)")
    with pytest.raises(UnusableTableError, match="no usable unique key"):
        bench.rehome().describe(bench.table, "path")
    bench.execute("ALTER TABLE T ADD UNIQUE w (id)")
    assert key_names(bench) == ["id"]


# Indexes over expressions, constraints


@pytest.mark.parametrize(
    ("index", "taken", "status"),
    [
        ("(lower(path))", "AVATAR/A.PNG", "warn"),
        ("(lower(path))", "AVATAR/B.PNG", "pass"),
        ("(concat(path, 'x%\\\\y'''))", "avatar/a.png", "warn"),
        ("(left(path, 8)), deleted", "avatar/ab", "warn"),
        ("(if(deleted, NULL, path))", "avatar/a.png", "warn"),
        ("(nullif(left(path, 1), 'a'))", "avatar/a.png", "pass"),
    ],
)
def test_a_unique_index_over_an_expression_is_computed(bench: Bench, index: str, taken: str, status: str) -> None:
    collation = "path VARCHAR(255) COLLATE utf8mb4_0900_bin"
    bench.create(column=collation, more=f", deleted INT NOT NULL DEFAULT 0, UNIQUE u ({index.replace('%', '%%')})")
    bench.fill("image/a.png", taken)
    checks = column_checks(bench)
    only(checks, "unique indexes", status)
    outcome = rewrite(bench, [change for change in planned(bench) if change.key == (1,)])
    assert (outcome.rewritten, len(outcome.refused)) == ((1, 0) if status == "pass" else (0, 1))


@pytest.mark.parametrize(
    ("constraint", "status"),
    [
        ("CHECK (path LIKE 'image/%')", "stop"),
        ("CHECK (path LIKE 'image/%') NOT ENFORCED", "pass"),
        ("CHECK (path NOT LIKE '%\\\\\\\\%')", "pass"),
        ("CHECK (path <> 'it''s a \\\\ and a %' AND regexp_like(path, '^[a-z]+/'))", "pass"),
        ("CHECK (json_valid(concat('\"', path, '\"')))", "pass"),
    ],
)
def test_check_constraints_are_read_as_they_are_meant(bench: Bench, constraint: str, status: str) -> None:
    bench.create(more=f", CONSTRAINT n_{bench.table} {constraint.replace('%', '%%')}")
    bench.fill("image/a.png")
    assert [check.status for check in named(column_checks(bench), "check constraints")] == [status]
    outcome = rewrite(bench, planned(bench))
    assert (outcome.rewritten, len(outcome.refused)) == ((1, 0) if status == "pass" else (0, 1))


def test_a_foreign_key_that_another_column_follows_does_not_hinder(bench: Bench) -> None:
    """From 9.6 on they are enforced above InnoDB."""
    owners = f"o_{bench.table}"
    bench.execute(f"CREATE TABLE {owners} (id BIGINT PRIMARY KEY)")
    bench.execute(f"INSERT INTO {owners} VALUES (1)")
    bench.create(more=f", owner BIGINT DEFAULT 1, FOREIGN KEY (owner) REFERENCES {owners} (id) ON DELETE CASCADE")
    bench.fill("image/a.png")
    assert troubles(column_checks(bench)) == []
    assert rewrite(bench, planned(bench)) == ChunkOutcome(rewritten=1)
    bench.execute(f"DELETE FROM {owners}")
    assert bench.values() == []
    bench.execute("DROP TABLE T ")
    bench.execute(f"DROP TABLE {owners}")


def test_a_json_column_is_refused_by_its_type(bench: Bench) -> None:
    bench.create(column="path JSON")
    with pytest.raises(UnusableTableError, match="is of type json, which holds no text"):
        bench.rehome().describe(bench.table, "path")


# Accounts


def test_a_role_that_everybody_has_and_that_is_active_at_login_counts(
    bench: Bench, modest: Callable[..., dict[str, str]]
) -> None:
    bench.create()
    bench.fill("image/a.png")
    role = f"r_{bench.table}"
    login = modest("SELECT (id)")
    bench.execute(f"CREATE ROLE {role}")
    bench.execute(f"GRANT SELECT, UPDATE ON app.{bench.table} TO {role}")
    try:
        with presets(bench, mandatory_roles=role, activate_all_roles_on_login="ON"):
            only(column_checks(bench, login=login), "grants", "pass")
    finally:
        bench.execute(f"DROP ROLE {role}")


# Servers that take no writes


READ_ONLY = {
    "super_read_only": ("SET GLOBAL super_read_only = 1", "SET GLOBAL super_read_only = 0, GLOBAL read_only = 0"),
    "read_only": ("SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"),
    "schema": ("ALTER SCHEMA app READ ONLY = 1", "ALTER SCHEMA app READ ONLY = 0"),
}


@pytest.mark.parametrize("how", READ_ONLY)
@pytest.mark.parametrize("user", ["migrate", "admin"])
def test_a_server_that_takes_no_writes_is_told_once_and_no_right_is_blamed(
    bench: Bench, tmp_path: Path, how: str, user: str
) -> None:
    bench.create()
    bench.fill("image/a.png")
    with closing(Rows(bench, tmp_path)) as rows:
        with altered(bench, *READ_ONLY[how]):
            checks = preflight(bench, rows, user=user)
            dry = preflight(bench, rows, user=user, dry_run=True)
        assert not refusals(preflight(bench, rows, user=user))
    (stopping,) = [check for check in checks if check.status == "stop"]
    assert (stopping.subject, stopping.name) == ("database", "read-only")
    assert ("schema app is READ ONLY" if how == "schema" else how) in stopping.found
    assert ("ALTER SCHEMA `app` READ ONLY = 0" in stopping.advice) is (how == "schema")
    assert "GRANT" not in " ".join(str(finding) for finding in refusals(checks))
    assert not [check for check in (*checks, *dry) if check.status == "pass" and check.found.startswith("unknown")]
    assert not refusals(dry)


def test_a_server_of_the_other_product_is_told_and_works(bench: Bench) -> None:
    found = only(server_checks(bench.settings(engine="mariadb")), "engine", "info")
    assert "the server is MySQL" in found.found and "rehome_database.engine says mariadb" in found.found
    assert "set rehome_database.engine to mysql" in found.advice
    assert not named(server_checks(bench.settings()), "engine")

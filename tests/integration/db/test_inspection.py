"""Each problem that a table or a server can have, on a real one that has it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rehome.config.settings import Database, Reference
from rehome.db.dialect import Change, UnusableTableError
from rehome.db.engines.open import connect
from rehome.db.engines.open_inspector import inspector
from rehome.db.server_checks import is_older
from rehome.errors import Finding
from rehome.mapping.keymap import KeyMap
from rehome.mapping.value_map import ValueMap
from rehome.preflight import column as judging
from rehome.preflight.column import Column, inspect_column
from rehome.preflight.preflight import _describe

from sandbox.mariadb import MariaDB
from sandbox.postgresql import PostgreSQL
from tests.integration.db.conftest import Bench
from tests.integration.db.inspecting import (
    IMAGES,
    SERVERS,
    altered,
    column_checks,
    named,
    only,
    server_checks,
    troubles,
)
from tests.statements import execute_as


def test_a_table_without_trouble_has_none(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png", "other", None)
    checks = column_checks(bench)
    assert troubles(checks) == []
    assert "4, of which 2 begin with 'image/'" in only(checks, "rows", "pass").found
    assert "id (integer)" in only(checks, "key", "pass").found
    assert "has 12 of 255" in only(checks, "length", "pass").found if bench.engine != "sqlite" else True
    assert {"plan: read", "plan: lock"} <= {check.name for check in checks}


def test_an_empty_table_has_no_trouble(bench: Bench) -> None:
    bench.create()
    assert troubles(column_checks(bench)) == []


def test_inspecting_writes_nothing_and_leaves_no_lock(bench: Bench) -> None:
    bench.create(column="path VARCHAR(255) NOT NULL UNIQUE")
    bench.fill("image/a.png", "avatar/a.png")
    column_checks(bench)
    assert bench.values() == ["image/a.png", "avatar/a.png"]
    bench.execute("UPDATE T SET path = 'image/b.png' WHERE id = 1")


def test_look_alikes_of_the_prefix_are_reported(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "Image/b.png", "IMAGE/c.png")
    found = only(column_checks(bench), "look-alikes", "info").found
    assert found.startswith("2 values begin with 'image/' only if case and accents are ignored")


def test_a_prefix_with_wildcards_means_itself(bench: Bench) -> None:
    bench.create()
    bench.fill("im_ge%|/a.png", "image/b.png", "imAge%|/c.png")
    values = ValueMap(KeyMap("im_ge%|/", "avatar/"))
    assert "3, of which 1 begin" in only(column_checks(bench, values=values), "rows", "pass").found


@pytest.mark.parametrize("bench", sorted(SERVERS), indirect=True)
def test_values_that_would_be_too_long_are_counted_without_those_outside_the_map(bench: Bench) -> None:
    bench.create(column="path VARCHAR(16)")
    bench.fill("image/1234.png", "image/123456.png", "image/123456.gif")
    found = only(column_checks(bench), "length", "warn").found
    assert found.startswith("1 values would be longer than 16") and "avatar/123456.png" in found
    bench.execute("DELETE FROM T WHERE id = 2")
    only(column_checks(bench), "length", "pass")


def test_a_bytes_limit_counts_bytes(bench: Bench) -> None:
    if bench.engine == "mariadb":
        bench.create(column="path TINYTEXT")
        bench.fill("image/" + "é" * 122 + ".png")
        only(column_checks(bench), "length", "pass")
        only(column_checks(bench, values=ValueMap(KeyMap("image/", "avatars/"))), "length", "warn")
        return
    bench.create(column="path TEXT")
    bench.fill("image/" + "é" * 122 + ".png")
    assert "no limit" in only(column_checks(bench), "length", "pass").found


def test_a_new_value_that_is_taken_is_reported(bench: Bench) -> None:
    bench.create(column="path VARCHAR(100) NOT NULL UNIQUE")
    bench.fill("image/a.png", "avatar/a.png", "image/b.png", "image/c.gif", "avatar/c.gif")
    found = only(column_checks(bench), "unique indexes", "warn").found
    assert "1 rows would get a value that is taken, such as 'image/a.png', by 'avatar/a.png'" in found


def test_rows_outside_the_operators_condition_are_not_counted(bench: Bench) -> None:
    bench.create(column="path VARCHAR(100) NOT NULL UNIQUE")
    bench.fill("image/a.png", "avatar/a.png", "image/b.png", "Image/c.png")
    only(column_checks(bench), "unique indexes", "warn")
    checks = column_checks(bench, where="id > 2 AND path NOT LIKE '%?%'")
    assert "2, of which 1 begin" in only(checks, "rows", "pass").found
    only(checks, "unique indexes", "pass")
    assert all(check.status == "pass" for check in named(checks, "statements"))


def test_a_unique_index_without_collisions_passes(bench: Bench) -> None:
    bench.create(column="path VARCHAR(100) NOT NULL UNIQUE")
    bench.fill("image/a.png", "avatar/b.png", "image/A.gif")
    assert "no new value is taken" in only(column_checks(bench), "unique indexes", "pass").found


def test_a_row_does_not_collide_with_itself(bench: Bench) -> None:
    collate = {"mariadb": "", "postgresql": "", "sqlite": " COLLATE NOCASE"}[bench.engine]
    bench.create(column=f"path VARCHAR(100){collate} NOT NULL UNIQUE")
    bench.fill("image/a.png", "image/b.png")
    only(column_checks(bench, values=ValueMap(KeyMap("image/", "IMAGE/"))), "unique indexes", "pass")


@pytest.mark.parametrize(
    ("bench", "taken"),
    [
        *(("mariadb", value) for value in ("Avatar/A.png", "avatar/á.png", "avatar/a.png ")),
        ("sqlite", "AVATAR/a.png"),
    ],
    indirect=["bench"],
)
def test_twins_collide_under_the_columns_own_collation(bench: Bench, taken: str) -> None:
    collate = " COLLATE NOCASE" if bench.engine == "sqlite" else ""
    bench.create(column=f"path VARCHAR(100){collate} NOT NULL UNIQUE")
    bench.fill("image/a.png", taken)
    assert repr(taken) in only(column_checks(bench), "unique indexes", "warn").found


@pytest.mark.parametrize("bench", ["mariadb"], indirect=True)
@pytest.mark.parametrize(("collation", "status"), [("utf8mb4_bin", "pass"), ("utf8mb4_unicode_ci", "warn")])
def test_the_collation_decides_what_collides(bench: Bench, collation: str, status: str) -> None:
    bench.create(column=f"path VARCHAR(100) COLLATE {collation} NOT NULL UNIQUE")
    bench.fill("image/a.png", "Avatar/a.png")
    only(column_checks(bench), "unique indexes", status)


def test_an_index_over_more_columns_collides_only_if_all_are_equal(bench: Bench) -> None:
    bench.create(more=", owner BIGINT, UNIQUE (owner, path)")
    for number, (path, owner) in enumerate(
        [("image/a.png", 1), ("avatar/a.png", 2), ("image/b.png", 3), ("avatar/b.png", 3)], 1
    ):
        bench.execute("INSERT INTO T (id, path, owner) VALUES (?, ?, ?)", number, path, owner)
    found = only(column_checks(bench), "unique indexes", "warn").found
    assert "1 rows" in found and "image/b.png" in found


@pytest.mark.parametrize("bench", ["mariadb"], indirect=True)
def test_a_unique_prefix_index_truncates_longer_values_to_the_same(bench: Bench) -> None:
    bench.create(column="path VARCHAR(100) NOT NULL", more=", UNIQUE cut (path(10))")
    bench.fill("image/abc1.png", "image/abc2.png", "image/xyz.png")
    only(column_checks(bench, values=ValueMap(KeyMap("image/", "photo/"))), "unique indexes", "pass")
    found = only(column_checks(bench), "unique indexes", "warn").found
    assert "cut (path(10))" in found and "by another new value" in found


@pytest.mark.parametrize("bench", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("index", "taken", "status"),
    [
        ("(lower(path))", "AVATAR/A.PNG", "warn"),
        ("(left(path, 8))", "avatar/ab", "warn"),
        ("(lower(path)) WHERE deleted IS NULL", "AVATAR/A.PNG", "pass"),
        ("(path) WHERE deleted IS NOT NULL", "avatar/a.png", "pass"),
    ],
)
def test_expression_and_partial_unique_indexes_are_computed(bench: Bench, index: str, taken: str, status: str) -> None:
    bench.create(more=", deleted DATE")
    bench.execute(f"CREATE UNIQUE INDEX ON T {index}")
    bench.execute("INSERT INTO T VALUES (1, 'image/a.png', NULL), (2, ?, '2020-01-01')", taken)
    only(column_checks(bench), "unique indexes", status)


@pytest.mark.parametrize("bench", ["sqlite"], indirect=True)
def test_a_unique_index_that_cannot_be_computed_is_unknown(bench: Bench) -> None:
    bench.create()
    bench.execute(f"CREATE UNIQUE INDEX u ON {bench.table} (lower(path))")
    bench.fill("image/a.png", "AVATAR/a.png")
    assert only(column_checks(bench), "unique indexes", "info").found.startswith("unknown: ")


def test_a_trigger_is_reported(bench: Bench) -> None:
    bench.create()
    table = bench.table
    for statement in {
        "mariadb": [f"CREATE TRIGGER tr BEFORE UPDATE ON {table} FOR EACH ROW SET @a = 1"],
        "postgresql": [
            "CREATE OR REPLACE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            f"CREATE TRIGGER tr BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION seen()",
        ],
        "sqlite": [f"CREATE TRIGGER tr AFTER UPDATE ON {table} BEGIN SELECT 1; END"],
    }[bench.engine]:
        bench.execute(statement)
    assert "has the trigger tr" in only(column_checks(bench), "triggers", "warn").found


@pytest.mark.parametrize("rule", ["CASCADE", "SET NULL", "RESTRICT", "NO ACTION"])
def test_a_foreign_key_to_the_column_stops(bench: Bench, rule: str) -> None:
    bench.create(column="path VARCHAR(100) NOT NULL UNIQUE")
    bench.execute(
        f"CREATE TABLE c_{bench.table} (id BIGINT PRIMARY KEY, path VARCHAR(100), "
        f"FOREIGN KEY (path) REFERENCES {bench.table} (path) ON UPDATE {rule})"
    )
    try:
        check = only(column_checks(bench), "foreign keys", "stop")
    finally:
        bench.execute(f"DROP TABLE c_{bench.table}")
    assert f"c_{bench.table}.path" in check.found and f"ON UPDATE {rule}" in check.found
    assert check.setting == "rehome_references[0]"


def test_a_foreign_key_of_the_column_stops_while_the_parent_lacks_the_new_values(bench: Bench) -> None:
    parent = f"p_{bench.table}"
    bench.execute(f"CREATE TABLE {parent} (path VARCHAR(100) NOT NULL PRIMARY KEY)")
    bench.create(column="path VARCHAR(100)", more=f", FOREIGN KEY (path) REFERENCES {parent} (path)")
    bench.execute(f"INSERT INTO {parent} VALUES ('image/a.png')")
    bench.fill("image/a.png")
    try:
        assert "lacks the new values" in only(column_checks(bench), "foreign keys", "stop").found
        bench.execute(f"INSERT INTO {parent} VALUES ('avatar/a.png')")
        # this user of MariaDB and MySQL does not see the foreign keys of other databases' tables
        status = "info" if bench.engine == "mariadb" else "pass"
        assert "has every new value" in only(column_checks(bench), "foreign keys", status).found
    finally:
        bench.execute(f"DROP TABLE {bench.table}")
        bench.execute(f"DROP TABLE {parent}")


def test_generated_columns_are_reported(bench: Bench) -> None:
    kind = "PERSISTENT" if bench.product == "mariadb" else "STORED"
    bench.create(
        more=f", g VARCHAR(30) GENERATED ALWAYS AS (upper(path)) {kind}, h BIGINT GENERATED ALWAYS AS (id) {kind}"
    )
    found = only(column_checks(bench), "generated columns", "warn").found
    assert found.startswith("g: " if bench.engine != "sqlite" else "g, h: ")


MYSQL_EXTRAS = [
    "path VARCHAR(255) DEFAULT (concat('image/', 'none.png'))",
    "path VARCHAR(255) INVISIBLE",
    "path VARCHAR(255) NOT NULL DEFAULT (lower('IMAGE/none.png')) INVISIBLE",
]


@pytest.mark.parametrize("bench", ["mariadb"], indirect=True)
@pytest.mark.parametrize("column", MYSQL_EXTRAS)
def test_a_column_with_a_computed_default_or_an_invisible_one_is_no_generated_one(bench: Bench, column: str) -> None:
    bench.create(column=column)
    bench.fill("image/a.png")
    assert troubles(column_checks(bench)) == []


@pytest.mark.parametrize("kind", ["VIRTUAL", "STORED", "VIRTUAL INVISIBLE"])
@pytest.mark.parametrize("bench", ["mariadb"], indirect=True)
def test_a_generated_column_cannot_be_rewritten(bench: Bench, kind: str) -> None:
    bench.create(column=f"name VARCHAR(99), path VARCHAR(255) AS (concat('image/', name)) {kind}")
    with pytest.raises(UnusableTableError, match="is generated from others"):
        bench.rehome().describe(bench.table, "path")


@pytest.mark.parametrize("bench", ["mariadb"], indirect=True)
def test_a_key_that_is_computed_from_the_column_is_none(bench: Bench) -> None:
    # MariaDB takes no NOT NULL there, so that they are none anyway
    kind = "STORED NOT NULL UNIQUE" if bench.product == "mysql" else "STORED UNIQUE"
    computed = f"a VARCHAR(32) AS (left(path, 9)) {kind}, b VARCHAR(40) AS (upper(a)) {kind}"
    bench.create(key=computed, column="path VARCHAR(255) NOT NULL")
    with pytest.raises(UnusableTableError, match="no usable unique key"):
        bench.rehome().describe(bench.table, "path")
    bench.execute("ALTER TABLE T ADD COLUMN z BIGINT NOT NULL UNIQUE")
    assert [part.name for part in bench.rehome().describe(bench.table, "path").key] == ["z"]


@pytest.mark.parametrize("bench", ["mariadb"], indirect=True)
def test_a_unique_index_over_what_is_computed_from_the_column_is_computed_for_the_new_values(bench: Bench) -> None:
    bench.create(
        more=", low VARCHAR(99) AS (lower(path)) STORED, cut VARCHAR(99) COLLATE utf8mb4_bin AS (left(low, 9)) STORED"
        ", owner INT, UNIQUE u (cut, owner)"
    )
    rows = [("image/aBC.png", 1), ("AVATAR/ab", 1), ("image/xyz.png", 2), ("avatar/xy", 3)]
    for number, (path, owner) in enumerate(rows, 1):
        bench.execute("INSERT INTO T (id, path, owner) VALUES (?, ?, ?)", number, path, owner)
    found = only(column_checks(bench), "unique indexes", "warn").found
    assert found.startswith("u (cut, owner): 1 rows would get a value that is taken, such as 'image/aBC.png'")
    bench.execute("DELETE FROM T WHERE id = 1")
    bench.execute("INSERT INTO T (id, path) VALUES (5, 'avatar/xy'), (6, 'image/xyz.png')")
    only(column_checks(bench), "unique indexes", "pass")


@pytest.mark.parametrize("bench", ["mariadb"], indirect=True)
def test_a_check_over_what_is_computed_from_the_column_is_computed_for_the_new_values(bench: Bench) -> None:
    bench.create(more=r", head VARCHAR(99) AS (left(path, 7)) STORED, CHECK (head NOT IN ('avatar/', 'it''s\\'))")
    bench.fill("image/a.png")
    assert "refuses 1 of 1" in only(column_checks(bench), "check constraints", "stop").found


# What only some databases have


@pytest.mark.product("mariadb")
@pytest.mark.parametrize("bench", ["mariadb"], indirect=True)
def test_a_system_versioned_table_is_reported_and_can_be_rewritten(bench: Bench) -> None:
    bench.execute(
        f"CREATE TABLE {bench.table} (id BIGINT NOT NULL PRIMARY KEY, path VARCHAR(255)) WITH SYSTEM VERSIONING"
    )
    bench.fill("image/a.png")
    assert "doubles" in only(column_checks(bench), "versions", "warn").found
    database = bench.rehome()
    facts = database.describe(bench.table, "path")
    with database.transaction():
        assert database.update(facts, [Change((1,), "image/a.png", "avatar/a.png")]) == 1
    assert bench.values() == ["avatar/a.png"]


@pytest.mark.parametrize("bench", sorted(SERVERS), indirect=True)
def test_a_partitioned_table_passes_if_the_column_is_not_its_partition_key(bench: Bench) -> None:
    partitions = {"mariadb": " PARTITION BY HASH (id) PARTITIONS 2", "postgresql": " PARTITION BY HASH (id)"}
    bench.execute(
        f"CREATE TABLE {bench.table} (id BIGINT NOT NULL PRIMARY KEY, path VARCHAR(255)){partitions[bench.engine]}"
    )
    if bench.engine == "postgresql":
        part = f"CREATE TABLE p_{bench.table} PARTITION OF {bench.table}"
        bench.execute(f"{part} FOR VALUES WITH (MODULUS 1, REMAINDER 0)")
    bench.fill("image/a.png")
    checks = column_checks(bench)
    assert troubles(checks) == []
    assert only(checks, "partitions", "pass").found != "none"


@pytest.mark.parametrize("bench", ["postgresql"], indirect=True)
def test_row_security_stops(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png")
    bench.execute(f"ALTER TABLE {bench.table} ENABLE ROW LEVEL SECURITY")
    check = only(column_checks(bench), "row security", "stop")
    assert check.setting == "rehome_database.user"
    assert "hide rows" in check.found


@pytest.mark.parametrize("bench", ["postgresql"], indirect=True)
def test_inheriting_tables_and_rules_stop(bench: Bench) -> None:
    bench.create()
    bench.execute(f"CREATE TABLE h_{bench.table} () INHERITS ({bench.table})")
    bench.execute(f"CREATE RULE quiet AS ON UPDATE TO {bench.table} DO INSTEAD NOTHING")
    checks = column_checks(bench, dry_run=True)
    assert f"inherited by h_{bench.table}" in only(checks, "partitions", "stop").found
    assert "the rule quiet" in only(checks, "rules", "stop").found


@pytest.mark.parametrize("bench", ["postgresql"], indirect=True)
def test_materialized_views_and_a_table_without_autovacuum_are_reported(bench: Bench) -> None:
    bench.create()
    bench.execute(f"CREATE MATERIALIZED VIEW v_{bench.table} AS SELECT path FROM {bench.table}")
    bench.execute(f"CREATE VIEW w_{bench.table} AS SELECT path FROM {bench.table}")
    bench.execute(f"ALTER TABLE {bench.table} SET (autovacuum_enabled = false)")
    checks = column_checks(bench)
    assert f"v_{bench.table}: " in only(checks, "materialized views", "warn").found
    only(checks, "autovacuum", "warn")


@pytest.mark.parametrize("bench", ["mariadb"], indirect=True)
def test_a_key_whose_index_the_server_ignores_stops_the_lock(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "FEW_ROWS", 1_000)
    ignored = "INVISIBLE" if bench.product == "mysql" else "IGNORED"
    bench.create("id BIGINT NOT NULL, UNIQUE z (id)", more=f", UNIQUE a (id) {ignored}")
    bench.fill(*(f"image/{number}" for number in range(2_000)))
    assert troubles(column_checks(bench)) == []
    bench.execute("DROP TABLE T ")
    bench.create("k BIGINT NOT NULL, UNIQUE z (k)", more=f", id BIGINT NOT NULL, UNIQUE a (id) {ignored}")
    rows = ", ".join(f"({number}, {number}, 'image/{number}')" for number in range(2_000))
    bench.execute(f"INSERT INTO T (k, id, path) VALUES {rows}")
    checks = column_checks(bench)
    assert {("plan: read", "warn"), ("plan: lock", "stop"), ("plan: update", "stop")} <= set(troubles(checks))


@pytest.mark.parametrize("bench", ["postgresql"], indirect=True)
def test_a_plan_that_does_not_use_the_key_stops(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "FEW_ROWS", 1_000)
    bench.create()
    bench.execute(f"INSERT INTO {bench.table} SELECT n, 'image/' || n FROM generate_series(1, 20000) AS n")
    bench.execute(f"ANALYZE {bench.table}")
    assert troubles(column_checks(bench)) == []
    off = "enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"
    with bench_role(bench, *off):
        assert {("plan: read", "warn"), ("plan: lock", "stop"), ("plan: update", "stop")} == set(
            troubles(column_checks(bench))
        )


@contextmanager
def bench_role(bench: Bench, *switches: str, value: str = "off") -> Iterator[None]:
    """Give Rehome's user these settings in its sessions."""
    for name in switches:
        bench.rehome_execute(f"ALTER ROLE migrate SET {name} = {value}")
    try:
        yield
    finally:
        for name in switches:
            bench.rehome_execute(f"SET TRANSACTION READ WRITE; ALTER ROLE migrate RESET {name}")


# Rights


@pytest.mark.parametrize("bench", sorted(SERVERS), indirect=True)
def test_column_rights_are_enough_and_what_they_hide_is_unknown(
    bench: Bench, modest: Callable[..., dict[str, str]]
) -> None:
    bench.create(more=", other BIGINT, KEY (path)" if bench.engine == "mariadb" else ", other BIGINT")
    bench.fill("image/a.png")
    checks = column_checks(bench, login=modest("SELECT (id, path)", "UPDATE (path)"))
    assert troubles(checks) == []
    only(checks, "grants", "pass")
    assert "1, of which 1 begin" in only(checks, "rows", "pass").found
    if bench.engine == "mariadb":
        assert "hidden" in only(checks, "foreign keys", "info").found
        assert "hidden" in only(checks, "generated columns", "info").found


@pytest.mark.parametrize("bench", ["mariadb"], indirect=True)
def test_a_column_without_an_index_has_no_foreign_key_for_any_user(
    bench: Bench, modest: Callable[..., dict[str, str]]
) -> None:
    bench.create()
    # REFERENCES shows all indexes; the names of those over other columns are hidden without it
    login = modest("SELECT (id, path)", "UPDATE (path)", "REFERENCES")
    only(column_checks(bench, login=login), "foreign keys", "pass")


@pytest.mark.parametrize("bench", sorted(SERVERS), indirect=True)
def test_a_missing_right_is_named_with_the_statement_that_grants_it(
    bench: Bench, modest: Callable[..., dict[str, str]]
) -> None:
    bench.create()
    login = modest("SELECT (id, path)")
    check = only(column_checks(bench, login=login), "grants", "stop")
    assert "may not rewrite" in check.found and "GRANT SELECT" in check.advice
    assert only(column_checks(bench, dry_run=True, login=login), "grants", "info").advice == check.advice
    bench.execute(check.advice.replace("%", "%%"))
    only(column_checks(bench, login=login), "grants", "pass")


@pytest.mark.parametrize("bench", ["mariadb"], indirect=True)
def test_a_missing_right_to_keep_a_column_is_named_with_the_way_around_it(
    bench: Bench, modest: Callable[..., dict[str, str]]
) -> None:
    bench.create(more=", seen TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP")
    login = modest("SELECT (id, path, seen)", "UPDATE (path)")
    check = only(column_checks(bench, login=login), "grants", "stop")
    assert "'seen'" in check.found
    assert "rehome_touch_updated_at: true and let seen change" in check.advice


# The server


@pytest.mark.parametrize("bench", sorted(SERVERS), indirect=True)
def test_a_server_without_trouble_has_none(bench: Bench) -> None:
    checks = server_checks(bench.settings())
    assert troubles(checks) == []
    only(checks, "version", "pass")


@pytest.mark.parametrize("bench", ["mariadb"], indirect=True)
def test_a_read_only_server_stops_a_run_and_not_a_dry_run(bench: Bench) -> None:
    with altered(bench, "SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"):
        assert "takes no writes" in only(server_checks(bench.settings()), "read-only", "stop").found
        only(server_checks(bench.settings(), dry_run=True), "read-only", "warn")


@pytest.mark.parametrize("bench", ["postgresql"], indirect=True)
def test_a_read_only_role_stops_a_run_and_not_a_dry_run(bench: Bench) -> None:
    with bench_role(bench, "default_transaction_read_only", value="on"):
        stopped = server_checks(bench.settings())
        warned = server_checks(bench.settings(), dry_run=True)
    only(stopped, "read-only", "stop")
    only(warned, "read-only", "warn")


@pytest.mark.parametrize("bench", ["mariadb"], indirect=True)
def test_a_small_packet_is_reported(bench: Bench) -> None:
    with altered(bench, "SET GLOBAL max_allowed_packet = 65536", "SET GLOBAL max_allowed_packet = 16777216"):
        only(server_checks(bench.settings()), "max_allowed_packet", "warn")


def test_an_idle_replication_slot_is_reported(postgresql: PostgreSQL) -> None:
    with postgresql._connect(postgresql.superuser, "app", autocommit=True) as superuser:
        superuser.execute("SELECT pg_create_physical_replication_slot('forgotten')")
        try:
            checks = server_checks(Database(**postgresql.database("migrate")))
        finally:
            superuser.execute("SELECT pg_drop_replication_slot('forgotten')")
    assert "forgotten" in only(checks, "replication slots", "warn").found


class Primary(MariaDB):
    """Start a MariaDB with a statement-based binary log, which a replica can follow."""

    name = "primary"

    def command(self) -> Sequence[str]:
        more = ["--log-bin=binary", "--server-id=1", "--binlog-format=STATEMENT"]
        return [*super().command(), *more]


class Replica(MariaDB):
    name = "replica"

    def command(self) -> Sequence[str]:
        return [*super().command(), "--server-id=2"]


def test_statement_based_logging_stops_and_replicas_on_both_ends_are_reported(tmp_path: Path) -> None:
    primary, replica = Primary(tmp_path / "primary"), Replica(tmp_path / "replica")
    try:
        primary.up()
        settings = Database(**primary.database("migrate"))
        check = only(server_checks(settings), "binary log", "stop")
        assert "1665" in check.found and "binlog_format" in check.advice
        only(server_checks(settings, dry_run=True), "binary log", "warn")
        replica.up()
        admin = primary.database("admin")
        with replica.connect("admin") as connection:
            file, position = execute_as(primary, "admin", "SHOW MASTER STATUS")[0][:2]
            cursor = connection.cursor()
            cursor.execute(
                f"CHANGE MASTER TO MASTER_HOST='{admin['host']}', MASTER_PORT={admin['port']}, "
                f"MASTER_USER='{admin['user']}', MASTER_PASSWORD='{admin['password']}', "
                f"MASTER_LOG_FILE='{file}', MASTER_LOG_POS={position}"
            )
            cursor.execute("START SLAVE")
            wait_until(lambda: named(server_checks(settings), "replicas")[0].status == "info")
            assert only(server_checks(settings), "replicas", "info").found.startswith("1 connected")
            of_the_replica = Database(**replica.database("migrate"))
            wait_until(lambda: bool(named(server_checks(of_the_replica), "primary")))
            only(server_checks(of_the_replica), "primary", "warn")
    finally:
        replica.destroy()
        primary.destroy()


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("version", "oldest", "older"),
    [
        ("10.4.34-MariaDB", (10, 5), True),
        ("10.11.19-MariaDB-0+deb12u1", (10, 5), False),
        ("5.7.44-log", (8, 0, 19), True),
        ("8.0.19", (8, 0, 19), False),
        ("8.4.3", (8, 0, 19), False),
        ("12.22 (Debian 12.22-1)", (13,), True),
        ("15.14", (13,), False),
        ("3.9.2", (3, 33), True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, oldest: tuple[int, ...], older: bool) -> None:
    assert is_older(version, oldest) is older


@pytest.mark.parametrize("bench", ["mariadb"], indirect=True)
def test_a_key_that_is_hidden_by_a_missing_right_is_reported_as_such(
    bench: Bench, modest: Callable[..., dict[str, str]]
) -> None:
    bench.create()
    settings = replace(bench.settings(), **modest("SELECT (path)", "UPDATE (path)"))
    with connect(settings) as database:
        ask = inspector(database, settings)
        found = _describe(database, ask, Reference(bench.table, "path"), "rehome_references[0]")
    assert isinstance(found, Finding)
    assert "no usable unique key" in found.problem
    assert f"GRANT SELECT (`<its key>`, `path`) ON `app`.`{bench.table}` TO" in found.way_out


@pytest.mark.parametrize("bench", ["postgresql"], indirect=True)
def test_a_schema_without_usage_is_reported_with_the_grant_for_it(bench: Bench) -> None:
    bench.execute("CREATE SCHEMA closed")
    try:
        bench.execute("CREATE TABLE closed.t (id BIGINT PRIMARY KEY, path TEXT)")
        settings = bench.settings()
        with connect(settings) as database:
            ask = inspector(database, settings)
            found = _describe(database, ask, Reference("closed.t", "path"), "rehome_references[0]")
            assert isinstance(found, Finding)
            for grant in found.way_out.partition("GRANT")[2].split("; GRANT"):
                if "<its key>" not in grant:
                    bench.execute(f"GRANT{grant}")
            facts = database.describe("closed.t", "path")
            rights = ask.rights(facts)
            assert rights.missing == ("SELECT on id", "SELECT on path", "UPDATE on path")
            bench.execute(rights.grant)
            assert ask.rights(facts).missing == ()
            assert only(inspect_column(database, ask, Column(facts, "r", IMAGES, dry_run=False)), "grants", "pass")
    finally:
        bench.execute("DROP SCHEMA closed CASCADE")


@pytest.mark.parametrize("bench", sorted(SERVERS), indirect=True)
def test_whether_the_journal_can_be_created_is_known_without_creating_it(bench: Bench) -> None:
    for user, may in (("migrate", True), ("reader", False)):
        settings = bench.settings(user)
        with connect(settings) as database:
            assert inspector(database, settings).may_create_journal("rehome") is may
            assert not database.has_journal("rehome")

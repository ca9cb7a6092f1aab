"""Rights are those that are in effect for Rehome's own sessions, whatever granted them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from rehome.db.engines.mysql.grants import holds_on_schema
from rehome.db.engines.open import connect
from rehome.db.engines.open_inspector import inspector

from tests.integration.db.conftest import Bench
from tests.integration.db.conftest import only as with_engines
from tests.integration.db.inspecting import column_checks, only

Modest = Callable[..., dict[str, str]]


@contextmanager
def role(bench: Bench, member: str, options: str = "") -> Iterator[str]:
    """Create a role that may rewrite the table and keep the journal, and grant it to `member`."""
    name = f"r_{bench.table}"
    bench.execute(f"CREATE ROLE {name}")
    if bench.engine == "mariadb":
        bench.execute(f"GRANT SELECT, UPDATE ON app.{bench.table} TO {name}")
        bench.execute(f"GRANT CREATE, SELECT, INSERT ON rehome.* TO {name}")
        bench.execute(f"GRANT {name} TO {member}@'%%'")
    else:
        bench.execute(f"GRANT SELECT, UPDATE ON {bench.table} TO {name}")
        bench.execute(f"GRANT CREATE ON DATABASE app TO {name}")
        bench.execute(f"ALTER ROLE {member} {options}")
        bench.execute(f"GRANT {name} TO {member}")
    try:
        yield name
    finally:
        if bench.engine == "postgresql":
            bench.execute(f"ALTER ROLE {member} RESET role")
            bench.execute(f"REVOKE ALL ON {bench.table} FROM {name}")
            bench.execute(f"REVOKE ALL ON DATABASE app FROM {name}")
        bench.execute(f"DROP ROLE {name}")


def may_create_journal(bench: Bench, login: dict[str, str]) -> bool:
    settings = replace(bench.settings(), **login)
    with connect(settings) as database:
        return inspector(database, settings).may_create_journal("rehome")


@with_engines("mariadb", "postgresql")
def test_a_role_that_is_not_in_effect_is_named_and_is_enough_once_it_is(bench: Bench, modest: Modest) -> None:
    bench.create()
    login = modest("SELECT (id, path)")
    with role(bench, login["user"], "NOINHERIT") as name:
        check = only(column_checks(bench, login=login), "grants", "stop")
        assert name in check.advice and "; or GRANT SELECT" in check.advice
        assert not may_create_journal(bench, login)
        activation = check.advice.partition(": ")[2].partition("; or ")[0]
        bench.execute(activation.replace("%", "%%"))
        only(column_checks(bench, login=login), "grants", "pass")
        assert may_create_journal(bench, login)


@with_engines("mariadb", "postgresql")
def test_a_table_that_only_a_role_shows_is_told_with_the_role(bench: Bench, modest: Modest) -> None:
    bench.create()
    hidden = f"h_{bench.table}" if bench.engine == "mariadb" else "hidden.t"
    schema = bench.engine == "postgresql"
    if schema:
        bench.execute("CREATE SCHEMA hidden")
    bench.execute(f"CREATE TABLE {hidden} (id BIGINT PRIMARY KEY, path VARCHAR(99))")
    settings = replace(bench.settings(), **modest("SELECT (id)"))
    with role(bench, str(settings.user), "NOINHERIT") as name:
        try:
            if schema:
                bench.execute(f"GRANT USAGE ON SCHEMA hidden TO {name}")
            bench.execute(f"GRANT SELECT ON {hidden} TO {name}")
            with connect(settings) as database:
                told = inspector(database, settings).grant_to_see(hidden, "path")
        finally:
            bench.execute("DROP SCHEMA hidden CASCADE" if schema else f"DROP TABLE {hidden}")
    assert name in told and "GRANT SELECT" in told


@with_engines("postgresql")
def test_inherited_roles_count_however_deep(bench: Bench, modest: Modest) -> None:
    bench.create()
    login = modest("SELECT (id)")
    with role(bench, login["user"], "INHERIT") as name:
        bench.execute(f"CREATE ROLE below_{name}")
        bench.execute(f"REVOKE {name} FROM {login['user']}")
        bench.execute(f"GRANT {name} TO below_{name}")
        bench.execute(f"GRANT below_{name} TO {login['user']}")
        try:
            only(column_checks(bench, login=login), "grants", "pass")
        finally:
            bench.execute(f"DROP ROLE below_{name}")


@pytest.mark.product("mariadb")  # MySQL has no PUBLIC
@with_engines("mariadb", "postgresql")
def test_rights_of_everybody_count(bench: Bench, modest: Modest) -> None:
    bench.create()
    login = modest("SELECT (id)")
    everybody = "PUBLIC"
    place = f"app.{bench.table}" if bench.engine == "mariadb" else bench.table
    bench.execute(f"GRANT SELECT, UPDATE ON {place} TO {everybody}")
    try:
        only(column_checks(bench, login=login), "grants", "pass")
    finally:
        bench.execute(f"REVOKE SELECT, UPDATE ON {place} FROM {everybody}")


@with_engines("mariadb", "postgresql")
def test_rights_on_an_existing_journal_are_judged_by_reading(bench: Bench, modest: Modest) -> None:
    bench.create()
    settings = replace(bench.settings(), **modest("SELECT (id)"))
    bench.rehome().create_journal("rehome")
    with connect(settings) as database:
        seen = database.has_journal("rehome")
        rights = inspector(database, settings).journal_rights("rehome", seen)
    assert any("INSERT on rehome." in right for right in rights.missing) and "GRANT" in rights.grant
    with connect(bench.settings()) as database:
        assert not inspector(database, bench.settings()).journal_rights("rehome", seen=True).missing


@with_engines("postgresql")
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_domains_over_domains_are_followed_to_their_type(bench: Bench, depth: int) -> None:
    domains = [f"d{level}_{bench.table}" for level in range(depth)]
    for below, name in zip(["varchar(12)", *domains], domains, strict=False):
        bench.execute(f"CREATE DOMAIN {name} AS {below}{' NOT NULL' if name == domains[0] else ''}")
    numbers = [f"n{level}_{bench.table}" for level in range(depth)]
    for below, name in zip(["bigint", *numbers], numbers, strict=False):
        bench.execute(f"CREATE DOMAIN {name} AS {below}{' NOT NULL' if name == numbers[0] else ''}")
    try:
        bench.create(key=f"id {numbers[-1]} UNIQUE", column=f"path {domains[-1]}")
        bench.fill("image/a.png")
        facts = bench.rehome().describe(bench.table, "path")
        assert facts.max_length == 12 and facts.key[0].family == "integer"
        assert "13 of 12" not in str(column_checks(bench))
    finally:
        bench.execute(f"DROP TABLE {bench.table}")
        for name in (*domains[::-1], *numbers[::-1]):
            bench.execute(f"DROP DOMAIN {name}")


@pytest.mark.parametrize(
    ("lines", "holds"),
    [
        (["GRANT USAGE ON *.* TO `u`@`%`"], False),
        (["GRANT ALL PRIVILEGES ON *.* TO `u`@`%` WITH GRANT OPTION"], True),
        (["GRANT SELECT, INSERT, CREATE ON `rehome`.* TO `u`@`%`"], True),
        (["GRANT CREATE ON `re%`.* TO `u`@`%`"], True),
        (["GRANT CREATE ON `re_ome`.* TO `u`@`%`"], True),
        (["GRANT CREATE ON `re\\_ome`.* TO `u`@`%`"], False),
        (["GRANT CREATE ON `rehome`.`journal` TO `u`@`%`"], False),
        (["GRANT CREATE VIEW, CREATE ROUTINE ON `rehome`.* TO `u`@`%`"], False),
        (["GRANT `r` TO `u`@`%`", "GRANT CREATE ON `rehome`.* TO `r`"], True),
        (["GRANT CREATE ON *.* TO `u`@`%`", "REVOKE CREATE ON `rehome`.* FROM `u`@`%`"], False),
    ],
)
def test_the_lines_of_show_grants_are_read_as_the_server_means_them(lines: list[str], holds: bool) -> None:
    assert holds_on_schema(lines, "CREATE", "rehome") is holds

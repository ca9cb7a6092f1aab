"""The rights that grants.yml gives suffice on every kind of table and key (P8), and show all that preflight asks."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.db.dialect import Change
from rehome.db.engines.open import connect
from rehome.db.facts import facts_for_rewrite
from rehome.db.journal import JournalTarget
from rehome.db.work.chunk import ChunkOutcome, rewrite_chunk
from rehome.db.work.keyset import read_by_keyset
from rehome.grants.database_user import update_user
from rehome.grants.settings import GrantSettings, read_grant_settings

from tests.integration.db.conftest import Bench, named_on
from tests.integration.db.inspecting import column_checks
from tests.unit.config.test_settings import given as given_settings


class Kind(NamedTuple):
    """A table. Its columns, but `path`, and what more there is about it; only on these products, or on all.

    after: statements after it is created; T is its name
    rows: the first of two rows, without `path`
    unknown: the check that would need to read more than a migration does
    """

    key: str
    rows: tuple[str, str] = ("1", "2")
    more: str = ""
    path: str = "path VARCHAR(200)"
    after: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    products: tuple[str, ...] = ("mariadb", "mysql", "postgresql")
    versioned: str = ""
    known_columns: str = "id"
    unknown: str = ""


MYSQLS = ("mariadb", "mysql")

KINDS = {
    "one integer": Kind("id BIGINT PRIMARY KEY"),
    "composite": Kind(
        "a INT NOT NULL, b VARCHAR(20) NOT NULL, PRIMARY KEY (a, b)", ("1, 'x'", "1, 'y'"), known_columns="a, b"
    ),
    "unique without null": Kind("id INT NOT NULL UNIQUE"),
    "unique beside a nullable one": Kind(
        "n INT UNIQUE, id INT NOT NULL UNIQUE", ("NULL, 1", "NULL, 2"), known_columns="n, id"
    ),
    "text": Kind("id VARCHAR(40) NOT NULL PRIMARY KEY", ("'a'", "'é'")),
    "uuid": Kind(
        "id UUID PRIMARY KEY",
        ("'123e4567-e89b-12d3-a456-426614174000'", "'123e4567-e89b-12d3-a456-426614174001'"),
        products=("mariadb", "postgresql"),
    ),
    "binary": Kind("id BINARY(16) PRIMARY KEY", ("'0123456789abcdef'", "'0123456789abcdeg'"), products=MYSQLS),
    "decimal": Kind("id DECIMAL(20, 4) PRIMARY KEY", ("1.5", "2.5")),
    "partitioned": Kind("id INT PRIMARY KEY", versioned=" PARTITION BY HASH (id) PARTITIONS 2", products=MYSQLS),
    "partitioned into tables": Kind(
        "id INT PRIMARY KEY",
        versioned=" PARTITION BY HASH (id)",
        after=("CREATE TABLE T_0 PARTITION OF T FOR VALUES WITH (MODULUS 1, REMAINDER 0)",),
        products=("postgresql",),
    ),
    "system-versioned": Kind("id INT PRIMARY KEY", versioned=" WITH SYSTEM VERSIONING", products=("mariadb",)),
    "generated column": Kind(
        "id INT PRIMARY KEY", more=", g VARCHAR(250) GENERATED ALWAYS AS (concat('x', path)) STORED", products=MYSQLS
    ),
    "generated column of postgresql": Kind(
        "id INT PRIMARY KEY", more=", g TEXT GENERATED ALWAYS AS ('x' || path) STORED", products=("postgresql",)
    ),
    "check constraints": Kind(
        "id INT PRIMARY KEY",
        more=", secret INT DEFAULT 1, CONSTRAINT T_a CHECK (secret > 0), CONSTRAINT T_b CHECK (path <> 'x')",
    ),
    "unique index with another column": Kind(
        "id INT PRIMARY KEY", more=", n INT DEFAULT 7, UNIQUE (n, path)", unknown="unique indexes"
    ),
    "index": Kind("id INT PRIMARY KEY", after=("CREATE INDEX T_i ON T (path)",)),
    "foreign key of another column": Kind(
        "id INT PRIMARY KEY, p INT",
        ("1, NULL", "2, NULL"),
        more=", FOREIGN KEY (p) REFERENCES T_p (id)",
        known_columns="id, p",
    ),
    "foreign key to the key": Kind(
        "id INT PRIMARY KEY",
        after=("CREATE TABLE T_c (id INT PRIMARY KEY, t INT, FOREIGN KEY (t) REFERENCES T (id))",),
        back=("DROP TABLE T_c",),
    ),
    "changed by every UPDATE": Kind(
        "id INT PRIMARY KEY",
        more=", up TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP",
        products=MYSQLS,
    ),
    "trigger": Kind(
        "id INT PRIMARY KEY",
        after=("CREATE TRIGGER T_t BEFORE UPDATE ON T FOR EACH ROW SET @seen = NEW.id",),
        products=MYSQLS,
    ),
    "trigger of postgresql": Kind(
        "id INT PRIMARY KEY",
        after=(
            "CREATE FUNCTION T_f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER T_t BEFORE UPDATE ON T FOR EACH ROW EXECUTE FUNCTION T_f()",
        ),
        back=("DROP FUNCTION T_f() CASCADE",),
        products=("postgresql",),
    ),
    "invisible path": Kind("id INT PRIMARY KEY", path="path VARCHAR(200) INVISIBLE", products=MYSQLS),
    "invisible key": Kind(
        "n INT, id INT NOT NULL DEFAULT 0 INVISIBLE PRIMARY KEY",
        ("1, 1", "2, 2"),
        products=MYSQLS,
        known_columns="n, id",
    ),
    "functional index": Kind("id INT PRIMARY KEY", more=", UNIQUE ((lower(path)))", products=("mysql",)),
    "index over an expression": Kind(
        "id INT PRIMARY KEY", after=("CREATE UNIQUE INDEX T_u ON T (lower(path))",), products=("postgresql",)
    ),
    "identity": Kind("id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", products=("postgresql",)),
    "auto_increment": Kind("id BIGINT AUTO_INCREMENT PRIMARY KEY", products=MYSQLS),
}

NEVER_SEEN = {"replicas", "primary"}
"""What takes rights that show more than definitions, and that grants.yml does not give."""


class Limited(NamedTuple):
    """The settings with the user that was created for the table, and the administrator's."""

    settings: Settings
    grants: GrantSettings

    @property
    def login(self) -> dict[str, str]:
        database = self.settings.database
        return {"user": database.user or "", "password": database.password or ""}


@contextmanager
def limited(bench: Bench, folder: Path, **options: object) -> Iterator[Limited]:
    """Create a user with exactly the rights that grants.yml gives."""
    given = given_settings(
        name=bench.table,
        references=[{"table": bench.table, "column": "path", "form": "key"}],
        state_dir=str(folder),
    )
    user = {"user": f"l_{secrets.token_hex(4)}", "password": secrets.token_hex(16)}
    settings = replace(read_settings(given), database=replace(bench.settings(), **user))
    grants = read_grant_settings(
        {
            "state": "present",
            "principals": "none",
            "name": "x",
            "database": True,
            "connections": 20,
            "admin_database": bench.rehome_database("admin"),
            **options,
        },
        settings,
    )
    update_user(settings, grants, None, dry_run=False)
    try:
        yield Limited(settings, grants)
    finally:
        update_user(settings, replace(grants, state="absent"), None, dry_run=False)


def create(bench: Bench, kind: Kind) -> None:
    def run(statement: str) -> None:
        bench.execute(_named(bench, statement))

    if "T_p" in kind.more:
        run("CREATE TABLE T_p (id INT PRIMARY KEY)")
    run(f"CREATE TABLE T ({kind.key}, {kind.path}{kind.more}){kind.versioned}")
    for statement in kind.after:
        run(statement)
    always = " OVERRIDING SYSTEM VALUE" if "ALWAYS AS IDENTITY" in kind.key else ""
    for number, row in enumerate(kind.rows):
        run(f"INSERT INTO T ({kind.known_columns}, path){always} VALUES ({row}, 'image/avatar-{number}.png')")


def remove(bench: Bench, kind: Kind) -> None:
    for statement in (*kind.back, "DROP TABLE T ", *(["DROP TABLE T_p"] if "T_p" in kind.more else [])):
        bench.execute(_named(bench, statement))


def _named(bench: Bench, statement: str) -> str:
    """Return the statement with the table's name in place of T, also as the beginning of another name."""
    return re.sub(r"\bT(_\w+)?\b", lambda found: f"{bench.table}{found[1] or ''}", statement)


@named_on({name: kind.products for name, kind in KINDS.items()})
def test_with_exactly_the_granted_rights_all_is_seen_and_rewritten(bench: Bench, tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    create(bench, kind)
    try:
        with limited(bench, tmp_path) as user, connect(user.settings.database) as database:
            seen = database.describe(bench.table, "path")
            with connect(bench.settings("admin")) as admin:
                assert seen == admin.describe(bench.table, "path")
            unknown = [
                check
                for check in column_checks(bench, login=user.login)
                if check.status == "stop" or (check.found.startswith("unknown") and check.name not in NEVER_SEEN)
            ]
            unknown = [check for check in unknown if "other databases" not in check.found]
            assert [check for check in unknown if check.name != kind.unknown] == []
            settings = user.settings
            facts = facts_for_rewrite(seen, settings)
            values = settings.value_map(settings.references[0])
            changes = [
                Change(row.key, row.value or "", values.to_target(row.value or "") or "")
                for batch in read_by_keyset(database, facts)
                for row in batch
            ]
            target = JournalTarget(settings.journal_schema, settings.name, settings.fingerprint, place=settings.place)
            outcome = ChunkOutcome()
            rewrite_chunk(database, facts, changes, target, outcome)
            assert outcome.rewritten == 2
            bench.execute("DELETE FROM rehome.journal")
        values_now = {value for (value,) in bench.execute(f"SELECT path FROM {bench.table}")}
        assert values_now == {"avatar/avatar-0.png", "avatar/avatar-1.png"}
    finally:
        remove(bench, kind)

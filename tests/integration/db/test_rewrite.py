from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rehome.db import journal
from rehome.db.dialect import (
    Change,
    DatabaseError,
    RecordedEntry,
    UnknownColumnError,
    UnknownTableError,
    UnusableJournalError,
    UnusableTableError,
)
from rehome.db.engines.open import connect
from rehome.db.journal import JournalTarget
from rehome.db.work.chunk import ChunkOutcome, rewrite_chunk
from rehome.db.work.keyset import read_by_keyset
from rehome.db.work.reconnect import WorkContext

from tests.integration.db.conftest import Bench, only

ODD = [
    "image/plain.png",
    "image/space and  two.png",
    "image/100%25 + plus.png",
    'image/it\'s "quoted" `so`.png',
    "image/back\\slash\\n.png",
    "image/ünïcödé-é-e\u0301.png",
    "image/emoji-😀.png",
    "image/semi;colon--comment.png",
    "image/new\nline\ttab.png",
    "image/trailing ",
    "image/%s %(name)s {x} ?.png",
]


def rewrite(bench: Bench, changes: Sequence[Change]) -> ChunkOutcome:
    database = bench.rehome()
    database.create_journal(bench.schema)
    facts = database.describe(bench.table, "path")
    outcome = ChunkOutcome()
    rewrite_chunk(database, facts, changes, JournalTarget(bench.schema, bench.table, "f" * 64), outcome)
    return outcome


def journalled(bench: Bench) -> list[RecordedEntry]:
    """Return the journal's entries, newest first, read a few at a time."""
    return [entry for batch in journal.newest_first(bench.rehome(), bench.schema, bench.table, 2) for entry in batch]


def planned(bench: Bench) -> list[Change]:
    """Return what a plan would contain: for every row its value with the first `image/` replaced."""
    database = bench.rehome()
    rows = [row for batch in read_by_keyset(database, database.describe(bench.table, "path"), 3) for row in batch]
    return [Change(key, value, value.replace("image/", "avatar/", 1)) for key, value in rows if value is not None]


def test_every_odd_value_is_rewritten_exactly(bench: Bench) -> None:
    bench.create()
    bench.fill(*ODD)
    assert rewrite(bench, planned(bench)) == ChunkOutcome(rewritten=len(ODD))
    assert bench.values() == [value.replace("image/", "avatar/", 1) for value in ODD]


def test_the_journal_holds_what_the_rows_held_before(bench: Bench) -> None:
    bench.create()
    bench.fill(*ODD)
    changes = planned(bench)
    rewrite(bench, changes)
    (recorded,) = journalled(bench)
    entry = recorded.entry
    assert abs((datetime.now(UTC) - recorded.written_at).total_seconds()) < 60
    assert journal.unpack(entry.entries) == changes
    assert bench.rehome().journal_row_count(bench.schema, entry.chunk) == len(ODD)
    assert bench.rehome().journal_row_count(bench.schema, "0" * 32) is None
    assert entry.row_count == len(ODD)
    assert entry.reference == f"{bench.table}.path"


def test_a_table_that_is_not_a_journal_of_this_version_is_reported(bench: Bench) -> None:
    database = bench.rehome()
    database.create_journal(bench.schema)
    assert database.has_journal(bench.schema)
    journal_table = "rehome_journal" if bench.engine == "sqlite" else "rehome.journal"
    bench.rehome_execute(f"DROP TABLE {journal_table}")
    assert not database.has_journal(bench.schema)
    bench.rehome_execute(f"CREATE TABLE {journal_table} (id INTEGER)")
    with pytest.raises(UnusableJournalError, match=f"{journal_table} exists, but is not a journal"):
        database.has_journal(bench.schema)


def test_a_row_that_the_application_changed_is_left_alone_and_reported(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png", "image/c.png")
    changes = planned(bench)
    bench.execute("UPDATE T SET path = ? WHERE id = 2", "image/B.png")
    bench.execute("DELETE FROM T WHERE id = 3")
    assert rewrite(bench, changes) == ChunkOutcome(rewritten=1, changed_by_app=changes[1:])
    assert bench.values() == ["avatar/a.png", "image/B.png"]


@pytest.mark.parametrize("now", ["image/A.png", "image/a.png ", "image/á.png", "IMAGE/a.png"])
def test_the_comparison_is_by_bytes_and_not_by_collation(bench: Bench, now: str) -> None:
    bench.create()
    bench.fill(now)
    database = bench.rehome()
    database.create_journal(bench.schema)
    facts = database.describe(bench.table, "path")
    with database.transaction():
        assert database.update(facts, [Change((1,), "image/a.png", "avatar/a.png")]) == 0
    assert bench.values() == [now]


def test_again_changes_nothing_and_journals_nothing(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png")
    changes = planned(bench)
    rewrite(bench, changes)
    assert rewrite(bench, changes) == ChunkOutcome(done=2)
    assert len(journalled(bench)) == 1


def test_a_refused_journal_entry_rolls_the_rewrite_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.create()
    bench.fill("image/a.png")
    database = bench.rehome()
    facts = database.describe(bench.table, "path")
    with pytest.raises(DatabaseError):
        rewrite_chunk(database, facts, planned(bench), JournalTarget("no_such_schema", "m", "f"), ChunkOutcome())
    assert bench.values() == ["image/a.png"]


@only("postgresql")  # elsewhere a trigger that refuses a row raises
def test_a_row_that_the_server_skips_is_found_and_reported(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png")
    bench.execute(
        f"CREATE FUNCTION f_{bench.table}() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN IF NEW.id = 1 THEN RETURN NULL; END IF; RETURN NEW; END'"
    )
    bench.execute(f"CREATE TRIGGER tr BEFORE UPDATE ON T FOR EACH ROW EXECUTE FUNCTION f_{bench.table}()")
    (refusal,) = rewrite(bench, planned(bench)).refused
    assert "1 locked rows" in refusal.message
    assert bench.values() == ["image/a.png", "avatar/b.png"]


@only("sqlite")
def test_a_sqlite_column_accepts_any_length_whatever_it_declares(bench: Bench) -> None:
    bench.create(column="path VARCHAR(12)")
    assert not bench.rehome().describe(bench.table, "path").overflows("x" * 1000)


@only("mariadb", "postgresql")
def test_a_value_too_long_for_the_column_is_refused_and_never_truncated(bench: Bench) -> None:
    bench.create(column="path VARCHAR(12)")
    bench.fill("image/1.png")
    assert bench.rehome().describe(bench.table, "path").overflows("avatar/12.png")
    assert not bench.rehome().describe(bench.table, "path").overflows("avatar/1.png")
    check_refused(bench, "avatar/12345.png")


def check_refused(bench: Bench, new: str) -> None:
    """Assert that the server refuses `new` for the only row, which keeps its value."""
    change = Change((1,), "image/1.png", new)
    assert [refusal.change for refusal in rewrite(bench, [change]).refused] == [change]
    assert bench.values() == ["image/1.png"]


@only("mariadb", "postgresql")
def test_a_locked_row_is_waited_for_and_then_rewritten(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png")
    changes = planned(bench)
    database, other = bench.rehome(), bench.rehome()
    database.create_journal(bench.schema)
    facts = database.describe(bench.table, "path")
    locked, release = threading.Event(), threading.Event()

    def keep_lock() -> None:
        with other.transaction():
            other.lock(facts, changes)
            locked.set()
            release.wait(30)

    thread = threading.Thread(target=keep_lock)
    thread.start()
    locked.wait(30)
    target, outcome = JournalTarget(bench.schema, "m", "f"), ChunkOutcome()
    rewrite_chunk(database, facts, changes, target, outcome, WorkContext(sleep=lambda _seconds: release.set()))
    thread.join()
    assert outcome.rewritten == 1


def test_a_row_that_stays_locked_ends_with_a_message(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.create()
    bench.fill("image/a.png")
    changes = planned(bench)
    database, other = bench.rehome(), bench.rehome()
    database.create_journal(bench.schema)
    facts = database.describe(bench.table, "path")
    monkeypatch.setattr("rehome.db.work.chunk.MAX_CONFLICTS", 1)
    with other.transaction():
        other.lock(facts, changes)
        with pytest.raises(DatabaseError, match=r"busy|try again"):
            target = JournalTarget(bench.schema, "m", "f")
            rewrite_chunk(database, facts, changes, target, ChunkOutcome(), WorkContext(sleep=lambda _seconds: None))
    assert rewrite(bench, changes).rewritten == 1


KEYS: dict[str, tuple[str, list[Any]]] = {
    "text": ("id VARCHAR(40) NOT NULL PRIMARY KEY", ["Z", "a", "B", "é", "_x", "c'd"]),
    "unique": ("id INTEGER NOT NULL UNIQUE, other BIGINT", [5, 3, 9]),
    "negative": ("id BIGINT NOT NULL PRIMARY KEY", [-(2**63), -1, 0, 2**63 - 1]),
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_each_kind_are_read_and_rewritten(bench: Bench, kind: str) -> None:
    definition, keys = KEYS[kind]
    bench.create(key=definition)
    for number, key in enumerate(keys):
        bench.execute("INSERT INTO T (id, path) VALUES (?, ?)", key, f"image/{number}.png")
    changes = planned(bench)
    assert len(changes) == len(keys)
    assert rewrite(bench, changes).rewritten == len(keys)
    assert sorted(bench.values()) == [f"avatar/{number}.png" for number in range(len(keys))]


def test_binary_keys_are_read_and_rewritten(bench: Bench) -> None:
    kind = {"mariadb": "BINARY(16)", "postgresql": "BYTEA", "sqlite": "BLOB"}[bench.engine]
    bench.create(key=f"id {kind} NOT NULL PRIMARY KEY")
    for number in range(7):
        bench.execute("INSERT INTO T (id, path) VALUES (?, ?)", uuid.uuid4().bytes, f"image/{number}.png")
    assert rewrite(bench, planned(bench)).rewritten == 7


def test_uuid_keys_are_read_and_rewritten(bench: Bench) -> None:
    kind = {"mariadb": "UUID", "mysql": "CHAR(36)", "postgresql": "UUID", "sqlite": "TEXT"}[bench.product]
    bench.create(key=f"id {kind} NOT NULL PRIMARY KEY")
    for number in range(7):
        bench.execute("INSERT INTO T (id, path) VALUES (?, ?)", str(uuid.uuid4()), f"image/{number}.png")
    assert rewrite(bench, planned(bench)).rewritten == 7


def test_composite_keys_are_read_and_rewritten(bench: Bench) -> None:
    bench.create(key="tenant INTEGER NOT NULL, id VARCHAR(20) NOT NULL", more=", PRIMARY KEY (tenant, id)")
    for tenant in (2, 1, 3):
        for name in ("b", "A", "c"):
            bench.execute("INSERT INTO T VALUES (?, ?, ?)", tenant, name, f"image/{tenant}{name}.png")
    changes = planned(bench)
    assert len(set(changes)) == 9
    assert rewrite(bench, changes).rewritten == 9


KEY_TYPES = {
    "integer": {"mariadb": "BIGINT UNSIGNED", "postgresql": "INTEGER", "sqlite": "INTEGER"},
    "text": {"mariadb": "VARCHAR(40) COLLATE utf8mb4_unicode_ci", "postgresql": "VARCHAR(40)", "sqlite": "TEXT"},
    "latin": {"mariadb": "VARCHAR(40) CHARACTER SET latin1", "postgresql": "TEXT", "sqlite": "TEXT"},
    "binary": {"mariadb": "VARBINARY(20)", "postgresql": "BYTEA", "sqlite": "BLOB"},
    "uuid": {"mariadb": "UUID", "mysql": "CHAR(36) CHARACTER SET ascii", "postgresql": "UUID", "sqlite": "TEXT"},
    "date": {"mariadb": "DATE", "postgresql": "DATE", "sqlite": "TEXT"},
    "moment": {"mariadb": "DATETIME(3)", "postgresql": "TIMESTAMPTZ", "sqlite": "TEXT"},
}
KEY_VALUES: dict[str, list[Any]] = {
    "integer": [3, 1, 2**31 - 1, 500, 501],
    "text": ["Z", "é", "a b", "it's", "_%"],
    "latin": ["Z", "é", "a b", "it's", "_%"],
    "binary": [b"\x00\xff", b"'", b"a", b"\x80", b"b"],
    "uuid": [str(uuid.uuid5(uuid.NAMESPACE_URL, str(number))) for number in range(5)],
    "date": [f"2024-02-{day}" for day in ("29", "01", "03", "04", "05")],
    "moment": [f"2024-02-29 12:00:00.{fraction}" for fraction in ("123", "500", "001", "999", "250")],
}


@pytest.mark.parametrize("mapped", ["by its head", "as a whole"])
@pytest.mark.parametrize("composite", [False, True], ids=["single", "composite"])
@pytest.mark.parametrize("kind", KEY_TYPES)
def test_a_chunk_of_any_key_is_rewritten_in_one_transaction_and_nothing_beside_it(
    bench: Bench, kind: str, composite: bool, mapped: str
) -> None:
    types = KEY_TYPES[kind]
    declared = f"id {types.get(bench.product, types[bench.engine])} NOT NULL"
    if composite:
        bench.create(key=f"tenant INTEGER NOT NULL, {declared}", more=", PRIMARY KEY (tenant, id)")
    else:
        bench.create(key=f"{declared} PRIMARY KEY")
    for tenant in (1, 2) if composite else (1,):
        for number, key in enumerate(KEY_VALUES[kind]):
            names, marks = ("tenant, id, path", "?, ?, ?") if composite else ("id, path", "?, ?")
            values = ([tenant] if composite else []) + [key, f"image/{number}.png"]
            bench.execute(f"INSERT INTO T ({names}) VALUES ({marks})", *values)
    changes = planned(bench)
    if mapped == "as a whole":
        changes = [change._replace(new=f"{change.new[7:]} was {number}") for number, change in enumerate(changes)]
    left, selected = changes[1], [changes[0], *changes[2:]]
    assert rewrite(bench, selected) == ChunkOutcome(rewritten=len(selected))
    assert len(journalled(bench)) == 1
    paths = sorted(path for (path,) in bench.execute("SELECT path FROM T "))
    assert paths == sorted([left.old, *(change.new for change in selected)])


COLLATIONS = [
    *("general_ci", "unicode_ci", "bin"),
    *(pytest.param(name, marks=pytest.mark.product("mariadb")) for name in ("nopad_bin", "general_nopad_ci")),
    *(pytest.param(f"0900_{name}", marks=pytest.mark.product("mysql")) for name in ("ai_ci", "as_ci", "as_cs", "bin")),
]


@only("mariadb")  # the others' default collations distinguish all of these
@pytest.mark.parametrize("collation", COLLATIONS)
def test_values_equal_under_any_collation_are_distinguished_by_their_bytes(bench: Bench, collation: str) -> None:
    bench.create(column=f"path VARCHAR(100) COLLATE utf8mb4_{collation}")
    twins = ["image/a", "image/A", "image/a ", "image/á", "image/e\u0301", "image/é", "image/", "image/ "]
    bench.fill(*twins)
    changes = planned(bench)
    # each becomes its equal value after the plan was made
    bench.execute("UPDATE T SET path = ? WHERE id = 1", "image/A")
    bench.execute("UPDATE T SET path = ? WHERE id = 5", "image/é")
    bench.execute("UPDATE T SET path = ? WHERE id = 7", "image/ ")
    outcome = rewrite(bench, changes)
    assert [change.key for change in outcome.changed_by_app] == [(1,), (5,), (7,)]
    now = ["image/A", *(f"avatar/{twin[6:]}" for twin in twins[1:4]), "image/é", "avatar/é", "image/ ", "avatar/ "]
    assert bench.values() == now


@only("postgresql")
def test_a_nondeterministic_collation_does_not_hide_a_change(bench: Bench) -> None:
    bench.execute(
        "CREATE COLLATION IF NOT EXISTS blind (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
    )
    bench.create(column="path TEXT COLLATE blind")
    bench.fill("image/a", "image/b")
    changes = planned(bench)
    bench.execute("UPDATE T SET path = ? WHERE id = 1", "image/Á")
    assert rewrite(bench, changes) == ChunkOutcome(rewritten=1, changed_by_app=changes[:1])
    assert bench.values() == ["image/Á", "avatar/b"]


MIXED = [Change((1,), "image/1", "avatar/1"), Change((2,), "s3://legacy/image/2", "s3://production/avatar/2")]


@pytest.mark.parametrize("mixed", [False, True], ids=["one form", "two forms"])
@pytest.mark.parametrize("now", ["image/other", "photo/3"], ids=["the head stays", "the tail stays"])
def test_a_change_of_one_part_of_a_value_is_kept_too(bench: Bench, now: str, mixed: bool) -> None:
    bench.create()
    changes = [*MIXED[: 1 + mixed], *(Change((key,), f"image/{key}", f"avatar/{key}") for key in (3, 4))]
    for change in changes:
        bench.execute("INSERT INTO T (id, path) VALUES (?, ?)", change.key[0], change.old)
    bench.execute("UPDATE T SET path = ? WHERE id = 3", now)
    assert rewrite(bench, changes) == ChunkOutcome(rewritten=len(changes) - 1, changed_by_app=[changes[-2]])
    assert bench.values() == [*(change.new for change in changes[:-2]), now, "avatar/4"]
    assert [entry.entry.row_count for entry in journalled(bench)] == [len(changes) - 1]


def test_rows_in_another_order_than_the_servers_are_rewritten_all_the_same(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png", "image/c.png")
    assert rewrite(bench, planned(bench)[::-1]) == ChunkOutcome(rewritten=3)
    assert bench.values() == ["avatar/a.png", "avatar/b.png", "avatar/c.png"]


@only("postgresql")
def test_a_table_with_rules_is_rewritten_all_the_same(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png")
    bench.execute("CREATE RULE r AS ON UPDATE TO T DO ALSO NOTIFY changed")
    assert rewrite(bench, planned(bench)) == ChunkOutcome(rewritten=2)
    assert bench.values() == ["avatar/a.png", "avatar/b.png"]


@only("mariadb", "postgresql")  # SQLite has no faster way
def test_after_a_chunk_with_changed_rows_the_next_is_read_before_it_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.create()
    bench.fill(*[f"image/{number}.png" for number in range(1, 9)])
    changes = planned(bench)
    bench.execute("UPDATE T SET path = 'elsewhere' WHERE id IN (1, 3)")
    database = bench.rehome()
    database.create_journal(bench.schema)
    facts = database.describe(bench.table, "path")
    done: list[str] = []
    for name in ("lock", "rewrite_as_planned"):
        method = getattr(database, name)
        monkeypatch.setattr(
            database, name, lambda facts, rows, name=name, method=method: done.append(name) or method(facts, rows)
        )
    context, outcome, target = WorkContext(), ChunkOutcome(), JournalTarget(bench.schema, "m", "f")
    ways = []
    for start in range(0, 8, 2):
        rewrite_chunk(database, facts, changes[start : start + 2], target, outcome, context)
        ways.append(" ".join(done))
        done.clear()
    careful = "lock rewrite_as_planned"
    assert ways == [f"rewrite_as_planned {careful}", careful, careful, "rewrite_as_planned"]
    assert (outcome.rewritten, len(outcome.changed_by_app)) == (6, 2)


STEPS = {
    "mariadb": {"first": "lock_and_compare", "in the midst": "swap_heads"},
    "postgresql": {"first": "rewrite_as_planned", "in the midst": "append_journal"},
}


@only("mariadb", "postgresql")  # SQLite locks the whole file
@pytest.mark.parametrize("step", ["first", "in the midst"])
def test_rows_between_the_changed_ones_stay_also_if_they_appear_meanwhile(
    bench: Bench, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.create()
    bench.fill(*[f"image/{number}.png" for number in range(1, 41)])
    bench.execute("DELETE FROM T WHERE id IN (5, 10, 15, 20, 25, 30, 35, 40)")
    changes = [change for change in planned(bench) if int(change.key[0]) % 3]
    original = getattr(type(bench.rehome()), STEPS[bench.engine][step])

    def with_an_upload_before(*arguments: Any) -> Any:
        missing = bench.execute("SELECT count(*) FROM T WHERE id = 20") == [(0,)]
        if missing:
            bench.execute("INSERT INTO T (id, path) VALUES (20, 'image/20.png')")
        return original(*arguments)

    monkeypatch.setattr(type(bench.rehome()), original.__name__, with_an_upload_before)
    assert rewrite(bench, changes) == ChunkOutcome(rewritten=len(changes))
    rows = bench.execute("SELECT id, path FROM T ")
    assert 20 in dict(rows)
    for number, path in rows:
        selected = number % 3 and number % 5
        assert path == f"{'avatar' if selected else 'image'}/{number}.png"


@only("mariadb", "postgresql")
def test_of_neighbours_only_the_planned_are_rewritten_and_no_change_of_the_application_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.create()
    bench.fill(*[f"image/{number}.png" for number in range(1, 41)])
    bench.execute("DELETE FROM T WHERE id = 20")
    changes = [change for change in planned(bench) if change.key != (30,)]
    original = getattr(type(bench.rehome()), STEPS[bench.engine]["first"])
    done: list[str] = []

    def with_an_application_before(*arguments: Any) -> Any:
        if not done:
            bench.execute("INSERT INTO T (id, path) VALUES (20, 'image/20.png')")
            # the head is as planned
            bench.execute("UPDATE T SET path = 'image/other.png' WHERE id = 7")
        done.append(original.__name__)
        return original(*arguments)

    monkeypatch.setattr(type(bench.rehome()), original.__name__, with_an_application_before)
    assert rewrite(bench, changes) == ChunkOutcome(rewritten=37, changed_by_app=[changes[6]])
    left = {7: "image/other.png", 20: "image/20.png", 30: "image/30.png"}
    expected = {number: left.get(number, f"avatar/{number}.png") for number in range(1, 41)}
    assert dict(bench.execute("SELECT id, path FROM T ")) == expected
    ((_, _, entry),) = journalled(bench)
    assert journal.unpack(entry.entries) == [change for change in changes if change.key != (7,)]


@only("postgresql")
@pytest.mark.parametrize("missing", [(), (2, 3, 9), tuple(range(2, 40, 3))])
def test_rows_beside_others_are_rewritten_at_once_however_many_are_between(
    bench: Bench, missing: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.create()
    bench.fill(*[f"image/{number}.png" for number in range(1, 41)])
    changes = [change for change in planned(bench) if change.key[0] not in missing]
    original = type(bench.rehome()).rewrite_as_planned
    done: list[bool] = []
    monkeypatch.setattr(
        type(bench.rehome()), "rewrite_as_planned", lambda *given: done.append(original(*given)) or done[-1]
    )
    assert rewrite(bench, changes) == ChunkOutcome(rewritten=len(changes))
    assert done == [True]
    assert [number for number, path in bench.execute("SELECT id, path FROM T ") if "image" in path] == [*missing]


@only("mariadb", "postgresql")
def test_a_chunk_does_not_wait_for_the_next_one_that_another_connection_works_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.create()
    bench.fill(*[f"image/{number}.png" for number in range(1, 5)])
    changes = planned(bench)
    database, other = bench.rehome(), bench.rehome()
    database.create_journal(bench.schema)
    facts = database.describe(bench.table, "path")
    name = "swap_heads" if bench.engine == "mariadb" else "append_journal"
    original = getattr(type(database), name)
    target, outcome = JournalTarget(bench.schema, "m", "f"), ChunkOutcome()
    with ExitStack() as until_the_end:

        def begin_the_next(*given: Any) -> Any:
            until_the_end.enter_context(other.transaction())
            other.lock(facts, changes[2:])
            return original(*given)

        monkeypatch.setattr(database, name, lambda *given: begin_the_next(database, *given))
        rewrite_chunk(database, facts, changes[:2], target, outcome)
    assert (outcome.rewritten, outcome.conflicts) == (2, 0)


@only("postgresql")
@pytest.mark.parametrize("values", [["image/a.png"], ["image/a.png"] * 3, ["image/", "image/a.png"]])
@pytest.mark.parametrize("kind", ["BIGINT", "VARCHAR(20)"])
def test_rows_of_any_likeness_are_rewritten_at_once_beside_a_trigger_that_leaves_their_values_alone(
    bench: Bench, kind: str, values: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.create(f"id {kind} NOT NULL PRIMARY KEY")
    bench.fill(*values)
    bench.execute(f"CREATE FUNCTION f_{bench.table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$")
    bench.execute(f"CREATE TRIGGER tr BEFORE UPDATE ON T FOR EACH ROW EXECUTE FUNCTION f_{bench.table}()")
    original = type(bench.rehome()).rewrite_as_planned
    done: list[bool] = []
    monkeypatch.setattr(
        type(bench.rehome()), "rewrite_as_planned", lambda *given: done.append(original(*given)) or done[-1]
    )
    assert rewrite(bench, planned(bench)) == ChunkOutcome(rewritten=len(values))
    assert done == [True]
    assert bench.values() == [value.replace("image/", "avatar/") for value in values]


def test_a_row_whose_key_has_changed_is_left_alone_and_the_next_plan_finds_it(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png")
    changes = planned(bench)
    bench.execute("UPDATE T SET id = 77 WHERE id = 1")
    assert rewrite(bench, changes) == ChunkOutcome(rewritten=1, changed_by_app=changes[:1])
    assert rewrite(bench, [change for change in planned(bench) if change.old != change.new]).rewritten == 1
    assert sorted(bench.values()) == ["avatar/a.png", "avatar/b.png"]


@only("mariadb", "postgresql")
def test_children_of_a_cascading_foreign_key_follow_and_those_of_another_refuse_their_row(bench: Bench) -> None:
    bench.create(column="path VARCHAR(100) UNIQUE")
    bench.fill("image/a.png", "image/b.png", "image/c.png")
    for kind, path in (("CASCADE", "image/a.png"), ("RESTRICT", "image/b.png")):
        child = f"{bench.table}_{kind.lower()}"
        bench.execute(
            f"CREATE TABLE {child} (path VARCHAR(100), FOREIGN KEY (path) REFERENCES {bench.table} (path)"
            f" ON UPDATE {kind})"
        )
        bench.execute(f"INSERT INTO {child} VALUES (?)", path)
    outcome = rewrite(bench, planned(bench))
    assert [refusal.change.old for refusal in outcome.refused] == ["image/b.png"]
    assert bench.values() == ["avatar/a.png", "image/b.png", "avatar/c.png"]
    assert bench.execute(f"SELECT path FROM {bench.table}_cascade") == [("avatar/a.png",)]


@only("mariadb", "postgresql")
def test_a_generated_column_beside_follows_by_itself(bench: Bench) -> None:
    bench.create(more=", twice VARCHAR(255) GENERATED ALWAYS AS (REPLACE(path, 'a', 'aa')) STORED")
    bench.fill("image/a.png")
    assert rewrite(bench, planned(bench)).rewritten == 1
    assert bench.execute("SELECT twice FROM T ") == [("aavaataar/aa.png",)]


@only("mariadb")
def test_a_server_that_is_not_strict_truncates_nothing_either(bench: Bench) -> None:
    (mode,) = bench.execute("SELECT @@global.sql_mode")[0]
    bench.create(column="path VARCHAR(11)")
    bench.fill("image/1.png", "image/2.jp")
    bench.execute("SET GLOBAL sql_mode = ''")
    try:
        outcome = rewrite(bench, planned(bench))
    finally:
        bench.execute("SET GLOBAL sql_mode = ?", mode)
    assert [refusal.change.old for refusal in outcome.refused] == ["image/1.png"]
    assert bench.values() == ["image/1.png", "avatar/2.jp"]


def test_a_table_without_a_usable_key_is_refused_by_name(bench: Bench) -> None:
    bench.create(key="id INTEGER", more=", other VARCHAR(10) UNIQUE")
    with pytest.raises(UnusableTableError, match=rf"table {bench.table} has no usable unique key"):
        bench.rehome().describe(bench.table, "path")


def test_an_unknown_table_and_an_unknown_column_are_distinguished(bench: Bench) -> None:
    bench.create()
    with pytest.raises(UnknownTableError, match="nowhere"):
        bench.rehome().describe("nowhere", "path")
    with pytest.raises(UnknownColumnError, match="it has id, path"):
        bench.rehome().describe(bench.table, "pfad")


@only("postgresql")
@pytest.mark.parametrize("usable", [True, False])
def test_a_table_in_a_schema_that_is_not_searched_is_named_with_its_schema(bench: Bench, usable: bool) -> None:
    bench.execute("CREATE SCHEMA attic")
    try:
        bench.execute("CREATE TABLE attic.stored (id INTEGER PRIMARY KEY, path TEXT)")
        if usable:
            bench.execute("GRANT USAGE ON SCHEMA attic TO migrate")
        with pytest.raises(UnknownTableError, match="there is one in the schema attic") as refusal:
            bench.rehome().describe("stored", "path")
        assert ("lacks USAGE" in str(refusal.value)) is not usable
    finally:
        bench.execute("DROP SCHEMA attic CASCADE")


@only("mariadb", "postgresql")  # any SQLite column holds text
def test_a_column_that_holds_no_text_is_refused(bench: Bench) -> None:
    bench.create(more=", size INTEGER")
    with pytest.raises(UnusableTableError, match="holds no text"):
        bench.rehome().describe(bench.table, "size")


@pytest.mark.parametrize("odd", ["quote; --", "100%", "p%s", "with space", "ünï"])
def test_names_that_look_like_sql_are_only_names(bench: Bench, odd: str) -> None:
    quote = "`" if bench.engine == "mariadb" else '"'
    odd = odd.replace("quote", quote)
    escaped = odd.replace(quote, quote * 2).replace("%", "%" if bench.engine == "sqlite" else "%%")
    bench.execute(f"CREATE TABLE T (id INTEGER NOT NULL PRIMARY KEY, {quote}{escaped}{quote} VARCHAR(50))")
    bench.execute("INSERT INTO T VALUES (?, ?)", 1, "image/a.png")
    database = bench.rehome()
    database.create_journal(bench.schema)
    facts = database.describe(bench.table, odd)
    (row,) = database.read_batch(facts, None, 10)
    outcome = ChunkOutcome()
    change = Change(row.key, "image/a.png", "avatar/a.png")
    rewrite_chunk(database, facts, [change], JournalTarget(bench.schema, "m", "f"), outcome)
    assert outcome.rewritten == 1


def test_a_row_that_a_unique_index_refuses_is_reported_and_the_others_go_on(bench: Bench) -> None:
    bench.create(column="path VARCHAR(255) UNIQUE")
    bench.fill("image/a.png", "image/b.png", "avatar/b.png", "image/c.png")
    outcome = rewrite(bench, [change for change in planned(bench) if change.old != change.new])
    assert outcome.rewritten == 2
    assert [refusal.change.old for refusal in outcome.refused] == ["image/b.png"]
    assert bench.values() == ["avatar/a.png", "image/b.png", "avatar/b.png", "avatar/c.png"]
    changes = [change for recorded in journalled(bench) for change in journal.unpack(recorded.entry.entries)]
    assert [change.old for change in changes] == ["image/c.png", "image/a.png"]


@only("mariadb", "postgresql")  # in SQLite a trigger cannot change the row that is being written
def test_a_trigger_that_replaces_the_value_is_detected(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png")
    if bench.engine == "mariadb":
        bench.execute(f"CREATE TRIGGER tr_{bench.table} BEFORE UPDATE ON T FOR EACH ROW SET NEW.path = OLD.path")
    else:
        bench.execute(
            f"CREATE FUNCTION f_{bench.table}() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN NEW.path := OLD.path; RETURN NEW; END'"
        )
        bench.execute(f"CREATE TRIGGER tr BEFORE UPDATE ON T FOR EACH ROW EXECUTE FUNCTION f_{bench.table}()")
    changes = planned(bench)
    assert [refusal.change for refusal in rewrite(bench, changes).refused] == changes
    assert journalled(bench) == []


def keep_old(bench: Bench, table: str) -> str:
    """Return the statement that creates a trigger of PostgreSQL which reverts every UPDATE after it."""
    bench.execute(
        f"CREATE OR REPLACE FUNCTION f_{bench.table}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        f" 'BEGIN UPDATE {table} SET path = OLD.path WHERE id = OLD.id AND path <> OLD.path; RETURN NULL; END'"
    )
    return (
        f"CREATE TRIGGER tr AFTER UPDATE ON {table} FOR EACH ROW WHEN (pg_trigger_depth() = 0)"
        f" EXECUTE FUNCTION f_{bench.table}()"
    )


@only("mariadb", "postgresql")
def test_a_value_that_only_a_trigger_makes_like_the_planned_one_is_left_alone_and_reported(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png")
    changes = planned(bench)
    if bench.engine == "mariadb":
        bench.execute(f"CREATE TRIGGER tr_{bench.table} BEFORE UPDATE ON T FOR EACH ROW SET NEW.path = LOWER(NEW.path)")
    else:
        bench.execute(
            f"CREATE FUNCTION f_{bench.table}() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN NEW.path := lower(NEW.path); RETURN NEW; END $$"
        )
        bench.execute(f"CREATE TRIGGER tr BEFORE UPDATE ON T FOR EACH ROW EXECUTE FUNCTION f_{bench.table}()")
    bench.execute("DELETE FROM T WHERE id = 2")
    bench.execute("INSERT INTO T (id, path) VALUES (2, 'image/B.png')")
    assert rewrite(bench, changes) == ChunkOutcome(rewritten=1, changed_by_app=[changes[1]])
    assert dict(bench.execute("SELECT id, path FROM T ")) == {1: "avatar/a.png", 2: "image/B.png"}
    ((_, _, entry),) = journalled(bench)
    assert journal.unpack(entry.entries) == changes[:1]


@only("postgresql")
def test_a_trigger_created_after_the_table_was_described_is_detected_too(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png")
    database, changes = bench.rehome(), planned(bench)
    database.create_journal(bench.schema)
    facts = database.describe(bench.table, "path")
    bench.execute(keep_old(bench, bench.table))
    outcome = ChunkOutcome()
    rewrite_chunk(database, facts, changes, JournalTarget(bench.schema, bench.table, "f" * 64), outcome)
    assert [refusal.change for refusal in outcome.refused] == changes


@only("postgresql")
def test_no_trigger_can_be_created_between_the_update_and_the_commit(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png")
    database, changes = bench.rehome(), planned(bench)
    facts = database.describe(bench.table, "path")
    trigger = keep_old(bench, bench.table)
    with database.transaction():
        database.update(facts, changes)
        assert not database.may_alter(facts)
        bench.execute("SET lock_timeout = 50")
        with pytest.raises(Exception, match="lock timeout"):
            bench.execute(trigger)


@only("postgresql")
@pytest.mark.parametrize("chunks_before", [0, 12])  # after so many, driver and server have cached the statement's plan
def test_a_trigger_that_is_committed_while_the_rewrite_waits_for_it_is_detected(
    bench: Bench, chunks_before: int
) -> None:
    bench.create()
    bench.fill(*[f"image/{number}.png" for number in range(chunks_before + 1)])
    database, (*before, last) = bench.rehome(), planned(bench)
    database.create_journal(bench.schema)
    facts, target = database.describe(bench.table, "path"), JournalTarget(bench.schema, bench.table, "f" * 64)
    for change in before:
        rewrite_chunk(database, facts, [change], target, ChunkOutcome())
    trigger, outcome = keep_old(bench, bench.table), ChunkOutcome()
    waiting = threading.Thread(target=rewrite_chunk, args=(database, facts, [last], target, outcome))
    with bench.another_admin() as application:
        application.cursor().execute(trigger)
        waiting.start()
        waiting_for_lock = "SELECT 1 FROM pg_locks WHERE relation = to_regclass(?) AND NOT granted"
        while not bench.execute(waiting_for_lock, bench.table):
            assert waiting.is_alive()
        application.commit()
    waiting.join()
    assert [refusal.change for refusal in outcome.refused] == [last]
    assert outcome.rewritten == 0


ALTERING = {
    "nothing": "",
    "a trigger that is off": "ALTER TABLE {t} DISABLE TRIGGER tr",
    "a trigger": "{trigger}",
    "a rule": "CREATE RULE r AS ON UPDATE TO {t} DO ALSO NOTIFY changed",
    "a trigger of a child": "CREATE TABLE c_{t} () INHERITS ({t}); {child_trigger}",
    "a type that pads": "ALTER TABLE {t} ALTER path TYPE char(40)",
}


@only("postgresql")
@pytest.mark.parametrize("what", ALTERING)
def test_what_may_alter_a_value_is_seen_by_the_least_privileged_user(bench: Bench, what: str) -> None:
    bench.create()
    trigger, child_trigger = (keep_old(bench, table) for table in (bench.table, f"c_{bench.table}"))
    if what == "a trigger that is off":
        bench.execute(trigger)
    if ALTERING[what]:
        bench.execute(ALTERING[what].format(t=bench.table, trigger=trigger, child_trigger=child_trigger))
    database = bench.rehome()
    with database.transaction():
        altered = database.may_alter(database.describe(bench.table, "path"))
    assert altered == (what not in ("nothing", "a trigger that is off"))


@only("postgresql")
def test_a_trigger_of_a_partition_is_seen_from_the_whole_and_from_the_partition(bench: Bench) -> None:
    bench.execute("CREATE TABLE T (id BIGINT NOT NULL PRIMARY KEY, path TEXT) PARTITION BY RANGE (id)")
    bench.execute(f"CREATE TABLE p_{bench.table} PARTITION OF T FOR VALUES FROM (0) TO (9)")
    database = bench.rehome()
    tables = bench.table, f"p_{bench.table}"
    assert [database.may_alter(database.describe(table, "path")) for table in tables] == [False, False]
    bench.execute(keep_old(bench, bench.table))
    assert [database.may_alter(database.describe(table, "path")) for table in tables] == [True, True]


@only("mariadb", "postgresql")
def test_trailing_spaces_of_a_value_that_is_too_long_are_never_truncated(bench: Bench) -> None:
    bench.create(column="path VARCHAR(12)")
    bench.fill("image/1.png")
    check_refused(bench, "avatar/1.png  ")


@only("mariadb", "postgresql")
def test_a_trigger_that_only_notifies_hinders_nothing(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png")
    bench.execute(f"CREATE TABLE audit_{bench.table} (path VARCHAR(100))")
    tell = f"INSERT INTO audit_{bench.table} VALUES (NEW.path)"
    if bench.engine == "mariadb":
        bench.execute(f"CREATE TRIGGER tr_{bench.table} AFTER UPDATE ON T FOR EACH ROW {tell}")
    else:
        bench.execute(
            f"CREATE FUNCTION f_{bench.table}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
            f" 'BEGIN {tell}; RETURN NULL; END'"
        )
        bench.execute(f"CREATE TRIGGER tr AFTER UPDATE ON T FOR EACH ROW EXECUTE FUNCTION f_{bench.table}()")
    assert rewrite(bench, planned(bench)) == ChunkOutcome(rewritten=2)
    assert bench.execute(f"SELECT path FROM audit_{bench.table} ORDER BY path") == [
        ("avatar/a.png",),
        ("avatar/b.png",),
    ]


@only("sqlite")
def test_a_trigger_under_another_spelling_of_the_table_is_detected_too(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png")
    bench.execute(
        f"CREATE TRIGGER tr AFTER UPDATE ON {bench.table.upper()} BEGIN"
        f" UPDATE {bench.table} SET path = 'lost' WHERE id = NEW.id AND path <> 'lost'; END"
    )
    assert bench.rehome().describe(bench.table, "path").triggers == ("tr",)
    assert len(rewrite(bench, planned(bench)).refused) == 1
    assert bench.values() == ["image/a.png"]


@only("postgresql")
def test_a_trigger_that_raises_a_code_of_its_own_refuses_its_row_and_not_the_run(bench: Bench) -> None:
    bench.create()
    bench.fill("image/a.png", "image/b.png")
    bench.execute(
        f"CREATE FUNCTION f_{bench.table}() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN IF NEW.id = 1 THEN RAISE EXCEPTION ''no'' USING ERRCODE = ''U0001''; END IF; RETURN NEW; END'"
    )
    bench.execute(f"CREATE TRIGGER tr BEFORE UPDATE ON T FOR EACH ROW EXECUTE FUNCTION f_{bench.table}()")
    outcome = rewrite(bench, planned(bench))
    assert (outcome.rewritten, len(outcome.refused)) == (1, 1)


def test_a_table_whose_name_has_a_percent_sign_is_found(bench: Bench) -> None:
    bench.table = f"a%b_{bench.table}"
    quote = "`" if bench.engine == "mariadb" else '"'
    name = bench.table if bench.engine == "sqlite" else bench.table.replace("%", "%%")
    bench.execute(f"CREATE TABLE {quote}{name}{quote} (id INTEGER NOT NULL PRIMARY KEY, path VARCHAR(50))")
    assert bench.rehome().describe(bench.table, "path").column == "path"


@only("mariadb", "postgresql")
def test_a_generated_column_is_refused(bench: Bench) -> None:
    bench.create(more=", twice VARCHAR(255) GENERATED ALWAYS AS (path) STORED")
    with pytest.raises(UnusableTableError, match="is generated from others"):
        bench.rehome().describe(bench.table, "twice")


def test_a_column_that_is_part_of_its_only_key_is_refused(bench: Bench) -> None:
    bench.create(key="id INTEGER", column="path VARCHAR(100) NOT NULL PRIMARY KEY")
    with pytest.raises(UnusableTableError, match="unique index without path itself"):
        bench.rehome().describe(bench.table, "path")


@only("mariadb")  # the others have no limit on what a list of values may hold
def test_a_value_longer_than_any_varchar_is_rewritten(bench: Bench) -> None:
    bench.create(column="path LONGTEXT")
    bench.fill("image/" + "x" * 20_000)
    assert rewrite(bench, planned(bench)).rewritten == 1


@only("sqlite")  # the others hold every column to its type
def test_a_blob_and_text_that_is_not_utf8_are_read_and_not_taken_for_text(bench: Bench) -> None:
    bench.create()
    bench.execute("INSERT INTO T VALUES (1, CAST('image/a.png' AS BLOB))")
    bench.execute("INSERT INTO T VALUES (2, CAST(X'696D616765FF' AS TEXT))")
    bench.execute("INSERT INTO T VALUES (3, 'image/b.png')")
    database = bench.rehome()
    rows = database.read_batch(database.describe(bench.table, "path"), None, 10)
    assert [row.value for row in rows] == [None, None, "image/b.png"]


def test_null_and_empty_values_are_read_as_they_are(bench: Bench) -> None:
    bench.create()
    bench.fill(None, "", "image/a.png")
    database = bench.rehome()
    rows = [row for batch in read_by_keyset(database, database.describe(bench.table, "path"), 2) for row in batch]
    assert [row.value for row in rows] == [None, "", "image/a.png"]


@only("mariadb", "postgresql")  # a file has no users
def test_a_user_who_may_only_read_is_reported_as_one_who_may_not_rewrite(bench: Bench) -> None:
    bench.create()
    reader = bench.rehome("reader")
    assert "denied" in str(reader.update_refusal(reader.describe(bench.table, "path")))
    migrate = bench.rehome()
    assert migrate.update_refusal(migrate.describe(bench.table, "path")) is None


@only("mariadb")  # only MariaDB and MySQL have ON UPDATE columns; elsewhere a trigger does it
def test_the_updated_at_column_keeps_its_value(bench: Bench) -> None:
    bench.create(more=", updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)")
    bench.fill("image/a.png")
    before = bench.execute("SELECT updated_at FROM T ")
    assert rewrite(bench, planned(bench)).rewritten == 1
    assert bench.execute("SELECT updated_at FROM T ") == before


@only("mariadb")
def test_a_missing_right_to_keep_updated_at_is_named(bench: Bench) -> None:
    bench.create(more=", updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP")
    bench.execute("CREATE USER IF NOT EXISTS narrow IDENTIFIED BY 'narrow'")
    bench.execute(f"GRANT SELECT, UPDATE (path) ON {bench.table} TO narrow")
    with connect(replace(bench.settings(), user="narrow", password="narrow")) as database:
        facts = database.describe(bench.table, "path")
        assert facts.keep_columns == ("updated_at",)
        assert "'updated_at'" in str(database.update_refusal(facts))
        assert database.update_refusal(replace(facts, keep_columns=())) is None
    bench.execute("DROP USER narrow")


@only("mariadb")  # the others have one character set per database
def test_a_column_in_another_character_set_is_compared_and_rewritten(bench: Bench) -> None:
    bench.create(column="path VARCHAR(255) CHARACTER SET latin1 COLLATE latin1_general_ci")
    bench.fill("image/é.png")
    assert rewrite(bench, planned(bench)).rewritten == 1
    assert bench.values() == ["avatar/é.png"]


@only("mariadb")  # the others have nothing but transactional tables
def test_a_table_without_transactions_is_refused(bench: Bench) -> None:
    bench.execute("CREATE TABLE T (id INTEGER PRIMARY KEY, path VARCHAR(50)) ENGINE = MyISAM")
    try:
        with pytest.raises(UnusableTableError, match="MyISAM"):
            bench.rehome().describe(bench.table, "path")
    finally:
        # a trigger of another test might be thought to write to it
        bench.execute("DROP TABLE T ")


@pytest.fixture
def text_bench(bench: Bench) -> Bench:
    bench.create(column="path VARCHAR(100)")
    return bench


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
"""PostgreSQL's text has no NUL."""


@settings(
    max_examples=20,
    deadline=None,
    # the table is emptied for each example
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(suffixes=st.lists(texts, min_size=1, max_size=20))
def test_any_text_survives_a_rewrite(text_bench: Bench, suffixes: list[str]) -> None:
    text_bench.execute("DELETE FROM T ")
    text_bench.fill(*[f"image/{suffix}" for suffix in suffixes])
    assert rewrite(text_bench, planned(text_bench)).rewritten == len(suffixes)
    assert text_bench.values() == [f"avatar/{suffix}" for suffix in suffixes]

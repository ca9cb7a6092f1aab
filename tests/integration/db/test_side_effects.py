"""What triggers, rules, conflict clauses and foreign keys do to other rows of the table that is rewritten."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rehome.db import journal
from rehome.db.dialect import Change, DatabaseError, Dialect
from rehome.db.engines.open import connect
from rehome.db.journal import JournalTarget
from rehome.db.work.chunk import ChunkOutcome, rewrite_chunk
from rehome.db.work.reconnect import WorkContext

from tests.integration.db.conftest import Bench, only
from tests.integration.db.rows import Rows

NUMBERS = [1, 2, 3, 4, 5]
BYSTANDER = (99, "avatar/3.png")


def rewrite(bench: Bench, numbers: list[int] = NUMBERS, login: Mapping[str, str] | None = None) -> ChunkOutcome:
    with connect(replace(bench.settings(), **(login or {}))) as database:
        return _rewrite(bench, database, numbers)


def _rewrite(bench: Bench, database: Dialect, numbers: list[int]) -> ChunkOutcome:
    bench.rehome().create_journal(bench.schema)
    outcome = ChunkOutcome()
    changes = [Change((number,), f"image/{number}.png", f"avatar/{number}.png") for number in numbers]
    target = JournalTarget(bench.schema, bench.table, "f" * 64)
    context = WorkContext(sleep=lambda _seconds: None)
    rewrite_chunk(database, database.describe(bench.table, "path"), changes, target, outcome, context)
    entries = [entry for batch in journal.newest_first(database, bench.schema, bench.table) for entry in batch]
    assert sum(recorded.entry.row_count for recorded in entries) == outcome.rewritten
    return outcome


def fill(bench: Bench, *more: tuple[int, str]) -> None:
    bench.fill(*(f"image/{number}.png" for number in NUMBERS))
    for number, path in more:
        bench.execute("INSERT INTO T (id, path) VALUES (?, ?)", number, path)


def after_update(bench: Bench, what: str, *, when: str = "", declared: str = "", timing: str = "AFTER") -> None:
    """Create a trigger on UPDATE that runs the statement `what` for the rows with `when`, a condition on NEW."""
    what = what.replace(" T ", f" {bench.table} ")
    if bench.engine == "sqlite":
        condition = f"WHEN {when}" if when else ""
        bench.execute(f"CREATE TRIGGER tr {timing} UPDATE OF path ON T {condition} BEGIN {what}; END")
        return
    if bench.engine == "mariadb":
        body = f"IF {when or 'true'} THEN {what}; END IF"
        bench.execute(f"CREATE TRIGGER tr_{bench.table} {timing} UPDATE ON T FOR EACH ROW BEGIN {body}; END")
        return
    bench.execute(
        f"CREATE FUNCTION f_{bench.table}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        f" $$ BEGIN IF pg_trigger_depth() = 1 AND ({when or 'true'}) THEN {what}; END IF; RETURN NEW; END $$"
    )
    kind = f"CREATE {'CONSTRAINT ' if declared else ''}TRIGGER tr {timing} UPDATE ON T {declared}"
    bench.execute(f"{kind} FOR EACH ROW EXECUTE FUNCTION f_{bench.table}()")


def check_only_row_3_is_refused(bench: Bench, outcome: ChunkOutcome, *bystanders: tuple[int, str]) -> None:
    assert [refusal.change.key for refusal in outcome.refused] == [(3,)]
    assert outcome.rewritten == len(NUMBERS) - 1
    expected = {number: f"{'image' if number == 3 else 'avatar'}/{number}.png" for number in NUMBERS}
    assert dict(bench.execute("SELECT id, path FROM T ")) == expected | dict(bystanders)


CLAUSES = ["REPLACE", "IGNORE", "FAIL", "ROLLBACK", "ABORT"]


@only("sqlite")  # the others have no conflict clauses
@pytest.mark.parametrize("clause", CLAUSES)
@pytest.mark.parametrize("scope", ["column", "two columns", "primary key"])
def test_a_conflict_clause_of_the_table_deletes_no_row(bench: Bench, clause: str, scope: str) -> None:
    if scope == "column":
        bench.create(column=f"path TEXT UNIQUE ON CONFLICT {clause}")
    elif scope == "two columns":
        bench.create(more=f", tenant INTEGER DEFAULT 1, UNIQUE (tenant, path) ON CONFLICT {clause}")
    else:
        bench.create(key="id INTEGER NOT NULL UNIQUE", column=f"path TEXT PRIMARY KEY ON CONFLICT {clause}")
    fill(bench, BYSTANDER)
    check_only_row_3_is_refused(bench, rewrite(bench), BYSTANDER)


@only("sqlite")
@pytest.mark.parametrize("clause", CLAUSES)
def test_nor_does_a_check_or_not_null_with_a_clause(bench: Bench, clause: str) -> None:
    bench.create(more=f", n INTEGER DEFAULT 0 NOT NULL ON CONFLICT {clause}, CHECK (path <> 'avatar/3.png')")
    fill(bench)
    check_only_row_3_is_refused(bench, rewrite(bench))


@only("sqlite")
@pytest.mark.parametrize("clause", CLAUSES)
def test_in_a_rollback_it_deletes_none_either(bench: Bench, tmp_path: Path, clause: str) -> None:
    bench.create(column=f"path TEXT UNIQUE ON CONFLICT {clause}")
    bench.fill(*(f"image/avatar-{number}.png" for number in NUMBERS))
    rows = Rows(bench, tmp_path)
    assert rows.migrate() == len(NUMBERS)
    bench.execute("INSERT INTO T (id, path) VALUES (99, 'image/avatar-3.png')")
    counts, _ = rows.roll_back()
    assert (counts.restored, counts.refused) == (len(NUMBERS) - 1, 1)
    assert bench.values()[2:] == [
        "avatar/avatar-3.png",
        "image/avatar-4.png",
        "image/avatar-5.png",
        "image/avatar-3.png",
    ]
    rows.close()


DOING: dict[str, tuple[str, ...]] = {
    "deletes another row": ("DELETE FROM T WHERE path = NEW.path AND id <> NEW.id",),
    "empties another row": ("UPDATE T SET path = '' WHERE id = 99",),
    "changes another row's key": ("UPDATE T SET id = 100 WHERE id = 99",),
    "adds a row": ("INSERT INTO T (id, path) VALUES (100, OLD.path)",),
    "swaps a row for another": ("DELETE FROM T WHERE id = 99", "INSERT INTO T (id, path) VALUES (100, 'x')"),
    "takes another row's place": ("DELETE FROM T WHERE id = 99", "INSERT INTO T (id, path) VALUES (99, 'x')"),
}


@only("postgresql", "sqlite")  # a trigger of MariaDB may not touch the table that it fires for
@pytest.mark.parametrize("timing", ["BEFORE", "AFTER"])
@pytest.mark.parametrize("what", DOING)
def test_a_row_whose_trigger_touches_others_is_refused_and_the_rest_go_on(bench: Bench, what: str, timing: str) -> None:
    bench.create()
    fill(bench, BYSTANDER)
    after_update(bench, "; ".join(DOING[what]), when="NEW.path = 'avatar/3.png'", timing=timing)
    outcome = rewrite(bench)
    check_only_row_3_is_refused(bench, outcome, BYSTANDER)
    assert "other rows of the table" in outcome.refused[0].message
    assert "tr" in outcome.refused[0].message, "the trigger is named"


@only("postgresql", "sqlite")
def test_if_each_rows_trigger_touches_others_the_run_stops_and_names_it(bench: Bench) -> None:
    bench.create()
    fill(bench, BYSTANDER)
    after_update(bench, "UPDATE T SET path = NEW.path || '.copy' WHERE id = 99")
    with pytest.raises(DatabaseError, match=r"other rows of the table .*All 5 rows .* triggers: tr"):
        rewrite(bench)
    assert bench.values() == [*(f"image/{number}.png" for number in NUMBERS), BYSTANDER[1]]


@only("sqlite")
@pytest.mark.parametrize(
    "what",
    [
        "INSERT OR REPLACE INTO T (id, path, slug) VALUES (NEW.id + 100, 'x', 'taken')",
        "UPDATE OR REPLACE T SET slug = 'taken' WHERE id = NEW.id",
        "REPLACE INTO T (id, path, slug) VALUES (99, 'x', 'y')",
    ],
)
def test_a_replace_within_a_trigger_is_noticed(bench: Bench, what: str) -> None:
    bench.create(more=", slug TEXT UNIQUE")
    fill(bench, BYSTANDER)
    bench.execute("UPDATE T SET slug = 'taken' WHERE id = 99")
    after_update(bench, what, when="NEW.path = 'avatar/3.png'")
    check_only_row_3_is_refused(bench, rewrite(bench), BYSTANDER)


@only("postgresql")
def test_a_deferred_trigger_is_noticed_before_the_commit(bench: Bench) -> None:
    bench.create()
    fill(bench, BYSTANDER)
    after_update(
        bench,
        "DELETE FROM T WHERE id = 99",
        when="NEW.path = 'avatar/3.png'",
        declared="DEFERRABLE INITIALLY DEFERRED",
    )
    check_only_row_3_is_refused(bench, rewrite(bench), BYSTANDER)


@only("postgresql")
@pytest.mark.parametrize(
    "rule",
    [
        "DO ALSO DELETE FROM T WHERE id = 99",
        "DO ALSO UPDATE T SET path = 'x' WHERE id = 99 AND path <> 'x'",
        "WHERE NEW.path = 'avatar/3.png' DO INSTEAD NOTHING",
    ],
)
def test_a_rule_changes_no_other_row_unnoticed(bench: Bench, rule: str) -> None:
    bench.create()
    fill(bench, BYSTANDER)
    when = "INSERT" if "UPDATE T" in rule else "UPDATE"  # a rule on UPDATE must not UPDATE its own table
    bench.execute(f"CREATE RULE r AS ON {when} TO T {rule.replace(' T ', f' {bench.table} ')}")
    if rule.startswith("WHERE"):
        check_only_row_3_is_refused(bench, rewrite(bench), BYSTANDER)
    elif when == "UPDATE":
        with pytest.raises(DatabaseError, match="other rows of the table"):
            rewrite(bench)
        assert bench.values() == [*(f"image/{number}.png" for number in NUMBERS), BYSTANDER[1]]
    else:
        assert rewrite(bench).rewritten == len(NUMBERS)


@only("mariadb")
@pytest.mark.parametrize("seen", [True, False], ids=["seen", "hidden"])
@pytest.mark.parametrize("what", ["DELETE FROM {p} WHERE id = 9", "UPDATE {p} SET id = 10 WHERE id = 9"])
def test_a_trigger_that_comes_back_through_a_foreign_key_is_noticed_by_users_from_whom_it_is_hidden_too(
    bench: Bench, modest: Callable[..., dict[str, str]], what: str, seen: bool
) -> None:
    parent = f"p_{bench.table}"
    bench.execute(f"CREATE TABLE {parent} (id INT PRIMARY KEY, path VARCHAR(100) UNIQUE)")
    bench.execute(f"INSERT INTO {parent} VALUES (9, 'avatar/3.png')")
    rules = "ON DELETE CASCADE ON UPDATE CASCADE"
    bench.create(key=f"id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES {parent} (id) {rules}")
    fill(bench, BYSTANDER)
    bench.execute("UPDATE T SET parent = 9 WHERE id = 99")
    after_update(bench, what.format(p=parent), when="NEW.path = 'avatar/3.png'")
    login = modest("SELECT (id, path)", "UPDATE (path)")
    bench.execute(f"GRANT ALL ON rehome.* TO {login['user']}")
    outcome = rewrite(bench, login={} if seen else login)
    if what.startswith("UPDATE"):  # neither key nor value of a row changes
        assert outcome.rewritten == len(NUMBERS)
    else:
        check_only_row_3_is_refused(bench, outcome, BYSTANDER)


LEGITIMATE: dict[str, Callable[[str], dict[str, Any]]] = {
    "keeps the time of the change": lambda table: {"what": f"UPDATE {table} SET seen = seen + 1 WHERE id = NEW.id"},
    "writes another table": lambda table: {"what": f"INSERT INTO audit_{table} VALUES (NEW.path)"},
    "counts in another table": lambda table: {"what": f"UPDATE audit_{table} SET path = 'counted'"},
}


@pytest.mark.parametrize("what", LEGITIMATE)
def test_a_trigger_that_leaves_the_other_rows_alone_hinders_nothing(bench: Bench, what: str) -> None:
    if bench.engine == "mariadb" and what == "keeps the time of the change":
        what = "writes another table"  # MariaDB has ON UPDATE columns for it
    bench.create(more=", seen INTEGER DEFAULT 0")
    bench.execute(f"CREATE TABLE audit_{bench.table} (path VARCHAR(100))")
    bench.execute(f"INSERT INTO audit_{bench.table} VALUES ('')")
    fill(bench, BYSTANDER)
    after_update(bench, **LEGITIMATE[what](bench.table))
    assert rewrite(bench) == ChunkOutcome(rewritten=len(NUMBERS))


@only("sqlite")
def test_a_replacing_trigger_on_another_table_hinders_nothing(bench: Bench) -> None:
    bench.create()
    bench.execute(f"CREATE TABLE last_{bench.table} (one INTEGER PRIMARY KEY, path TEXT)")
    fill(bench)
    after_update(bench, f"INSERT OR REPLACE INTO last_{bench.table} VALUES (1, NEW.path)")
    assert rewrite(bench) == ChunkOutcome(rewritten=len(NUMBERS))


@only("postgresql", "sqlite")  # MariaDB refuses the row: it does not cascade within one table
def test_children_in_the_same_table_follow_by_their_foreign_key(bench: Bench) -> None:
    bench.create(column="path VARCHAR(100) UNIQUE", more=", parent VARCHAR(100)")
    fill(bench)
    bench.execute("UPDATE T SET parent = 'image/1.png' WHERE id = 4")
    if bench.engine == "sqlite":
        bench.execute(f"CREATE TABLE copy_{bench.table} AS SELECT * FROM T ")
        bench.execute("DROP TABLE T ")
        reference = f"REFERENCES {bench.table} (path) ON UPDATE CASCADE"
        bench.create(column="path VARCHAR(100) UNIQUE", more=f", parent VARCHAR(100) {reference}")
        bench.execute(f"INSERT INTO T SELECT * FROM copy_{bench.table}")
    else:
        bench.execute(f"ALTER TABLE T ADD FOREIGN KEY (parent) REFERENCES {bench.table} (path) ON UPDATE CASCADE")
    assert rewrite(bench) == ChunkOutcome(rewritten=len(NUMBERS))
    assert bench.execute("SELECT parent FROM T WHERE id = 4") == [("avatar/1.png",)]


@only("postgresql", "sqlite")
def test_what_the_application_writes_beside_is_not_taken_for_a_side_effect(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.create(more=", seen INTEGER DEFAULT 0")
    fill(bench, BYSTANDER)
    after_update(bench, "UPDATE T SET seen = seen + 1 WHERE id = NEW.id")
    if bench.engine == "postgresql":
        dialect = type(bench.rehome())
        others, numbers = dialect.others, iter(range(200, 300))

        def with_uploads(*given: Any) -> Any:
            bench.execute("INSERT INTO T (id, path) VALUES (?, 'image/new.png')", next(numbers))
            return others(*given)

        monkeypatch.setattr(dialect, "others", with_uploads)
    assert rewrite(bench) == ChunkOutcome(rewritten=len(NUMBERS))


def test_a_journal_that_swallows_its_entry_rolls_the_rewrite_back(bench: Bench) -> None:
    if bench.engine == "mariadb":
        return  # its triggers cannot skip a row
    bench.create()
    fill(bench)
    bench.rehome().create_journal(bench.schema)
    if bench.engine == "sqlite":
        bench.execute("CREATE TRIGGER swallow BEFORE INSERT ON rehome_journal BEGIN SELECT RAISE(IGNORE); END")
    else:
        bench.rehome_execute("CREATE RULE swallow AS ON INSERT TO rehome.journal DO INSTEAD NOTHING")
    with pytest.raises(DatabaseError, match="does not take entries"):
        rewrite(bench)
    assert bench.values() == [f"image/{number}.png" for number in NUMBERS]


@only("postgresql", "sqlite")
def test_a_trigger_that_is_created_while_a_run_works_is_noticed(bench: Bench) -> None:
    bench.create()
    fill(bench, BYSTANDER)
    database = bench.rehome()
    database.create_journal(bench.schema)
    facts, target = database.describe(bench.table, "path"), JournalTarget(bench.schema, bench.table, "f" * 64)
    changes = [Change((number,), f"image/{number}.png", f"avatar/{number}.png") for number in NUMBERS]
    outcome, context = ChunkOutcome(), WorkContext()
    rewrite_chunk(database, facts, changes[:2], target, outcome, context)
    after_update(bench, "DELETE FROM T WHERE id = 99", when="NEW.path = 'avatar/3.png'", timing="BEFORE")
    rewrite_chunk(database, facts, changes[2:], target, outcome, context)
    check_only_row_3_is_refused(bench, outcome, BYSTANDER)


@only("postgresql", "sqlite")
def test_in_a_rollback_a_row_whose_trigger_touches_others_is_refused_too(bench: Bench, tmp_path: Path) -> None:
    bench.create()
    bench.fill(*(f"image/avatar-{number}.png" for number in NUMBERS))
    rows = Rows(bench, tmp_path)
    assert rows.migrate() == len(NUMBERS)
    bench.execute("INSERT INTO T (id, path) VALUES (99, 'own.png')")
    after_update(bench, "DELETE FROM T WHERE id = 99", when="NEW.path = 'image/avatar-3.png'")
    counts, _ = rows.roll_back()
    assert (counts.restored, counts.refused) == (len(NUMBERS) - 1, 1)
    assert bench.values()[-1] == "own.png"
    rows.close()

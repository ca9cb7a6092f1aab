"""What the server refuses: about one row, which is listed while the others go on, or about the table or the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rehome.db import journal
from rehome.db.dialect import Change, DatabaseError
from rehome.db.journal import JournalTarget
from rehome.db.work.chunk import ChunkOutcome, rewrite_chunk
from rehome.db.work.reconnect import WorkContext
from rehome.db.work.refusals import MAX_TRIALS, Refusals

from tests.integration.db.conftest import Bench, only
from tests.integration.db.rows import Rows

ROWS = 6
QUICK = WorkContext(sleep=lambda _seconds: None)


def changes_of(numbers: Sequence[int]) -> list[Change]:
    return [Change((number,), f"image/{number}.png", f"avatar/{number}.png") for number in numbers]


def fill(bench: Bench, rows: int = ROWS) -> None:
    bench.create()
    bench.fill(*(f"image/{number}.png" for number in range(1, rows + 1)))


def rewrite(bench: Bench, rows: int = ROWS, context: WorkContext | None = None) -> ChunkOutcome:
    database = bench.rehome()
    database.create_journal(bench.schema)
    outcome = ChunkOutcome()
    facts = database.describe(bench.table, "path")
    target = JournalTarget(bench.schema, bench.table, "f" * 64)
    try:
        rewrite_chunk(database, facts, changes_of(range(1, rows + 1)), target, outcome, context or fresh())
    finally:
        entries = [entry for batch in journal.newest_first(database, bench.schema, bench.table) for entry in batch]
        assert sum(recorded.entry.row_count for recorded in entries) == outcome.rewritten
    return outcome


def fresh(samples: Sequence[Change] = (), reference: str = "") -> WorkContext:
    return replace(QUICK, refusals=Refusals({reference: samples}))


def refuse(bench: Bench, how: str, when: str) -> None:
    """Create a trigger before UPDATE that does `how` for the rows with `when`, a condition on NEW."""
    if bench.engine == "mariadb":
        body = f"IF {when} THEN {how}; END IF"
        bench.execute(f"CREATE TRIGGER tr_{bench.table} BEFORE UPDATE ON T FOR EACH ROW BEGIN {body}; END")
    elif bench.engine == "postgresql":
        bench.execute(
            f"CREATE FUNCTION f_{bench.table}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN IF {when} THEN {how}; END IF; RETURN NEW; END $$"
        )
        bench.execute(f"CREATE TRIGGER tr BEFORE UPDATE ON T FOR EACH ROW EXECUTE FUNCTION f_{bench.table}()")
    else:
        bench.execute(f"CREATE TRIGGER tr BEFORE UPDATE ON T WHEN {when} BEGIN SELECT {how}; END")


SAYING = "the server's own words"
SIGNALS = [
    30001,  # no number of the server's
    1644,  # that of a SIGNAL without one
    1205,  # a lock timeout
    1213,  # a deadlock
    1969,  # a statement timeout
    2006,  # a lost connection
    1927,  # a connection that was killed
    1053,  # a shutdown
    1290,  # a server that is read-only
    1142,  # a missing right
    1146,  # no such table
    1064,  # a syntax error
    1114,  # a full disk
]
SQLSTATES = ["P0001", "U0001", "40001", "40P01", "55P03", "57014", "57P01", "08006", "25006", "42501", "42P01", "53100"]
SQLSTATES += ["23514", "22001", "XX000", "0A000", "58030"]
REFUSING = {
    "mariadb": [f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {n}, MESSAGE_TEXT = \"{SAYING}\"" for n in SIGNALS],
    "postgresql": [f"RAISE EXCEPTION '%%', $w${SAYING}$w$ USING ERRCODE = '{state}'" for state in SQLSTATES],
    "sqlite": [f"RAISE({how}, 'the server''s own words')" for how in ("ABORT", "FAIL", "ROLLBACK")],
}


def refusing(*engines: str) -> pytest.MarkDecorator:
    cases = [(engine, how) for engine in engines or REFUSING for how in REFUSING[engine]]
    return pytest.mark.parametrize(("bench", "how"), cases, indirect=["bench"])


@refusing()
def test_whatever_the_code_a_row_that_fails_alone_is_refused_and_the_others_go_on(bench: Bench, how: str) -> None:
    fill(bench)
    refuse(bench, how, "NEW.id = 1")
    outcome = rewrite(bench)
    assert (outcome.rewritten, [refusal.change.key for refusal in outcome.refused]) == (ROWS - 1, [(1,)])
    assert SAYING in outcome.refused[0].message
    assert bench.values() == ["image/1.png", *(f"avatar/{number}.png" for number in range(2, ROWS + 1))]


@refusing()
def test_whatever_the_code_what_fails_for_every_row_stops_after_few(bench: Bench, how: str) -> None:
    rows = 200
    fill(bench, rows)
    refuse(bench, how, "NEW.id > 0")
    outcome = ChunkOutcome()
    with pytest.raises(DatabaseError, match=SAYING) as raised:
        outcome = rewrite(bench, rows)
    assert f"All {MAX_TRIALS // 2 + 1} rows" in str(raised.value)
    assert "tr" in str(raised.value), "the trigger is named"
    assert outcome == ChunkOutcome()
    assert bench.values() == [change.old for change in changes_of(range(1, rows + 1))]


FROZEN = {
    "mariadb": "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30001",
    "postgresql": "RAISE EXCEPTION 'no' USING ERRCODE = '53100'",
    "sqlite": "RAISE(ABORT, 'no')",
}


@pytest.mark.parametrize("when", ["NEW.id <= 100", "NEW.id > 40", "NEW.id <> 77", "NEW.id % 2 = 0"])
def test_many_refused_rows_in_a_row_do_not_end_a_run_in_which_others_pass(bench: Bench, when: str) -> None:
    rows = 120
    fill(bench, rows)
    when = when.replace("%", "%" if bench.engine == "sqlite" else "%%")
    refuse(bench, FROZEN[bench.engine], when)
    last = changes_of([*range(rows - 3, rows + 1), 77])
    outcome = rewrite(bench, rows, fresh(last, f"{bench.table}.path"))
    (expected,) = bench.execute(f"SELECT count(*) FROM T WHERE {when.replace('NEW.', '')}")[0]
    assert (outcome.rewritten, len(outcome.refused)) == (rows - expected, expected)


@only("mariadb", "postgresql")  # where the journal is a table of another schema
def test_a_journal_that_cannot_be_written_any_more_ends_the_run_after_few_rows(bench: Bench) -> None:
    fill(bench, 300)
    database = bench.rehome()
    database.create_journal(bench.schema)
    facts, context = database.describe(bench.table, "path"), fresh()
    target, outcome = JournalTarget(bench.schema, bench.table, "f" * 64), ChunkOutcome()
    rewrite_chunk(database, facts, changes_of(range(1, 101)), target, outcome, context)
    bench.rehome_execute("DROP TABLE rehome.journal")
    tries: list[str] = []
    written = database.append_journal
    database.append_journal = lambda *given: tries.append("try") or written(*given)  # type: ignore[method-assign, func-returns-value]
    with pytest.raises(DatabaseError, match="journal"):
        rewrite_chunk(database, facts, changes_of(range(101, 301)), target, outcome, context)
    assert (outcome.rewritten, outcome.refused) == (100, [])
    assert len(tries) < 150


@pytest.mark.parametrize("tables_words", [0, 1])
def test_one_unusable_row_of_each_kind_is_refused_with_the_servers_words(bench: Bench, tables_words: int) -> None:
    """A CAST that only a strict session refuses, a check, a foreign key, a partition that does not exist."""
    kinds = {
        "mariadb": [
            (", n INT GENERATED ALWAYS AS (CAST(SUBSTRING(path, 8, 1) AS SIGNED) + 0) STORED", "avatar/x.png"),
            (", CHECK (path <> 'avatar/x.png')", "avatar/x.png"),
        ],
        "postgresql": [
            (", n INT GENERATED ALWAYS AS (CAST(substr(path, 8, 1) AS INT)) STORED", "avatar/x.png"),
            (", CHECK (path <> 'avatar/x.png')", "avatar/x.png"),
        ],
        "sqlite": [
            (", CHECK (path <> 'avatar/x.png')", "avatar/x.png"),
            (", CHECK (length(path) < 13 OR json(path))", "avatar/xx.png"),
        ],
    }
    more, new = kinds[bench.engine][tables_words]
    bench.create(more=more)
    bench.fill(*(f"images/{number}.png" for number in range(1, ROWS + 1)))
    changes = [
        Change((number,), f"images/{number}.png", f"avatar/{number}.png")
        if number != 3
        else Change((3,), "images/3.png", new)
        for number in range(1, ROWS + 1)
    ]
    database = bench.rehome()
    database.create_journal(bench.schema)
    outcome = ChunkOutcome()
    target = JournalTarget(bench.schema, bench.table, "f" * 64)
    rewrite_chunk(database, database.describe(bench.table, "path"), changes, target, outcome, fresh())
    assert (outcome.rewritten, [refusal.change.key for refusal in outcome.refused]) == (ROWS - 1, [(3,)])
    assert bench.values()[2] == "images/3.png"


def test_in_a_rollback_too_a_row_that_fails_alone_is_refused_and_the_others_go_on(bench: Bench, tmp_path: Path) -> None:
    bench.create()
    bench.fill(*(f"image/avatar-{number}.png" for number in range(1, ROWS + 1)))
    rows = Rows(bench, tmp_path)
    assert rows.migrate() == ROWS
    refuse(bench, FROZEN[bench.engine], "NEW.id = 2")
    counts, catalog = rows.roll_back()
    assert (counts.journalled, counts.restored, counts.refused) == (ROWS, ROWS - 1, 1)
    ((key, message),) = catalog.query("SELECT key, message FROM refused_rows")
    assert key == "[2]"
    assert message
    rows.close()


@pytest.mark.product("mariadb")  # MySQL's limit is on SELECT alone
@only("mariadb", "postgresql")
def test_a_row_whose_trigger_takes_too_long_is_refused_after_two_attempts(bench: Bench) -> None:
    fill(bench)
    sleep, limit = {
        "mariadb": ("DO SLEEP(9)", "SET SESSION max_statement_time = 0.2"),
        "postgresql": ("PERFORM pg_sleep(9)", "SET statement_timeout = '200ms'"),
    }[bench.engine]
    refuse(bench, sleep, "NEW.id = 2")
    database = bench.rehome()
    database.create_journal(bench.schema)
    database.run(limit)
    facts, target = database.describe(bench.table, "path"), JournalTarget(bench.schema, bench.table, "f" * 64)
    outcome = ChunkOutcome()
    rewrite_chunk(database, facts, changes_of(range(1, ROWS + 1)), target, outcome, fresh())
    assert (outcome.rewritten, [refusal.change.key for refusal in outcome.refused]) == (ROWS - 1, [(2,)])


@only("mariadb", "postgresql")  # SQLite locks the whole file
def test_a_row_that_somebody_keeps_locked_is_refused_and_the_others_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bench)
    monkeypatch.setattr("rehome.db.work.chunk.MAX_CONFLICTS", 2)
    database, other = bench.rehome(), bench.rehome()
    database.create_journal(bench.schema)
    database.run({"mariadb": "SET innodb_lock_wait_timeout = 1", "postgresql": "SET lock_timeout = 100"}[bench.engine])
    facts, target = database.describe(bench.table, "path"), JournalTarget(bench.schema, bench.table, "f" * 64)
    outcome = ChunkOutcome()
    with other.transaction():
        other.lock(facts, changes_of([2]))
        rewrite_chunk(database, facts, changes_of(range(1, ROWS + 1)), target, outcome, fresh())
    assert (outcome.rewritten, [refusal.change.key for refusal in outcome.refused]) == (ROWS - 1, [(2,)])


@only("mariadb")
def test_a_row_that_the_server_takes_in_no_packet_is_refused_and_the_others_go_on(bench: Bench) -> None:
    """An oversized statement looks like a lost connection, and does so for its row every time."""
    (before,) = bench.execute("SELECT @@global.max_allowed_packet")[0]
    bench.create(column="path LONGTEXT")
    long = "x" * 3_000_000
    bench.fill(*(f"image/{number}.png" for number in range(1, ROWS + 1)))
    bench.execute("SET GLOBAL max_allowed_packet = 1048576")
    try:
        database = bench.rehome()
        database.create_journal(bench.schema)
        changes = [*changes_of(range(1, ROWS)), Change((ROWS,), f"image/{ROWS}.png", long)]
        facts, target = database.describe(bench.table, "path"), JournalTarget(bench.schema, bench.table, "f" * 64)
        outcome = ChunkOutcome()
        rewrite_chunk(database, facts, changes, target, outcome, fresh())
    finally:
        bench.execute("SET GLOBAL max_allowed_packet = ?", before)
    assert (outcome.rewritten, [refusal.change.key for refusal in outcome.refused]) == (ROWS - 1, [(ROWS,)])


def policy(bench: Bench) -> None:
    bench.execute("ALTER TABLE T ENABLE ROW LEVEL SECURITY")
    bench.execute("CREATE POLICY p ON T USING (true) WITH CHECK (path <> 'avatar/3.png')")


def deferred_unique(bench: Bench) -> None:
    bench.execute(f"ALTER TABLE T ADD CONSTRAINT u_{bench.table} UNIQUE (path) DEFERRABLE INITIALLY DEFERRED")
    bench.execute("INSERT INTO T (id, path) VALUES (99, 'avatar/3.png')")


def own_table(bench: Bench) -> None:
    refuse(bench, f"UPDATE {bench.table} SET path = 'x' WHERE id = 99", "NEW.path = 'avatar/3.png'")


def domain(bench: Bench) -> None:
    bench.execute(f"CREATE DOMAIN d_{bench.table} AS text CHECK (VALUE <> 'avatar/3.png')")
    bench.execute(f"ALTER TABLE T ALTER path TYPE d_{bench.table}")


def division(bench: Bench) -> None:
    """No trigger's own code: one that the server raises within a trigger, about a row."""
    refuse(
        bench,
        {"postgresql": "PERFORM 1 / (NEW.id - 3)", "mariadb": "SIGNAL SQLSTATE '22012'"}[bench.engine],
        "NEW.id = 3",
    )


ODD_REFUSALS = [
    *(("postgresql", way) for way in (policy, deferred_unique, domain, division)),
    *(("mariadb", way) for way in (own_table, division)),
]


@pytest.mark.parametrize(("bench", "way"), ODD_REFUSALS, indirect=["bench"])
def test_a_row_is_refused_also_by_what_no_list_of_codes_has(bench: Bench, way: Callable[[Bench], None]) -> None:
    fill(bench)
    way(bench)
    outcome = rewrite(bench)
    assert (outcome.rewritten, [refusal.change.key for refusal in outcome.refused]) == (ROWS - 1, [(3,)])


@only("mariadb", "sqlite")
def test_a_broken_trigger_stops_the_run_and_is_named(bench: Bench) -> None:
    rows = 50
    fill(bench, rows)
    if bench.engine == "mariadb":
        bench.execute(f"CREATE TABLE audit_{bench.table} (path VARCHAR(100))")
        refuse(bench, f"INSERT INTO audit_{bench.table} VALUES (NEW.path)", "true")
        bench.execute(f"DROP TABLE audit_{bench.table}")
    else:
        bench.execute("CREATE TRIGGER tr AFTER UPDATE ON T BEGIN SELECT the_applications_own(NEW.path); END")
    with pytest.raises(DatabaseError, match=r"rows .* that were tried fail: .*triggers: tr"):
        rewrite(bench, rows)

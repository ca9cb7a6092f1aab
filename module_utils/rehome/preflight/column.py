"""The checks of a referencing column, the same for every database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeVar

from ..checks import Check, stop, troubles, unknown, warn
from ..codes import Code
from ..db.dialect import (
    ConnectionLostError,
    DatabaseError,
    Dialect,
    MissingRightError,
    ReadOnlyError,
    RetryableError,
    TableFacts,
)
from ..db.inspector import (
    HIDDEN_RULE,
    SAMPLE_ROWS,
    Collision,
    ForeignKey,
    Inspector,
    RefusedByCheck,
    RefusedStatement,
    Rights,
    StatementPlan,
    Unknown,
    Values,
    or_unknown,
)
from ..errors import Finding
from ..mapping.value_map import ValueMap
from ..report.estimate import ROWS_PER_SECOND, between

FEW_ROWS = 10_000
"""In a table of fewer rows, a full table scan may be faster than any index."""

CASCADES = ("CASCADE", "SET NULL", "SET DEFAULT")


@dataclass(frozen=True, slots=True)
class Column:
    """A referencing column that is checked.

    setting: its setting, such as `rehome_references[0]`
    dry_run: then a permission that only writing needs may be missing
    troubles: the names of the checks that have already found why statements may be refused
    """

    facts: TableFacts
    setting: str
    values: ValueMap
    dry_run: bool
    troubles: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """`table.column`."""
        return f"{self.facts.table}.{self.facts.column}"

    def check(self, name: str, status: Literal["pass", "info"], found: str, advice: str = "") -> Check:
        """Return a check of this column that is no trouble."""
        return Check(self.name, name, status, found, advice)

    def warn(self, name: str, found: str, advice: str, code: Code) -> Check:
        """Return a check of this column that warns of a cost."""
        return warn(self.name, name, found, advice, code=code)

    def unknown(self, name: str, reason: Unknown, advice: str = "") -> Check:
        """Return a check that could not be made."""
        return unknown(self.name, name, reason.why, advice)

    def stop(self, name: str, problem: str, way_out: str, code: Code) -> Check:
        """Return a check of this column that stops the run."""
        return stop(self.name, name, Finding(self.setting, self.name, problem, way_out, code))


def inspect_column(database: Dialect, inspector: Inspector, column: Column) -> list[Check]:
    """Return every check of a referencing column. Never raises DatabaseError: what cannot be read is unknown."""
    facts, values = column.facts, column.values
    counted = or_unknown(lambda: inspector.count_values(facts, values))
    storage = or_unknown(lambda: inspector.storage(facts))
    rows = counted.rows if isinstance(counted, Values) else None if isinstance(storage, Unknown) else storage.rows
    checks = [column.check("key", "pass", ", ".join(f"{part.name} ({part.family})" for part in facts.key))]
    if isinstance(storage, Unknown):
        checks.append(column.unknown("storage", storage))
    else:
        checks += [
            column.check("storage", "pass", storage.engine),
            column.check("collation", "pass", f"{storage.collation}; Rehome compares bytes"),
        ]
    checks += [
        *_values(inspector, column, counted, rows),
        *_unique(inspector, column),
        *_judged(
            column,
            "characters",
            lambda: _Held(inspector.unable_to_hold(facts, values.target_head)),
            lambda held: [_characters(column, held)],
        ),
        *_judged(
            column,
            "check constraints",
            lambda: inspector.refused_by_checks(facts, values),
            lambda found: _check_constraints(column, found),
        ),
        *_triggers(column),
        *_judged(
            column,
            "foreign keys",
            lambda: inspector.foreign_keys(facts),
            lambda keys: _foreign_keys(inspector, column, keys),
        ),
        *_judged(
            column,
            "generated columns",
            lambda: inspector.generated_columns(facts),
            lambda names: _generated(column, names),
        ),
        *_judged(column, "table", lambda: inspector.other_checks(facts), list),
    ]
    checks = _as_far_as_seen(inspector, column, checks)
    column = replace(column, troubles=column.troubles | troubles(checks))
    return [
        *checks,
        *_judged(
            column,
            "statements",
            lambda: inspector.plans(facts),
            lambda plans: [_statement(inspector, column, plan, rows) for plan in plans],
        ),
        *inspect_rights(database, inspector, column),
        *_cost(inspector, column, counted),
    ]


def _as_far_as_seen(inspector: Inspector, column: Column, checks: Sequence[Check]) -> list[Check]:
    """Return the checks, those that pass only because something may be hidden from this user as unknown."""
    found = or_unknown(lambda: inspector.hidden(column.facts))
    if isinstance(found, Unknown):
        return [*checks, column.unknown("visibility", found)]
    return [
        unknown(check.subject, check.name, f"{hidden.what} (seen: {check.found})", hidden.advice)
        if check.status == "pass" and (hidden := found.get(check.name))
        else check
        for check in checks
    ]


_Known = TypeVar("_Known")


def _judged(
    column: Column, name: str, read: Callable[[], _Known | Unknown], judge: Callable[[_Known], list[Check]]
) -> list[Check]:
    result = or_unknown(read)
    return [column.unknown(name, result)] if isinstance(result, Unknown) else judge(result)


def _values(inspector: Inspector, column: Column, counted: Values | Unknown, rows: int | None) -> list[Check]:
    if isinstance(counted, Unknown):
        some = "" if rows is None else f"about {rows:,}, by the server's estimate; "
        return [column.check("rows", "info", f"{some}not counted here: {counted.why}", "The plan counts them")]
    head = column.values.source_head
    twins = (
        column.check(
            "look-alikes",
            "info",
            f"{counted.look_alikes:,} values begin with {head!r} only if case and accents are ignored",
            "They name other objects and are not rewritten",
        )
        if counted.look_alikes
        else column.check("look-alikes", "pass", f"no value differs from {head!r} in case or accents only")
    )
    found = f"{counted.rows:,}, of which {counted.old:,} begin with {head!r}"
    return [column.check("rows", "pass", found), twins, *_length(inspector, column, counted)]


def _length(inspector: Inspector, column: Column, counted: Values) -> list[Check]:
    facts, values = column.facts, column.values
    if not counted.old:
        return [column.check("length", "pass", "no value to lengthen")]
    growth = _size(facts, values.target_head) - _size(facts, values.source_head)
    longest = counted.longest + growth
    if facts.max_length is None:
        return [column.check("length", "pass", f"the longest new value has {longest:,}, and the column has no limit")]
    fits = f"the longest new value has {longest:,} of {facts.max_length:,} {facts.length_unit}"
    if longest <= facts.max_length:
        return [column.check("length", "pass", fits)]
    long = or_unknown(
        lambda: inspector.too_long_values(facts, values, facts.max_length - growth if facts.max_length else 0)
    )
    if isinstance(long, Unknown):
        return [column.unknown("length", long)]
    over = [new for old in long if (new := values.to_target(old)) is not None and facts.overflows(new)]
    if not over:
        return [column.check("length", "pass", f"every new value fits {facts.max_length:,} {facts.length_unit}")]
    return [
        column.warn(
            "length",
            f"{_at_least(len(over), len(long))} values would be longer than {facts.max_length:,} {facts.length_unit}, "
            f"such as {over[0]!r}",
            "The plan lists them and stops. Widen the column, choose a shorter prefix, or leave them out with "
            "rehome_exclude",
            Code.VALUES_DO_NOT_FIT,
        )
    ]


def _size(facts: TableFacts, text: str) -> int:
    return len(text) if facts.length_unit == "characters" else len(text.encode())


def _at_least(count: int, read: int) -> str:
    return f"{count:,}" if read < SAMPLE_ROWS else f"{count:,} or more"


def _unique(inspector: Inspector, column: Column) -> list[Check]:
    name = "unique indexes"
    indexes = or_unknown(lambda: inspector.unique_indexes(column.facts))
    if isinstance(indexes, Unknown):
        return [column.unknown(name, indexes)]
    if not indexes:
        return [column.check(name, "pass", "none includes the column")]
    checks = []
    for index in indexes:
        label = f"{index.name} ({index.words})"
        found = or_unknown(lambda index=index: inspector.collisions(column.facts, column.values, index))  # type: ignore[misc]
        if isinstance(found, Unknown):
            advice = "Rows whose new value is taken are not rewritten, and are listed in rows-refused.jsonl"
            checks.append(column.unknown(name, Unknown(f"collisions in {label}: {found.why}"), advice))
            continue
        checks.append(_collisions(column, label, found))
    return checks


def _collisions(column: Column, label: str, found: Sequence[Collision]) -> Check:
    ours = [pair for pair in found if column.values.to_target(pair.old) is not None]
    if not ours:
        return column.check("unique indexes", "pass", f"{label}: no new value is taken")
    first = ours[0]
    other = "by another new value" if first.taken_by is None else f"by {first.taken_by!r}"
    return column.warn(
        "unique indexes",
        f"{label}: {_at_least(len(ours), len(found))} rows would get a value that is taken, such as "
        f"{first.old!r}, {other}",
        "Such rows are not rewritten, and are listed in rows-refused.jsonl; resolve them before the run, or after",
        Code.ROWS_REFUSED,
    )


class _Held(NamedTuple):
    """unable: the name of the character set that cannot hold the new head; None if it can"""

    unable: str | None


def _characters(column: Column, held: _Held) -> Check:
    head = column.values.target_head
    if held.unable is None:
        return column.check("characters", "pass", f"the column can hold {head!r}")
    return column.stop(
        "characters",
        f"the column's character set, {held.unable}, cannot hold {head!r}, with which every new value begins",
        "Give the column a character set of Unicode (utf8mb4), or choose another prefix under rehome_target. An "
        "encoding of PostgreSQL is that of the whole database",
        Code.VALUES_DO_NOT_FIT,
    )


def _check_constraints(column: Column, found: Sequence[RefusedByCheck]) -> list[Check]:
    refusing = [check for check in found if check.refused]
    if not refusing:
        return [column.check("check constraints", "pass", "none refuses a new value")]
    return [_check_constraint(column, check) for check in refusing]


def _check_constraint(column: Column, check: RefusedByCheck) -> Check:
    old = check.example or ""
    new = column.values.target_head + old[len(column.values.source_head) :]
    words = f"{check.name} refuses {_at_least(check.refused, check.computed)} of {check.computed:,} new values"
    words += f", such as {new!r}"
    if check.refused == check.computed:
        return column.stop(
            "check constraints", words, "Drop or widen the constraint before the migration", Code.VALUES_DO_NOT_FIT
        )
    advice = "Such rows are not rewritten, and are listed in rows-refused.jsonl"
    return column.warn("check constraints", words, advice, Code.ROWS_REFUSED)


def _triggers(column: Column) -> list[Check]:
    if not column.facts.triggers:
        return [column.check("triggers", "pass", "none that fires on UPDATE")]
    return [
        column.warn(
            "triggers",
            f"table {column.facts.table} has the trigger {name}, which fires for every rewritten row",
            "Make sure that it may run so often. A rollback does not undo what it does beyond this column",
            Code.TABLE_REACTS,
        )
        for name in column.facts.triggers
    ]


def _foreign_keys(inspector: Inspector, column: Column, keys: Sequence[ForeignKey]) -> list[Check]:
    if not keys:
        return [column.check("foreign keys", "pass", "none on the column")]
    return [_outgoing(inspector, column, key) if key.child == column.name else _incoming(column, key) for key in keys]


def _incoming(column: Column, key: ForeignKey) -> Check:
    changes = "change that column too, which the journal does not record and a rollback does not undo"
    refuses = "refuse every row that is referred to"
    effect = changes if key.on_update in CASCADES else refuses
    if key.on_update == HIDDEN_RULE:
        effect = f"{changes}, or {refuses}"
    refers = f"{key.child} refers to it by the foreign key {key.name} (ON UPDATE {key.on_update})"
    return column.stop("foreign keys", f"{refers}: the server would {effect}", _drop(key, key.child), Code.FOREIGN_KEY)


def _outgoing(inspector: Inspector, column: Column, key: ForeignKey) -> Check:
    lacks: bool | Unknown = Unknown("")
    if key.columns == 1:
        lacks = or_unknown(lambda: inspector.lacks_parent(column.facts, column.values, key))
    if lacks is False:
        return column.check("foreign keys", "pass", f"{key.name}: {key.parent} has every new value")
    how = "may lack" if isinstance(lacks, Unknown) else "lacks"
    refers = f"it refers to {key.parent} by the foreign key {key.name}, and {key.parent} {how} the new values"
    return column.stop(
        "foreign keys", f"{refers}: the server would refuse the rows", _drop(key, key.parent), Code.FOREIGN_KEY
    )


def _drop(key: ForeignKey, other_column: str) -> str:
    return f"Drop {key.name} for the duration of the migration, and name {other_column} in rehome_references as well"


def _generated(column: Column, names: Sequence[str]) -> list[Check]:
    if not names:
        return [column.check("generated columns", "pass", "none is computed from the column")]
    found = f"{', '.join(names)}: computed again by the server for every rewritten row"
    advice = "None, if they should change with the column. A rollback changes them back"
    return [column.warn("generated columns", found, advice, Code.TABLE_REACTS)]


def _statement(inspector: Inspector, column: Column, plan: StatementPlan | RefusedStatement, rows: int | None) -> Check:
    if isinstance(plan, StatementPlan):
        return _plan(column, plan, rows)
    if isinstance(plan.error, MissingRightError):
        return column.unknown(f"plan: {plan.name}", Unknown(f"{plan.error}; see the rights under `grants`"))
    return _refused(inspector, column, f"plan: {plan.name}", plan.error)


def _refused(inspector: Inspector, column: Column, name: str, error: DatabaseError) -> Check:
    """Return the check of a statement that the server refuses, though no right on the column is missing."""
    if isinstance(error, (RetryableError, ConnectionLostError)):
        return column.unknown(name, Unknown(str(error)), inspector.way_out(error, column.facts.table))
    if isinstance(error, MissingRightError):
        problem = f"the server denies the statements of a run: {error}"
        return column.stop(name, problem, inspector.way_out(error, column.facts.table), Code.DATABASE_DENIED)
    judge = inspector.judged_by(error)
    if judge in column.troubles:
        return column.check(name, "info", f"refused for the reason under `{judge}`: {error}")
    way_out = inspector.way_out(error, column.facts.table)
    problem = f"the server refuses the statements of a run: {error}"
    if isinstance(error, ReadOnlyError) and column.dry_run:
        return column.warn(name, f"{problem}; a run would stop", way_out, Code.DATABASE_READ_ONLY)
    code = Code.DATABASE_READ_ONLY if isinstance(error, ReadOnlyError) else Code.TRIAL_REFUSED
    return column.stop(name, problem, way_out, code)


def _plan(column: Column, plan: StatementPlan, rows: int | None) -> Check:
    name, advice = (
        f"plan: {plan.name}",
        "Refresh the table's statistics (ANALYZE), and see that the key's index is usable",
    )
    if plan.by_key is None:
        return column.unknown(name, Unknown(f"the server's plan does not tell how it finds the rows ({plan.words})"))
    if plan.by_key:
        return column.check(name, "pass", plan.words)
    if rows is not None and rows < FEW_ROWS:
        return column.check(name, "pass", f"{plan.words}; adequate for so few rows")
    if plan.name == "read":
        return column.warn(name, f"{plan.words}: every batch would read the whole table", advice, Code.NO_INDEX)
    problem = f"the server would {plan.name} rows without the key's index ({plan.words})"
    return column.stop(
        name, f"{problem}: every chunk would read the whole table, and may lock it", advice, Code.NO_INDEX
    )


def inspect_rights(database: Dialect, inspector: Inspector, column: Column) -> list[Check]:
    """Check whether this user may rewrite the column. In a dry run, missing permissions stop nothing.

    A statement that is refused for another reason than a right is reported for that reason.
    """
    rights = or_unknown(lambda: inspector.rights(column.facts))
    refusal = None if column.dry_run else database.update_refusal(column.facts)
    if isinstance(rights, Unknown):
        missing, grant = tuple[str, ...](), f"Grant SELECT and UPDATE on {column.name}, and SELECT on its key"
    else:
        missing, grant = rights.missing, rights.grant
    denied = isinstance(refusal, MissingRightError) and (bool(missing) or isinstance(rights, Unknown))
    others = [_refused(inspector, column, "rewrite", refusal)] if refusal is not None and not denied else []
    if not missing and not denied:
        return [_no_right_missing(column, rights, proven=not column.dry_run and not others), *others]
    if column.facts.keep_columns:
        moving = ", ".join(column.facts.keep_columns)
        grant += f", or set rehome_touch_updated_at: true and let {moving} change"
    lacking = ", ".join(missing) or "a right"
    if column.dry_run:
        return [column.check("grants", "info", f"{lacking} is missing, which a dry run does not need", grant)]
    problem = f"may not rewrite {column.name}: {refusal if denied else f'{lacking} is missing'}"
    return [
        stop(column.name, "grants", Finding("rehome_database.user", None, problem, grant, Code.DATABASE_DENIED)),
        *others,
    ]


def _no_right_missing(column: Column, rights: Rights | Unknown, proven: bool) -> Check:
    """proven: the server has explained the very statements"""
    if isinstance(rights, Unknown) and not proven:
        return column.unknown("grants", rights)
    return column.check("grants", "pass", "this user may read the key and the column, and rewrite the column")


def _cost(inspector: Inspector, column: Column, counted: Values | Unknown) -> list[Check]:
    if isinstance(counted, Unknown) or not counted.old:
        return []
    words = or_unknown(lambda: inspector.cost(column.facts, counted.old))
    slow, fast = ROWS_PER_SECOND
    estimate = between(counted.old / fast, counted.old / slow)
    log = f"; what the server logs for it is unknown: {words.why}" if isinstance(words, Unknown) else f"; {words}"
    return [column.check("cost", "info", f"rewriting {counted.old:,} rows takes about {estimate}{log}")]

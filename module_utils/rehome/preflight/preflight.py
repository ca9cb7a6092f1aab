"""All checks before the first write, made at once, so that their findings can be corrected at once."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..checks import Check, as_dicts, refusals, stop, stops, troubles, unknown, warn
from ..codes import Code
from ..config.confirmation import indistinct, unconfirmed
from ..config.read_buckets import overlap_in_one_bucket
from ..config.settings import CopyMethod, Reference, Settings, Side
from ..db import journal
from ..db.dialect import (
    Change,
    DatabaseError,
    Dialect,
    MissingRightError,
    ReadOnlyError,
    RetryableError,
    TableFacts,
    UnknownColumnError,
    UnknownTableError,
    UnusableJournalError,
    UnusableTableError,
)
from ..db.engines.open import connect
from ..db.engines.open_inspector import inspector as open_inspector
from ..db.facts import facts_for_rewrite
from ..db.inspector import Inspector, Unknown, or_unknown
from ..db.throttle.assemble import check_throttle
from ..discover.standing import check_columns
from ..errors import Finding, RefusedError
from ..files import write_json
from ..job import Job
from ..progress import Progress
from ..s3.endpoint.resolve import resolve
from ..s3.probe.bucket_config import inspect_bucket
from ..s3.probe.reachable import check_bucket
from ..services.capabilities import method_of_run, probe_services
from ..services.copy_method import is_same_service
from ..services.storage_class import check_storage_class
from ..services.way_back import check_way_back
from .cluster import SUBJECT as CLUSTER
from .cluster import check_cluster, look_at_cluster
from .column import Column, inspect_column, inspect_rights
from .control import check_control
from .machine import SUBJECT as MACHINE
from .machine import inspect_keeping, inspect_machine
from .sessions import check_sessions
from .trial import not_tried, try_rewrite

PREFLIGHT_FILE = "preflight.json"

_ORDER = {
    subject: place for place, subject in enumerate((MACHINE, CLUSTER, "source bucket", "target bucket", "database"))
}


class Preflight(NamedTuple):
    """The result of the preflight.

    checks: every check, sorted by subject
    journal_created: whether the journal was created just now
    copy_method: in a dry run, how a run would copy; None if the checks stop it
    tables: the referencing columns, as far as they could be looked at
    """

    checks: list[Check]
    journal_created: bool
    copy_method: CopyMethod | None
    tables: list[TableFacts]


def preflight(
    settings: Settings,
    dry_run: bool,
    progress: Progress,
    *,
    for_run: bool = False,
    deletes: bool = False,
    copies: bool = True,
    job: Job | None = None,
) -> Preflight:
    """Check this machine, both buckets and the database. A check that stops the run does not stop the others.

    dry_run: then nothing is created
    for_run: judge for a run, also in a dry run. Otherwise, what only writing needs stops no dry run
    deletes: also check that what is deleted from the source can be brought back
    copies: whether objects are copied
    job: whose job this run is
    """
    lenient = dry_run and not for_run
    progress.stage("check the buckets")
    checks = inspect_keeping(settings, job, moves=not (lenient or deletes))
    checks += inspect_machine(settings.state_dir)
    checks += stops("target bucket", "place", _check_places(settings))
    for side in (settings.source, settings.target):
        checks += _bucket(settings, side)
    if copies and not (lenient or deletes):
        checks += check_cluster(settings, dry_run, tries=not refusals(checks))
    else:
        checks += look_at_cluster(settings, tries=not refusals(checks))
    if deletes and not refusals(checks):
        checks += check_way_back(settings, settings.source)
    found, created, tables = _database(settings, dry_run, lenient, progress, checks)
    checks += [*found, *check_columns(settings, deletes=deletes and not settings.retire.restore)]
    if dry_run:
        checks.append(
            unknown(
                "target bucket",
                "trial",
                "not tried in a dry run: a run tries what the service can do, on scratch objects",
            )
        )
    elif not refusals(checks):
        progress.stage("probe the services")
        unable, notes = probe_services(settings)
        checks += stops("target bucket", "trial", unable)
        checks += [warn("target bucket", "trial", note, code=Code.S3_DETOUR) for note in notes]
        if not unable and not notes:
            words = "copies keep their conditions, and carry metadata and tags"
            checks.append(Check("target bucket", "trial", "pass", words))
    in_order = sorted(checks, key=lambda check: _ORDER.get(check.subject, len(_ORDER)))
    method = method_of_run(settings) if dry_run and not refusals(checks) else None
    keep_table(settings.state_dir, in_order)
    return Preflight(in_order, created, method, tables)


def keep_table(state_dir: Path, checks: list[Check]) -> None:
    """Save the checks as `preflight.json` in the state folder."""
    write_json(state_dir / PREFLIGHT_FILE, as_dicts(checks))


def _bucket(settings: Settings, side: Side) -> list[Check]:
    subject = f"{side.label} bucket"
    found = check_bucket(side)
    if found:
        return stops(subject, "access", found)
    return [
        Check(subject, "access", "pass", f"s3://{side.bucket}/{side.prefix} can be listed"),
        *inspect_bucket(side, settings.copy.acl),
    ]


def _database(
    settings: Settings, dry_run: bool, lenient: bool, progress: Progress, before: Sequence[Check]
) -> tuple[list[Check], bool, list[TableFacts]]:
    """Check the database, and return also whether the journal was created, and its tables. See `preflight`.

    before: the checks so far. If they stop the run, nothing is written here either
    """
    checks: list[Check] = []
    tables: list[TableFacts] = []
    created = False
    try:
        with connect(settings.database) as database:
            checks += check_sessions(database, settings, lenient)
            inspector = open_inspector(database, settings.database)
            checks += _server(inspector, lenient)
            columns, refused = _columns(database, inspector, settings, lenient, troubles(checks))
            checks += refused
            tables += [column.facts for column in columns]
            for column in columns:
                progress.stage(f"inspect {column.name}")
                checks += inspect_column(database, inspector, column)
            checks += _journal(database, inspector, settings, dry_run, lenient)
            checks += _throttle(settings)
            if not dry_run and not refusals([*before, *checks]):
                created = _create_journal(database, inspector, settings)
                checks += _try_journal(database, inspector, settings)
            checks += check_control(database, settings, dry_run or bool(refusals([*before, *checks])))
            checks += _trials(database, inspector, settings, columns, [*before, *checks], dry_run)
    except RefusedError as refusal:
        checks += stops("database", "access", refusal.findings)
    return checks, created, tables


def _server(inspector: Inspector, dry_run: bool) -> list[Check]:
    try:
        return inspector.server_checks(dry_run)
    except DatabaseError as error:
        return [unknown("database", "server", str(error))]


def _columns(
    database: Dialect, inspector: Inspector, settings: Settings, dry_run: bool, found: frozenset[str]
) -> tuple[list[Column], list[Check]]:
    """Return the columns that can be inspected, and the checks that stop the others.

    found: the names of the checks of the server that warn or stop
    """
    columns, refused = [], []
    for position, reference in enumerate(settings.references):
        setting = f"rehome_references[{position}]"
        described = _describe(database, inspector, reference, setting)
        if isinstance(described, Finding):
            refused.append(stop(reference.name, "table", described))
            continue
        facts = replace(described, where=reference.where)
        unusable = _check_condition(database, inspector, facts, f"{setting}.where")
        if unusable:
            refused.append(stop(reference.name, "condition", unusable))
            continue
        facts = facts_for_rewrite(facts, settings)
        columns.append(Column(facts, setting, settings.value_map(reference), dry_run, found))
    return columns, refused


def _trials(
    database: Dialect,
    inspector: Inspector,
    settings: Settings,
    columns: Sequence[Column],
    checks: Sequence[Check],
    dry_run: bool,
) -> list[Check]:
    """Try a few rows of each column, unless this is a dry run or something else stops the run already."""
    if dry_run:
        return [not_tried(column) for column in columns]
    if refusals(checks):
        return []
    target = journal.JournalTarget(settings.journal_schema, settings.name, settings.fingerprint)
    return [try_rewrite(database, inspector, column, target) for column in columns]


def _describe(database: Dialect, inspector: Inspector, reference: Reference, setting: str) -> TableFacts | Finding:
    table, column = reference.table, reference.column
    try:
        return database.describe(table, column)
    except UnknownTableError as error:
        return Finding(f"{setting}.table", table, str(error), inspector.grant_to_see(table, column), Code.NO_TABLE)
    except UnknownColumnError as error:
        return Finding(f"{setting}.column", column, str(error), inspector.grant_to_see(table, column), Code.NO_TABLE)
    except UnusableTableError as error:
        way_out = "Change the table, or take it out of rehome_references"
        if inspector.hides_columns:
            way_out += (
                f". Columns that this user may not read are hidden from it: {inspector.grant_to_see(table, column)}"
            )
        return Finding(setting, reference.name, str(error), way_out, Code.UNSUITABLE_TABLE)
    except MissingRightError as error:
        return Finding(setting, reference.name, str(error), inspector.grant_to_see(table, column), Code.DATABASE_DENIED)
    except DatabaseError as error:
        return Finding(setting, reference.name, str(error), inspector.way_out(error, table), Code.DATABASE_ANSWERED)


def _throttle(settings: Settings) -> list[Check]:
    refused, notes = check_throttle(settings)
    checks = stops("database", "throttle", refused)
    return checks + [warn("database", "throttle", note, code=Code.SIGNAL_UNREADABLE) for note in notes]


def _check_condition(database: Dialect, inspector: Inspector, facts: TableFacts, setting: str) -> Finding | None:
    """Return why the server refuses the operator's condition, by explaining the statement of a scan."""
    if facts.where is None:
        return None
    try:
        with database.explaining():
            database.read_batch(facts, None, 1)
    except DatabaseError as error:
        way_out = (
            "Correct the condition, and grant SELECT on the columns that it names; if a name is ambiguous, write it as "
            "t.<column>"
        )
        rights = or_unknown(lambda: inspector.rights(facts))
        if isinstance(error, MissingRightError) and not isinstance(rights, Unknown) and rights.missing:
            # PostgreSQL does not name the column
            way_out = f"{rights.grant}. {way_out}"
        return Finding(setting, facts.where, str(error), way_out, Code.WRONG_REFERENCE)
    return None


def preflight_rollback(settings: Settings, dry_run: bool) -> None:
    """Check what a rollback needs: the database, and the buckets if objects decide which rows are rolled back.

    If copies are to be removed afterwards, also check the conditions of a deletion.

    dry_run: then permissions that only writing needs are not checked
    Raises RefusedError with every finding.
    """
    checks: list[Check] = []
    if settings.rollback.copies == "remove":
        checks += stops("target bucket", "copies", indistinct(settings))
        if not dry_run:
            checks += stops("target bucket", "second key", unconfirmed(settings, settings.target))
    if settings.rollback.missing == "keep":
        for side in (settings.source, settings.target):
            checks += stops(f"{side.label} bucket", "access", check_bucket(side))
    try:
        with connect(settings.database) as database:
            checks += check_sessions(database, settings, dry_run)
            inspector = open_inspector(database, settings.database)
            for position, reference in enumerate(settings.references):
                setting = f"rehome_references[{position}]"
                described = _describe(database, inspector, reference, setting)
                if isinstance(described, Finding):
                    checks.append(stop(reference.name, "table", described))
                else:
                    facts = facts_for_rewrite(described, settings)
                    column = Column(facts, setting, settings.value_map(reference), dry_run)
                    checks += inspect_rights(database, inspector, column)
            checks += [*_require_journal(database, inspector, settings), *_throttle(settings)]
            if not dry_run and not refusals(checks):
                checks += _try_journal(database, inspector, settings)
    except RefusedError as refusal:
        checks += stops("database", "access", refusal.findings)
    if found := refusals(checks):
        raise RefusedError(found)


def _check_places(settings: Settings) -> list[Finding]:
    """Check that source and target do not overlap, also if their endpoints are different names of one service."""
    try:
        source, target = resolve(settings.source), resolve(settings.target)
    except RefusedError as refusal:
        return list(refusal.findings)
    if settings.copy.method == "server_side" and not is_same_service(source, target):
        return [
            Finding(
                "rehome_copy_method",
                settings.copy.method,
                f"is not possible from {source.host}:{source.port} to {target.host}:{target.port}, which are two "
                "services",
                "Leave it at auto, or set it to stream, which copies objects through this machine",
                Code.S3_LACKS,
            )
        ]
    if (source.host, source.port, source.base_path) == (target.host, target.port, target.base_path):
        return overlap_in_one_bucket(settings.source, settings.target)
    return check_storage_class(settings)


def _journal(database: Dialect, inspector: Inspector, settings: Settings, dry_run: bool, lenient: bool) -> list[Check]:
    """Check the journal and the rights on it by reading. lenient: then a missing right stops nothing"""
    schema = settings.journal_schema
    try:
        if found := _check_journal(database, settings):
            return stops("database", "journal", found)
        seen = database.has_journal(schema)
        rights = inspector.journal_rights(schema, seen)
    except DatabaseError as error:
        unread = stop("database", "journal", _no_journal(inspector, schema, "read", error))
        # a server that takes no writes is judged by a check of its own
        unknowable = lenient or isinstance(error, (ReadOnlyError, RetryableError))
        return [unknown("database", "journal", str(error)) if unknowable else unread]
    if not rights.missing and not dry_run:
        return []  # `_try_journal` tests it, once nothing else stops the run
    if not rights.missing:
        words = "exists, and has no entries of other settings" if seen else "does not exist yet; a run creates it"
        return [Check("database", "journal", "pass", f"{schema} {words}")]
    problem = f"this user lacks rights on the journal: {', '.join(rights.missing)}"
    if lenient:
        return [Check("database", "journal", "info", f"{problem}, which a dry run does not need", rights.grant)]
    return [
        stop(
            "database",
            "journal",
            Finding("rehome_journal_schema", schema, problem, rights.grant, Code.JOURNAL_UNUSABLE),
        )
    ]


def _no_journal(inspector: Inspector, schema: str, verb: str, error: DatabaseError) -> Finding:
    """Return why the journal, which exists, cannot be used. verb: what was tried: read or written"""
    denied = isinstance(error, MissingRightError)
    way_out = inspector.journal_grant(schema, exists=True) if denied else inspector.way_out(error, schema)
    return Finding(
        "rehome_journal_schema", schema, f"the journal there cannot be {verb}: {error}", way_out, Code.JOURNAL_UNUSABLE
    )


def _require_journal(database: Dialect, inspector: Inspector, settings: Settings) -> list[Check]:
    schema = settings.journal_schema
    try:
        if database.has_journal(schema):
            return []
        finding = Finding(
            "rehome_journal_schema",
            schema,
            "has no journal that this user can see, and the old values of the rows are nowhere else",
            f"Name the schema that the migration used, or: {inspector.journal_grant(schema, exists=True)}",
            Code.JOURNAL_UNUSABLE,
        )
    except UnusableJournalError as error:
        finding = _unusable_journal(settings, error)
    return [stop("database", "journal", finding)]


def _unusable_journal(settings: Settings, error: UnusableJournalError) -> Finding:
    way_out = "Choose another rehome_journal_schema, or drop that table if it is no longer needed"
    return Finding("rehome_journal_schema", settings.journal_schema, str(error), way_out, Code.JOURNAL_UNUSABLE)


def _check_journal(database: Dialect, settings: Settings) -> list[Finding]:
    try:
        if not database.has_journal(settings.journal_schema):
            return []
    except UnusableJournalError as error:
        return [_unusable_journal(settings, error)]
    other = database.newest_of_others(settings.journal_schema, settings.name, settings.fingerprint)
    if other:
        problem = (
            "the journal holds changes that were made under this name with other buckets, prefixes, globs or "
            f"references: {journal.whose(other)}. These settings are for {settings.place}. A rollback is only exact if "
            "one name means one migration"
        )
        way_out = "If a setting was changed by mistake, put it back; otherwise choose another rehome_name"
        return [Finding("rehome_name", settings.name, problem, way_out, Code.JOURNAL_OF_OTHERS)]
    newest = database.read_journal(settings.journal_schema, settings.name, None, 1)
    # in PostgreSQL and SQLite each database has a journal of its own, whatever its name becomes
    if (
        settings.database.engine in ("mariadb", "mysql")
        and newest
        and not journal.is_of_database(newest[0], settings.place)
    ):
        problem = (
            "the journal holds changes that were made under this name in another database of the server: "
            f"{journal.whose(newest[0])}. These settings are for {settings.place}"
        )
        return [
            Finding(
                "rehome_name",
                settings.name,
                problem,
                "Choose another rehome_name for this database",
                Code.JOURNAL_OF_OTHERS,
            )
        ]
    return []


class _RollBackError(Exception):
    """Raised to roll back a transaction that was only a test."""


def _try_journal(database: Dialect, inspector: Inspector, settings: Settings) -> list[Check]:
    """Write an entry and roll it back: a missing permission must be found before the first object is copied."""
    target = journal.JournalTarget(settings.journal_schema, settings.name, settings.fingerprint, place=settings.place)
    try:
        with database.transaction():
            database.append_journal(
                settings.journal_schema, journal.entry(uuid.uuid4().hex, target, "preflight", [Change((0,), "", "")])
            )
            raise _RollBackError
    except _RollBackError:
        return [Check("database", "journal", "pass", f"{settings.journal_schema} takes entries")]
    except DatabaseError as error:
        return [stop("database", "journal", _no_journal(inspector, settings.journal_schema, "written", error))]


def _create_journal(database: Dialect, inspector: Inspector, settings: Settings) -> bool:
    if database.has_journal(settings.journal_schema):
        return False
    try:
        database.create_journal(settings.journal_schema)
    except DatabaseError as error:
        way_out = (
            f"Let an administrator {inspector.journal_grant(settings.journal_schema, exists=False)}. If it exists "
            f"already: {inspector.journal_grant(settings.journal_schema, exists=True)}"
        )
        if not isinstance(error, MissingRightError):
            way_out = inspector.way_out(error, settings.journal_schema)
        problem = f"the journal cannot be created there: {error}"
        finding = Finding("rehome_journal_schema", settings.journal_schema, problem, way_out, Code.JOURNAL_UNUSABLE)
        raise RefusedError([finding]) from error
    return True

"""Everything that can be found wrong before the first write, found at once."""

from __future__ import annotations

import uuid
from typing import NamedTuple

from .copy_method import one_service
from .db import journal
from .db.connect import connect
from .db.dialect import (
    Change,
    DatabaseError,
    Dialect,
    TableFacts,
    UnknownColumnError,
    UnknownTableError,
    UnusableJournalError,
    UnusableTableError,
)
from .errors import Finding, RefusedError
from .s3.access import check_bucket
from .s3.endpoint import resolve
from .s3.job import CopyMethod
from .services import method_of_run, probe_services
from .settings import Settings, overlap_in_one_bucket


class Preflight(NamedTuple):
    """What a migration that may begin should know.

    warnings: what only costs, in words
    journal_created: whether the journal was made just now
    copy_method: how a run would copy, for a dry run
    """

    warnings: list[str]
    journal_created: bool
    copy_method: CopyMethod | None


def preflight(settings: Settings, dry_run: bool) -> Preflight:
    """Check both buckets and the database against the settings.

    dry_run: then nothing is asked for that only writing needs, and nothing is made.
    Raises RefusedError with every finding.
    """
    findings = [*_check_places(settings), *check_bucket(settings.source), *check_bucket(settings.target)]
    warnings: list[str] = []
    created = False
    try:
        with connect(settings.database) as database:
            facts, in_tables = _check_references(database, settings)
            findings += in_tables
            warnings = [
                f"table {table.table} has the trigger {name}, which fires for every rewritten row"
                for table in facts
                for name in table.triggers
            ]
            if not dry_run:
                findings += _check_updates(database, facts)
            if not findings:
                findings += _check_journal(database, settings)
            if not findings and not dry_run:
                created = _make_journal(database, settings)
                findings += _check_journal_write(database, settings)
    except RefusedError as refusal:
        findings += refusal.findings
    if not findings and not dry_run:
        unable, notes = probe_services(settings)
        findings += unable
        warnings += notes
    if findings:
        # what keeps an endpoint from being resolved is found by more than one check
        raise RefusedError(list(dict.fromkeys(findings)))
    return Preflight(warnings, created, method_of_run(settings) if dry_run else None)


def _check_places(settings: Settings) -> list[Finding]:
    """Where source and target are one bucket, by whatever spelling, they must be apart in it."""
    try:
        source, target = resolve(settings.source), resolve(settings.target)
    except RefusedError as refusal:
        return list(refusal.findings)
    if settings.copy.method == "server_side" and not one_service(source, target):
        return [
            Finding(
                "rehome_copy_method",
                settings.copy.method,
                f"is not possible from {source.host}:{source.port} to {target.host}:{target.port}, which are two "
                "services",
                "Leave it at auto, or set it to stream: objects are read here and written there then",
            )
        ]
    if (source.host, source.port, source.base_path) == (target.host, target.port, target.base_path):
        return overlap_in_one_bucket(settings.source, settings.target)
    return []


def _check_references(database: Dialect, settings: Settings) -> tuple[list[TableFacts], list[Finding]]:
    facts, findings = [], []
    for position, reference in enumerate(settings.references):
        setting = f"rehome_references[{position}]"
        try:
            facts.append(database.describe(reference.table, reference.column))
        except UnknownTableError as error:
            findings.append(
                Finding(
                    f"{setting}.table",
                    reference.table,
                    str(error),
                    "Correct the name, or grant SELECT on the table",
                )
            )
        except UnknownColumnError as error:
            findings.append(Finding(f"{setting}.column", reference.column, str(error), "Correct the name"))
        except UnusableTableError as error:
            findings.append(
                Finding(
                    setting,
                    reference.name,
                    str(error),
                    "Change the table, or take it out of rehome_references",
                )
            )
    return facts, findings


def _check_updates(database: Dialect, tables: list[TableFacts]) -> list[Finding]:
    return [
        Finding(
            "rehome_database.user",
            None,
            f"may not rewrite {facts.table}.{facts.column}: {refusal}",
            f"Grant SELECT and UPDATE on {', '.join([facts.column, *facts.keep_columns])} of {facts.table}, "
            f"and SELECT on its key",
        )
        for facts in tables
        if (refusal := database.refuses_update(facts))
    ]


def _check_journal(database: Dialect, settings: Settings) -> list[Finding]:
    try:
        if not database.has_journal(settings.journal_schema):
            return []
    except UnusableJournalError as error:
        way_out = "Choose another rehome_journal_schema, or drop that table if nothing in it is needed any more"
        return [Finding("rehome_journal_schema", settings.journal_schema, str(error), way_out)]
    others = set(database.journal_fingerprints(settings.journal_schema, settings.name)) - {settings.fingerprint}
    if not others:
        return []
    return [
        Finding(
            "rehome_name",
            settings.name,
            "the journal holds changes that were made under this name with other buckets, prefixes, globs or "
            "references, and one name must mean one migration to be undone exactly",
            "Choose another rehome_name for the changed settings",
        )
    ]


class _TakeItBackError(Exception):
    """Ends a transaction that was only to be tried."""


def _check_journal_write(database: Dialect, settings: Settings) -> list[Finding]:
    """Write an entry and take it back: a right that is missing must show before the first object is copied."""
    target = journal.JournalTarget(settings.journal_schema, settings.name, settings.fingerprint)
    try:
        with database.transaction():
            database.append_journal(
                settings.journal_schema,
                journal.entry(uuid.uuid4().hex, target, "preflight", [Change((0,), "", "")]),
            )
            raise _TakeItBackError
    except _TakeItBackError:
        return []
    except DatabaseError as error:
        return [
            Finding(
                "rehome_journal_schema",
                settings.journal_schema,
                f"the journal there cannot be written: {error}",
                "Grant this user SELECT and INSERT on its table journal",
            )
        ]


def _make_journal(database: Dialect, settings: Settings) -> bool:
    if database.has_journal(settings.journal_schema):
        return False
    try:
        database.create_journal(settings.journal_schema)
    except DatabaseError as error:
        finding = Finding(
            "rehome_journal_schema",
            settings.journal_schema,
            f"the journal cannot be made there: {error}",
            f"Let an administrator create the schema {settings.journal_schema} and grant this user "
            "CREATE, SELECT and INSERT in it",
        )
        raise RefusedError([finding]) from error
    return True

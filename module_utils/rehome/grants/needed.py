"""The rights that a run uses, for its report: those that `grants` would give to its verb, worked out without a request.

Pure. Where the database is looked at already, its facts say which columns; what only an administrator can see (schemas
of PostgreSQL, keys of KMS) is left to the note.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..config.settings import Settings
from ..db.dialect import TableFacts
from ..db.rights import Right, columns_named, rights_on_journal, rights_on_table
from ..report.facts import DatabaseRight, RightsFacts, S3Right
from .policy import Needs, Verb, principals


def rights_needed(settings: Settings, verb: Verb, tables: Sequence[TableFacts]) -> RightsFacts:
    """Return the rights of a verb.

    tables: the referencing columns, as far as they could be looked at
    """
    statements = [
        statement
        for principal in principals(settings, Needs())
        if principal.verb == verb
        for statement in principal.policy["Statement"]
    ]
    actions: dict[tuple[str, ...], list[str]] = {}
    for statement in statements:
        actions.setdefault(tuple(statement["Resource"]), []).extend(statement["Action"])
    s3 = [S3Right(actions=list(dict.fromkeys(some)), resources=list(on)) for on, some in actions.items()]
    note = (
        f"What playbooks/grants.yml gives to {verb}; a run needs no more. Besides: the key of a bucket that KMS "
        "encrypts, USAGE on the schemas of PostgreSQL, and SELECT on further columns that a condition names"
    )
    return RightsFacts(s3=s3, database=_of_database(settings, verb, tables), note=note)


def _of_database(settings: Settings, verb: Verb, tables: Sequence[TableFacts]) -> list[DatabaseRight]:
    if settings.database.engine == "sqlite":
        return [DatabaseRight(privileges=["read", "write"], on=str(settings.database.path), columns=[])]
    needed: set[Right] = rights_on_journal(settings.journal_schema)
    for facts in tables:
        known = {facts.column, *facts.keep_columns, *(part.name for part in facts.key)}
        needed |= rights_on_table("", facts.table, facts, columns_named(facts.where, known))
    if verb == "retire":  # it reads what rows name, and changes none
        needed = {right for right in needed if right.privilege == "SELECT"}
    columns: dict[tuple[str, str], list[str]] = {}
    for right in sorted(needed):
        place = f"{right.schema}.{right.table}" if right.schema else right.table
        columns.setdefault((place, right.privilege), []).extend([right.column] if right.column else [])
    privileges: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (place, privilege), named in columns.items():
        privileges.setdefault((place, tuple(named)), []).append(privilege)
    return [
        DatabaseRight(privileges=some, on=place, columns=list(named)) for (place, named), some in privileges.items()
    ]

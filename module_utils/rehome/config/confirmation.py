"""Conditions of every deletion: the bucket is confirmed by name, and rows tell which bucket's objects they name."""

from __future__ import annotations

from ..codes import Code
from ..errors import Finding
from .settings import Settings, Side


def unconfirmed(settings: Settings, delete_from: Side) -> list[Finding]:
    """Return a finding unless `confirm` names the bucket to delete from."""
    if settings.confirm == delete_from.bucket:
        return []
    return [
        Finding(
            "confirm",
            settings.confirm,
            "does not name the bucket whose objects are to be deleted",
            f"Say -e confirm={delete_from.bucket} if it is that one",
            Code.UNCONFIRMED,
        )
    ]


def unconfirmed_verb(settings: Settings, verb: str) -> list[Finding]:
    """Return a finding if the verb deletes and `confirm` does not name its bucket: before a credential is used.

    A dry run deletes nothing and needs no `confirm`, but a wrong one is wrong for the run that follows.

    verb: the playbook's name, with `-check` for a dry run
    """
    name = verb.removesuffix("-check")
    retires = name == "retire" and not settings.retire.restore
    removes = name == "rollback" and settings.rollback.copies == "remove"
    if not (retires or removes) or (name != verb and settings.confirm is None):
        return []
    return unconfirmed(settings, settings.source if retires else settings.target)


def indistinct(settings: Settings) -> list[Finding]:
    """Return references whose values do not change: their rows do not tell which bucket's objects they name."""
    return [
        Finding(
            f"rehome_references[{position}]",
            reference.name,
            "has values that do not change with the migration, so a row does not show whether it names a copy",
            "Set rehome_rollback_copies to keep, and delete the copies by the service's own means once nobody reads "
            "them",
            Code.CONTRADICTION,
        )
        for position, reference in enumerate(settings.references)
        if not settings.value_map(reference).moves
    ]

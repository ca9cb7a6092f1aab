"""The second key: whoever deletes from a bucket names it once more, and can tell what is named there."""

from __future__ import annotations

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
        )
    ]


def indistinct(settings: Settings) -> list[Finding]:
    """Where values look the same before and after the migration, no row tells which bucket's object it names."""
    return [
        Finding(
            f"rehome_references[{position}]",
            reference.name,
            "has values that do not change with the migration, so that none tells whether it names a copy",
            "Set rehome_rollback_copies to keep, and delete the copies by the service's own means once nobody asks for "
            "them",
        )
        for position, reference in enumerate(settings.references)
        if not settings.value_map(reference).moves
    ]

"""The second key: whoever deletes from a bucket names it once more."""

from __future__ import annotations

from .errors import Finding
from .settings import Settings


def unconfirmed(settings: Settings) -> list[Finding]:
    """What is missing where the bucket to delete from, the `source` of these settings, was not named."""
    if settings.confirm == settings.source.bucket:
        return []
    return [
        Finding(
            "confirm",
            settings.confirm,
            "does not name the bucket whose objects are to be deleted",
            f"Say -e confirm={settings.source.bucket} if it is that one",
        )
    ]

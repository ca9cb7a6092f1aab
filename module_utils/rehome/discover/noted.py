"""What a scan notes of its listing of the source, by which a search knows whether it can ask it."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from ..config.settings import Settings

SOURCE_LISTING: Final = "source_listing"
"""The name of the note in the catalog: `listing_of`, if the listing is whole."""


def listing_of(settings: Settings) -> str:
    """Return what is the same for two listings of the same objects; empty for that of a slice, which proves nothing."""
    if settings.only_keys is not None:
        return ""
    source = settings.source
    what = [source.endpoint_url, source.bucket, source.prefix, settings.include, settings.exclude]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()

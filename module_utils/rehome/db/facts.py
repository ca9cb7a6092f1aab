"""TODO-DOC."""

from __future__ import annotations

from dataclasses import replace

from ..config.settings import Settings
from .dialect import TableFacts


def facts_for_rewrite(facts: TableFacts, settings: Settings) -> TableFacts:
    """What a rewrite must know of a table: `facts`, but for the columns that may move."""
    return replace(facts, keep_columns=()) if settings.touch_updated_at else facts

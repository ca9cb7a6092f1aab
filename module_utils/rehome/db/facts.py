"""Adapt the facts of a table to the settings of a migration."""

from __future__ import annotations

from dataclasses import replace

from ..config.settings import Settings
from .dialect import TableFacts


def facts_for_rewrite(facts: TableFacts, settings: Settings) -> TableFacts:
    """Return `facts` without `keep_columns` if the settings let columns such as `updated_at` change."""
    return replace(facts, keep_columns=()) if settings.touch_updated_at else facts

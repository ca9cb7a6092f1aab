"""The names of a run's stages, by the modules that do their work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

STAGES: Final[Mapping[str, str]] = {
    "migration_preflight": "preflight",
    "migration_plan": "plan",
    "s3_batch_copy": "copy",
    "db_path_rewrite": "rewrite",
    "migration_verify": "verify",
    "db_path_rollback": "rollback",
    "s3_batch_delete": "retire",
    "s3_remove_copies": "remove copies",
    "s3_redirect": "redirect",
    "db_discover": "discover",
}
"""Module → stage. Every stage has its line, whether it changed anything or not."""

UNITS: Final[Mapping[str, str]] = {
    "copy": "objects",
    "list objects": "objects",
    "delete": "objects",
    "undelete": "objects",
    "settle": "objects",
    "rewrite": "rows",
    "reread": "rows",
    "read": "rows",
    "inspect rows": "rows",
    "roll back rows": "rows",
}
"""How the stages of progress.json begin → what they count."""

REPEATED: Final = ("plan", "copy")
"""Stages that a migration repeats in passes."""


def module_of(action: str) -> str:
    """Return a module's name without that of its collection."""
    return action.rpartition(".")[2]


def heading(stage: str, snapshot: Mapping[str, Any]) -> str:
    """Return a stage's name, with its pass if there may be several.

    snapshot: the content of progress.json; may lack anything
    """
    number = snapshot.get("pass")
    if stage in REPEATED and snapshot.get("verb") == "migrate" and isinstance(number, int) and number > 0:
        return f"{stage} · pass {number}"
    return stage


def unit(step: str) -> str:
    """Return what a stage of progress.json counts; empty: it is not said."""
    return next((unit for begin, unit in UNITS.items() if f"{step} ".startswith(f"{begin} ")), "")

"""The words of the report for classes, evidence and states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CLASSES: Final[Mapping[str, Mapping[str, str]]] = {
    "objects": {
        "to_copy": "not in the target; will be copied",
        "outdated": "overwritten in the source since they were copied; will be copied again",
        "present": "in the target with the same content",
        "conflict": "the target key is taken by other content",
        "archived": "in an archive tier; must be restored before they can be copied",
        "unroutable": "no legal target key",
        "deferred": "beyond the slice of rehome_limit",
        "orphan": "named by no row; they move, too (and are in a class above)",
        "foreign": "under the source prefix, and not under the map; left as they are",
    },
    "rows": {
        "to_rewrite": "hold the old value; will be rewritten once their object is verified",
        "done": "hold the new value",
        "dangling": "name an object that is in neither bucket",
        "blocked": "name an object that cannot be copied",
        "overflowing": "would become longer than their column takes",
        "deferred": "beyond the slice of rehome_limit",
        "foreign": "not under the map; left as they are",
    },
}
"""Kind → class → what it is."""

LEFT: Final[Mapping[str, str]] = {
    "objects_conflict": "objects whose target key is taken by other content",
    "objects_archived": "objects in an archive tier",
    "objects_unroutable": "objects without a legal target key",
    "objects_deferred": "objects beyond the slice of rehome_limit",
    "objects_to_copy": "objects that are not in the target",
    "objects_outdated": "objects that were overwritten in the source since they were copied",
    "rows_remaining": "rows that keep an old value",
    "rows_without_object": "rows that name no object",
    "rows_in_other_forms": "rows that name a key of the map in a form that no reference has",
    "rows_rewritten": "rows that stay rewritten",
    "rows_changed_since": "rows that hold what the application wrote since",
    "rows_changed_by_app": "rows that the application changed meanwhile",
    "rows_gone": "rows that were deleted since",
    "rows_foreign": "rows of other keys, which stay rewritten",
    "source_empty": "source without any object under the map: look whether the prefix is right",
}
"""What a run leaves, as `left` in the summary names it. The others are reasons why objects are kept."""

EVIDENCE: Final[Mapping[str, str]] = {
    "etag": "equal ETags: digests of the content, or of the parts that both were stored in",
    "checksum": "equal checksums of the whole content, by the same algorithm",
    "bytes": "both objects were read and compared",
    "size": "equal sizes only: a copy of our own, made from exactly this version of the source",
}
"""Kind of evidence → what proves that two objects are the same."""

STATUSES: Final = ("stop", "warn", "unknown", "info", "pass")
"""States of a check, the gravest first."""

VERB_TITLES: Final[Mapping[str, str]] = {
    "preflight": "May it begin?",
    "plan": "Change ticket",
    "migrate-check": "Change ticket",
    "migrate": "Evidence of a migration",
    "verify": "Evidence of a verification",
    "rollback": "Evidence of a rollback",
    "rollback-check": "What a rollback would do",
    "retire": "Evidence of a retirement",
    "retire-check": "What a retirement would delete",
}
"""Verb → what its report is."""

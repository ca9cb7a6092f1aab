"""What earlier passes of a run have moved, so that a later plan does not take it for what was there before."""

from __future__ import annotations

from pathlib import Path

from ..catalog.catalog import Catalog
from .plan import VERIFIED

_CARRIED = (
    "INSERT INTO changed_rows FROM earlier.changed_rows",
    """INSERT INTO moved_objects
    SELECT suffix FROM earlier.outcomes WHERE result = 'copied' UNION FROM earlier.moved_objects""",
    f"""INSERT INTO moved_rows
    SELECT reference, key FROM (
        SELECT r.reference, r.key FROM earlier.planned_rows r
        WHERE r.is_old AND ({VERIFIED.format("earlier.outcomes")} OR (r.class = 'dangling' AND $rewrite_dangling))
            AND NOT EXISTS (
                SELECT 1 FROM earlier.changed_rows c
                WHERE (c.reference, c.key, c.expected) = (r.reference, r.key, r.value))
        UNION FROM earlier.appeared_rows
    )
    WHERE $rewritten AND (reference, key) NOT IN (SELECT (reference, key) FROM earlier.refused_rows)
    UNION FROM earlier.moved_rows""",
)


def carry_over(catalog: Catalog, earlier: Path, *, rewritten: bool, rewrite_dangling: bool) -> None:
    """Take into `catalog` what the catalog of the pass before knows of this run: what it moved, and what it left.

    earlier: the file of that catalog
    rewritten: whether rows have been rewritten with it
    rewrite_dangling: whether `rehome_on_dangling` is `rewrite`
    """
    params = {"rewritten": rewritten, "rewrite_dangling": rewrite_dangling}
    with catalog.attached(earlier, "earlier"):
        for statement in _CARRIED:
            catalog.run(statement, params if "$" in statement else ())

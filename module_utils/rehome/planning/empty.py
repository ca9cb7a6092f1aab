"""An empty match is no success: what to say of a plan that finds nothing under the map."""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches

from ..catalog.catalog import Catalog
from ..codes import Code
from ..config.settings import Settings
from ..errors import Finding
from .plan import Plan

_NARROWED = {
    "rehome_only_keys": "are not among its keys",
    "rehome_include": "match none of these globs",
    "rehome_exclude": "match one of these globs",
}
_WAY_OUT = "Correct it; if there is nothing to move indeed, no migration is needed"


def nothing_under_map(catalog: Catalog, settings: Settings, plan: Plan) -> list[Finding]:
    """Return the finding that stops a run if no object of either bucket and no row is under the map.

    It names the setting that most of what was seen instead fails. Most often a prefix or a glob is misspelt.
    """
    if plan.objects_seen or plan.rows_seen or catalog.count("FROM target_objects"):
        return []
    suffixes = [text for (text,) in catalog.query("SELECT text FROM foreign_samples WHERE kind = 'object' ORDER BY 1")]
    setting, value = _narrowest(settings, suffixes)
    nothing = f"nothing is under the map: {_objects(settings, plan, setting, suffixes)}, {_rows(catalog, plan)}"
    wheres = [
        f"rehome_references[{position}].where ({reference.where})"
        for position, reference in enumerate(settings.references)
        if reference.where
    ]
    narrowed = f", of those that {' and '.join(wheres)} {'select' if len(wheres) > 1 else 'selects'}" if wheres else ""
    return [Finding(setting, value, nothing + narrowed, _WAY_OUT, Code.NOTHING_SELECTED)]


def _narrowest(settings: Settings, suffixes: list[str]) -> tuple[str, str]:
    """Return the setting, and its value, that keeps most of the sampled objects out."""
    if not suffixes:
        return "rehome_source.prefix", settings.source.prefix
    values = {
        "rehome_only_keys": f"{len(settings.only_keys or ()):,} keys",
        "rehome_include": ", ".join(settings.include),
        "rehome_exclude": ", ".join(settings.exclude),
    }
    ((setting, _),) = Counter(_kept_out_by(settings, suffix) for suffix in suffixes).most_common(1)
    return setting, values[setting]


def _kept_out_by(settings: Settings, suffix: str) -> str:
    if settings.only_keys is not None and suffix not in settings.only_keys:
        return "rehome_only_keys"
    return "rehome_exclude" if settings.keymap.includes(suffix) else "rehome_include"


def _objects(settings: Settings, plan: Plan, setting: str, suffixes: list[str]) -> str:
    prefix = settings.source.prefix
    place = f"s3://{settings.source.bucket}/{prefix}"
    if not suffixes:
        return f"there is no object under {place}"
    seen = f"{plan.objects['foreign']:,} objects under {place} {_NARROWED[setting]}; the first: {prefix}{suffixes[0]}"
    wanted = settings.only_keys or () if setting == "rehome_only_keys" else settings.include
    # a mistyped glob or key is mostly a letter away from what is there
    near = [close for text in list(wanted)[:10] for close in get_close_matches(text, suffixes, 1)]
    return f"{seen}; the closest: {prefix}{near[0]}" if near and near[0] != suffixes[0] else seen


def _rows(catalog: Catalog, plan: Plan) -> str:
    foreign = plan.rows["foreign"]
    if not foreign:
        return "and there is no row"
    seen = f"and none of {foreign:,} rows holds a key of it"
    samples = catalog.query("SELECT text FROM foreign_samples WHERE kind = 'row' LIMIT 1")
    first = f"; the first begins with {samples[0][0]}" if samples else ""
    others = f"; {plan.rows_in_other_forms:,} name one in a form that no reference has" * bool(plan.rows_in_other_forms)
    return f"{seen}{first}{others}"

"""Approval of plans: those of dry runs are kept, so that a run can say what has changed since one was approved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .. import duckdb_engine as duckdb
from ..catalog.catalog import Catalog
from ..codes import Code
from ..config.approved_plan import made_elsewhere
from ..config.settings import Settings
from ..errors import Finding, RehomeError
from ..files import read_json, replacing, write_json
from .plan import DECIDED, Plan

FOLDER = "plans"
KEPT_PLANS = 10
SAMPLES = 3


def save_plan(catalog: Catalog, settings: Settings, plan: Plan) -> None:
    """Save the plan in `catalog` as `plans/<digest>/` in the state folder, and delete the oldest such folders."""
    folder = settings.state_dir / FOLDER / plan.sha256
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for kind, select in DECIDED.items():
        copy = f"COPY ({select}) TO $file (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 10240)"
        with replacing(folder / f"{kind}.parquet") as file:
            catalog.run(copy, {"file": str(file)})
    write_json(folder / "plan.json", {**_identity(settings), "place": settings.place})
    _delete_oldest(folder.parent)


def is_kept(settings: Settings) -> bool:
    """Return whether the state folder has the approved plan, of an earlier run."""
    return bool(_kept(settings))


def approved_digest(settings: Settings, plan: Plan) -> str | None:
    """Return the whole digest that `approved_plan` means, of the plan that would run now or of one that is kept.

    Returns it as it was given if it means no plan that is known here, or several.
    """
    meant = _meant(settings, plan)
    return meant[0] if len(meant) == 1 else settings.approved_plan


def objections(catalog: Catalog, settings: Settings, plan: Plan) -> list[Finding]:
    """Return why the plan in `catalog` is not covered by the approved one; nothing if no approval is required.

    A plan is covered if it is the approved one, or if that one has all that it would do: an interrupted run goes on
    with what is left. Raises RehomeError if the approved plan is damaged.
    """
    if len(meant := _meant(settings, plan)) > 1:
        problem = f"is the beginning of several plans: {', '.join(meant)}"
        return [
            Finding(
                "approved_plan",
                settings.approved_plan,
                problem,
                "Give more digits of the approved one",
                Code.PLAN_UNCLEAR,
            )
        ]
    approved = approved_digest(settings, plan)
    if approved is None or approved == plan.sha256:
        return []
    return _objections(catalog, settings, plan, approved)


def _objections(catalog: Catalog, settings: Settings, plan: Plan, approved: str) -> list[Finding]:
    folder = settings.state_dir / FOLDER / approved
    refused = f"is not the plan that would run now ({plan.sha256})"
    kept = read_json(folder / "plan.json", dict, _way_out_if_damaged(folder))
    if kept is None:
        way_out = (
            "Compare the digits, or have the plan approved that playbooks/plan.yml shows now. A run where the approved "
            "plan's dry run was made tells what has changed since"
        )
        unknown = f"{refused}, and no plan that is kept in {folder.parent} begins with it"
        return [Finding("approved_plan", approved, unknown, way_out, Code.PLAN_DIFFERS)]
    if differing := _differences(kept, settings):
        way_out = (
            "Put the settings back to what was approved, or have the plan approved that playbooks/plan.yml shows now"
        )
        return [
            Finding(
                "approved_plan",
                approved,
                f"{refused}: it was made with other settings: {differing}",
                way_out,
                Code.PLAN_OF_OTHERS,
            )
        ]
    if elsewhere := made_elsewhere(settings, approved):
        return elsewhere
    additions = [text for kind, select in DECIDED.items() if (text := _additions(catalog, folder, kind, select))]
    way_out = "Have the plan approved that playbooks/plan.yml shows now"
    return (
        [Finding("approved_plan", approved, f"{refused}: {'; '.join(additions)}", way_out, Code.PLAN_DIFFERS)]
        if additions
        else []
    )


def _meant(settings: Settings, plan: Plan) -> list[str]:
    """Return every digest that `approved_plan` begins, of the plan that would run now and of those that are kept."""
    approved = settings.approved_plan
    if approved is None:
        return []
    now = [plan.sha256] if plan.sha256.startswith(approved) else []
    return sorted({*now, *_kept(settings)})


def _kept(settings: Settings) -> list[str]:
    approved = settings.approved_plan
    if approved is None:
        return []
    return [file.parent.name for file in (settings.state_dir / FOLDER).glob(f"{approved}*/plan.json")]


def _identity(settings: Settings) -> dict[str, object]:
    return {"fingerprint": settings.fingerprint, "policies": settings.policies, "limit": settings.limit}


def _differences(kept: dict[str, Any], settings: Settings) -> str:
    """Return what differs between the settings of an approved plan and these; empty if nothing does."""
    mine = _identity(settings)
    before = {"limit": kept.get("limit"), **kept.get("policies", {})}
    now = {"limit": settings.limit, **json.loads(json.dumps(settings.policies))}
    found = [
        f"{name} was {before.get(name)}, and is {value}" for name, value in now.items() if before.get(name) != value
    ]
    if kept.get("fingerprint") != mine["fingerprint"]:
        place = kept.get("place", "other buckets, prefixes, globs or references")
        place = "other references" if place == settings.place else place
        found.insert(0, f"it is of {place}, and these settings are for {settings.place}")
    return "; ".join(found)


def _way_out_if_damaged(folder: Path) -> str:
    return f"Delete {folder}, and have the plan approved that playbooks/plan.yml shows now"


def _additions(catalog: Catalog, folder: Path, kind: str, select: str) -> str:
    """Describe what the plan in `catalog` has of this kind and the one in `folder` has not; empty if nothing."""
    new = f"({select}) EXCEPT (FROM read_parquet($file))"
    file = folder / f"{kind}.parquet"
    params = {"file": str(file)}
    try:
        # reads only the end of the file, which one that is cut short has not; the comparison may fail for other reasons
        catalog.count("FROM read_parquet($file)", params)
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise RehomeError(
            f"{file} cannot be read ({reason}). {_way_out_if_damaged(folder)}.", code=Code.STATE_FILE
        ) from error
    count = catalog.count(new, params)
    if not count:
        return ""
    # the first column says which one it is, the second of which class
    samples = catalog.query(f"FROM ({new}) ORDER BY ALL LIMIT {SAMPLES}", params)
    named = ", ".join(f"{row[0]} ({row[1].replace('_', ' ')})" for row in samples)
    return f"{count:,} {kind} are new or have changed since, such as {named}"


def _delete_oldest(folder: Path) -> None:
    plans = sorted(folder.iterdir(), key=lambda plan: plan.stat().st_mtime, reverse=True)
    for plan in plans[KEPT_PLANS:]:
        for file in plan.iterdir():
            file.unlink()
        plan.rmdir()

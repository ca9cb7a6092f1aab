"""Put the facts of a run together: what its stages kept, what its summary counts, and what its settings say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from ..codes import codes_in
from ..config.settings import Settings, Side
from .card import card
from .commands import irreversible, next_steps, way_back
from .facts import (
    REPORT_VERSION,
    KeptFacts,
    LastMigration,
    Moves,
    Origin,
    ReferenceFact,
    Report,
    SideFact,
    TimelinePoint,
    Who,
)
from .fields import ListFile, SummaryFields
from .places import place_of
from .plan_text import plan_text
from .samples import samples_of_lists, shown

_NO_COUNTS: Final = frozenset({"elapsed_s", "limit", "only_keys"})

_KEY: Final = "<key>"


def assemble(
    settings: Settings,
    summary: SummaryFields,
    kept: KeptFacts,
    *,
    who: Who,
    versions: Mapping[str, str],
    origin: Origin,
    ended_at: str,
    places: Mapping[str, str],
    migration: LastMigration | None,
    timeline: Sequence[TimelinePoint] = (),
) -> Report:
    """Return the report. The same facts give the same report.

    kept: what the stages of the run have contributed so far
    """
    report = Report(
        **kept,
        report_version=REPORT_VERSION,
        name=summary["name"],
        verb=summary["verb"],
        dry_run=summary["dry_run"],
        run=summary["run"],
        env=origin.get("env") or None,
        started_at=summary["started_at"],
        ended_at=ended_at,
        outcome=summary["outcome"],
        complete=summary["complete"],
        problems=list(summary["problems"]),
        codes=_codes(kept, summary),
        who=who,
        versions=dict(versions),
        origin=origin,
        moves=moves(settings, summary),
        plan_sha256=summary["plan_sha256"],
        approved_plan=summary["approved_plan"],
        migration=migration,
        counts=_counts(summary),
        control=list(summary.get("control", [])),
        throttled_s=dict(summary["throttled_s"]),
        left=dict(summary["left"]),
        lists={
            name: ListFile(**{**file, "file": place_of(summary["kept_in"], settings.state_dir, Path(file["file"]))})
            for name, file in summary["lists"].items()
        },
        list_samples=samples_of_lists(settings, summary["lists"]),
        timeline=list(timeline),
        samples_per_class=settings.report_samples,
        next=[],
        back=[],
        irreversible=[],
        places=dict(places),
        card=[],
    )
    report["next"] = next_steps(report, settings)
    report["back"] = way_back(report, settings)
    report["irreversible"] = irreversible(report, settings)
    report["card"] = ending(report, summary)
    return report


def _codes(kept: KeptFacts, summary: SummaryFields) -> list[str]:
    checks = kept["preflight"]["checks"] if "preflight" in kept else []
    said = [kept.get("error") or "", *kept.get("refusals", []), *kept.get("warnings", []), *summary["problems"]]
    found = codes_in(*said) + [check["code"] for check in checks if check["code"]]
    return sorted(set(found))


def ending(report: Report, summary: SummaryFields) -> list[str]:
    """Return the lines that the terminal shows at the end of the run."""
    planned = report["verb"] in ("plan", "migrate-check") and report["plan_sha256"] and not report.get("error")
    return plan_text(report, summary) if planned else card(report, summary)


def _counts(summary: SummaryFields) -> dict[str, int]:
    fields = cast(Mapping[str, Any], summary)
    return {
        name: value
        for name, value in fields.items()
        if isinstance(value, int) and not isinstance(value, bool) and value and name not in _NO_COUNTS
    }


def moves(settings: Settings, summary: SummaryFields) -> Moves:
    """Return what moves, and by which rules."""
    only = settings.only_keys
    return Moves(
        source=_side(settings.source),
        target=_side(settings.target),
        include=list(settings.include),
        exclude=list(settings.exclude),
        only_keys=None if only is None else len(only),
        limit=settings.limit,
        database=_database(settings),
        references=[
            ReferenceFact(
                column=reference.name,
                before=shown(f"{reference.form.before_source_key}{settings.source.prefix}") + _KEY,
                after=shown(f"{reference.form.before_target_key}{settings.target.prefix}") + _KEY,
                where=reference.where,
            )
            for reference in settings.references
        ],
        policies=_policies(settings),
        copy_method=summary["copy_method"],
        cluster=None if settings.cluster is None else settings.cluster.address or None,
        movers=summary.get("movers", {}),
    )


def _side(side: Side) -> SideFact:
    # the settings take no endpoint with a password in it
    return SideFact(bucket=side.bucket, prefix=side.prefix, endpoint=side.endpoint_url, region=side.region)


def _database(settings: Settings) -> str:
    database = settings.database
    if database.engine == "sqlite":
        return f"sqlite {database.path}"
    port = f":{database.port}" if database.port else ""
    return f"{database.engine} {database.name} at {database.socket or f'{database.host}{port}'}"


def _policies(settings: Settings) -> dict[str, str]:
    copy = settings.copy
    encryption = f"{copy.encryption} {copy.kms_key_id}" if copy.kms_key_id else copy.encryption
    return {
        "rehome_on_conflict": settings.on_conflict,
        "rehome_on_dangling": settings.on_dangling,
        "rehome_storage_class": copy.storage_class,
        "rehome_encryption": encryption,
        "rehome_acl": copy.acl,
        "rehome_tags": copy.tags,
    }

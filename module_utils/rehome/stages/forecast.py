"""What a run of the plan in a catalog would take: its requests by kind, its time, and its price."""

from __future__ import annotations

from ..catalog.catalog import Catalog
from ..config.settings import CopyMethod, Settings
from ..planning.plan import Plan
from ..report.estimate import Measured, Work, estimate
from ..report.facts import Estimate
from ..s3.objects.job import MAX_PARTS
from ..services.requests import (
    Limits,
    Queue,
    limits,
    requests_of_copies,
    requests_of_listings,
    requests_of_restores,
    requests_of_sample,
)

READINGS = 2
"""A run of an approved plan lists both sides and reads the rows for its own plan, and again to verify."""

_QUEUE = """
SELECT count(*) FILTER (size <= $whole), count(*) FILTER (size > $whole),
    coalesce(sum(least($most, ceil(size / $part))) FILTER (size > $whole), 0)::BIGINT,
    count(*) FILTER (size <= $whole AND etag LIKE '%-%')
FROM objects WHERE class IN ('to_copy', 'outdated') OR (class = 'conflict' AND $overwrite)
"""
"""An ETag with a dash is that of an upload in parts."""


def forecast(
    catalog: Catalog, settings: Settings, plan: Plan, method: CopyMethod | None, reading_s: float, measured: Measured
) -> Estimate:
    """Return the forecast.

    method: how a run would copy; None: there is nothing to copy, or it is not known, and the service is taken to
    reading_s: how long it took to list both sides and to read the rows just now
    """
    method = method or "server_side"
    in_source, in_target = plan.objects_seen + plan.objects["foreign"], catalog.count("FROM target_objects")
    # an inventory stands in for the first listing; the verification lists
    of_source = [in_source] * (1 if settings.source.inventory else READINGS)
    requests = [
        *requests_of_listings(of_source, [in_target, in_target + plan.objects_to_move]),
        *requests_of_copies(_queue(catalog, settings, limits(settings.copy, method)), method, settings.copy),
        *requests_of_restores(plan.objects["archived"] if settings.restore else 0),
        *requests_of_sample(min(settings.verify_sample, plan.objects["present"] + plan.objects_to_move)),
    ]
    work = Work(
        objects=plan.objects_to_move,
        bytes=plan.bytes_to_copy,
        streamed=method == "stream",
        rows=plan.rows_to_move,
        reading_s=reading_s,
        readings=READINGS,
        most_per_second=settings.copy.objects_per_second,
    )
    return estimate(work, requests, measured, settings.prices)


def _queue(catalog: Catalog, settings: Settings, limit: Limits) -> Queue:
    params = {
        "whole": limit.whole,
        "part": limit.part,
        "most": MAX_PARTS,
        "overwrite": settings.on_conflict == "overwrite",
    }
    return Queue(*catalog.one(_QUEUE, params))

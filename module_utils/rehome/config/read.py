"""Turns the options of a module into `Settings`, and refuses whatever can be refused without a request.

Findings name settings as they are written in `group_vars/<env>.yml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..codes import Code
from ..errors import Finding, RefusedError
from .approved_plan import made_elsewhere
from .critical import read_critical, read_metrics_file
from .environment import NO_VARIABLES, Exported
from .prices import read_prices
from .read_buckets import (
    overlap_in_one_bucket,
    read_copy_policy,
    read_key_list,
    read_restore,
    read_side,
    read_state_uri,
)
from .read_cluster import read_cluster
from .read_database import read_chunk_ms, read_connections, read_database, read_references
from .read_values import at_least, at_most, read_approved_plan, read_limit, read_name, read_period, read_time
from .redirect import read_redirect
from .settings import NO_WAY_BACK, Discover, Retire, RollbackPolicy, Settings, Side, SideLabel
from .throttle import read_throttle

SIDES: tuple[SideLabel, SideLabel] = ("source", "target")

MOST_SAMPLES = 50
"""Of each class: the report is read by people, and the lists have them all."""


def read_settings(given: Mapping[str, Any], variables: Mapping[str, str] = NO_VARIABLES) -> Settings:
    """Turn a module's `settings` option into `Settings`.

    given: the option as Ansible passes it, with types and choices checked
    variables: the environment's, for what is unset
    Raises RefusedError with every finding.
    """
    exported = Exported(variables)
    given = exported.add_to(given)
    findings = exported.findings
    source = read_side("source", given["source"] or {}, findings)
    target = read_side("target", given["target"] or {}, findings)
    database = read_database(given["database"] or {}, findings)
    settings = Settings(
        name=read_name(given["name"], findings),
        source=source,
        target=target,
        include=tuple(given["include"]),
        exclude=tuple(given["exclude"]),
        database=database,
        references=read_references(given["references"] or [], database.engine, source, target, findings),
        on_conflict=given["on_conflict"],
        on_dangling=given["on_dangling"],
        journal_schema=given["journal_schema"],
        chunk_ms=read_chunk_ms(given.get("chunk_ms"), database.engine, findings),
        connections=read_connections(given.get("connections"), findings),
        touch_updated_at=bool(given.get("touch_updated_at")),
        state_dir=Path(given["state_dir"]),
        copy=read_copy_policy(given, findings),
        restore=read_restore(given.get("restore") or {}, findings),
        verify_sample=at_least(0, "rehome_verify_sample", given.get("verify_sample") or 0, findings),
        only_keys=read_key_list(given.get("only_keys"), source.prefix, findings),
        throttle=read_throttle(given.get("throttle") or {}, Path(given["state_dir"]), findings),
        critical=read_critical(given.get("critical") or {}, given.get("throttle") or {}, findings),
        limit=read_limit(given.get("limit"), findings),
        approved_plan=read_approved_plan(given.get("approved_plan"), findings),
        quiet_objects=at_least(0, "rehome_quiet_objects", given.get("quiet_objects", 0), findings),
        state_uri=read_state_uri(given.get("state_uri"), source, target, findings),
        max_passes=at_least(1, "rehome_max_passes", given.get("max_passes", 5), findings),
        confirm=given.get("confirm") or None,
        retire=_read_retire(given, findings),
        redirect=read_redirect(given.get("redirect") or {}, findings),
        rollback=RollbackPolicy(
            since=read_time("rehome_rollback_since", given.get("rollback_since"), findings),
            missing=given.get("rollback_missing") or "keep",
            copies=given.get("rollback_copies") or "keep",
        ),
        report_samples=_read_samples(given.get("report_samples"), findings),
        prices=read_prices(given.get("prices") or {}, findings),
        discover=_read_discover(given, findings),
        metrics_file=read_metrics_file(given.get("metrics_file"), findings),
        cluster=read_cluster(given.get("cluster"), source, target, findings),
    )
    if not settings.include:
        findings.append(
            Finding("rehome_include", "[]", "selects no object", 'Use ["*"] for all of them', Code.UNUSABLE_VALUE)
        )
    findings = findings or _overlaps(settings) or _reserved_in_prefix(settings) or _rewritten_again(settings)
    findings = findings or made_elsewhere(settings, settings.approved_plan)
    if findings:
        raise RefusedError([exported.named(finding) for finding in findings])
    return settings


def read_sides(given: Mapping[str, Any], variables: Mapping[str, str] = NO_VARIABLES) -> tuple[Side, Side]:
    """Return source and target as far as they are set, for what is to be told beside refused settings."""
    given, told = Exported(variables).add_to(given), list[Finding]()
    source, target = (read_side(label, given[label] or {}, told) for label in SIDES)
    return source, target


def _read_retire(given: Mapping[str, Any], findings: list[Finding]) -> Retire:
    words = given.get("retire_unversioned") or ""
    if words not in ("", NO_WAY_BACK):
        way_out = f'Write "{NO_WAY_BACK}" if that is what you want, or leave it unset'
        findings.append(
            Finding("rehome_retire_unversioned", words, "does not say what it takes", way_out, Code.UNUSABLE_VALUE)
        )
    return Retire(
        after=read_period("rehome_retire_after", given.get("retire_after") or "7d", findings),
        unversioned=words == NO_WAY_BACK,
        restore=bool(given.get("retire_restore")),
    )


def _read_discover(given: Mapping[str, Any], findings: list[Finding]) -> Discover:
    acknowledged = given.get("acknowledged_columns") or []
    findings += [
        Finding(
            "rehome_acknowledged_columns",
            name,
            "names no column",
            "Write it as discover shows it: table.column, or schema.table.column",
            Code.UNUSABLE_VALUE,
        )
        for name in acknowledged
        if not all("".join(name.split()).partition("."))
    ]
    return Discover(
        whole=bool(given.get("discover_whole")),
        schemas=tuple(given.get("discover_schemas") or ()),
        acknowledged=frozenset(acknowledged),
    )


def _read_samples(count: int | None, findings: list[Finding]) -> int:
    setting = "rehome_report_samples"
    return at_most(MOST_SAMPLES, setting, at_least(0, setting, 10 if count is None else count, findings), findings)


def _overlaps(settings: Settings) -> list[Finding]:
    source, target = settings.source, settings.target
    if (source.bucket, source.endpoint_url) != (target.bucket, target.endpoint_url):
        return []
    return overlap_in_one_bucket(source, target)


def _reserved_in_prefix(settings: Settings) -> list[Finding]:
    """Return forms that end a key at a character that a prefix contains: no value would begin with that prefix."""
    return [
        Finding(
            f"rehome_references ({reference.name})",
            None,
            f"{side.setting}.prefix ({side.prefix}) has {mark}, with which a query string or a fragment begins here",
            "Leave out query: true, or say encoded: true if the keys in the column are percent-encoded",
            Code.WRONG_REFERENCE,
        )
        for reference in settings.references
        for side in (settings.source, settings.target)
        for mark in reference.form.reserved
        if mark in side.prefix and not reference.form.encoded
    ]


def _rewritten_again(settings: Settings) -> list[Finding]:
    """Return references whose rewritten values the next run would rewrite again."""
    return [
        Finding(
            f"rehome_references ({reference.name})",
            None,
            f"a rewritten value ({values.target_head}…) would look like an old one ({values.source_head}…), "
            "so that a second run would rewrite it again",
            "Choose a target prefix that does not begin with the source prefix, or globs in rehome_include "
            "that a rewritten value cannot match",
            Code.PLACES_OVERLAP,
        )
        for reference in settings.references
        for values in [settings.value_map(reference)]
        if values.feeds_itself
    ]

"""Reads what the operator asked for; whatever can be refused by reading alone is refused here.

Every complaint names the variable as it stands in `inventory/group_vars/<env>.yml`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..errors import Finding, RefusedError
from .read_buckets import _only_keys, _restore, _side, _state_uri, copy_policy, overlap_in_one_bucket
from .read_database import _database, _reference, repeated
from .read_values import _approved_plan, _chunk_ms, _connections, _limit, _moment, _name, _unset, at_least
from .redirect import read_redirect
from .settings import (
    NO_WAY_BACK,
    Retire,
    RollbackPolicy,
    Settings,
)
from .throttle import read_throttle


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Turn a module's `settings` option into `Settings`.

    given: the option as Ansible hands it over, types and choices already checked.
    Raises RefusedError with every finding.
    """
    findings: list[Finding] = []
    source = _side("source", given["source"] or {}, findings)
    target = _side("target", given["target"] or {}, findings)
    database = _database(given["database"] or {}, findings)
    references = [
        _reference(position, reference, database.engine, source, target, findings)
        for position, reference in enumerate(given["references"] or [])
    ]
    settings = Settings(
        name=_name(given["name"], findings),
        source=source,
        target=target,
        include=tuple(given["include"]),
        exclude=tuple(given["exclude"]),
        database=database,
        references=tuple(references),
        on_conflict=given["on_conflict"],
        on_dangling=given["on_dangling"],
        journal_schema=given["journal_schema"],
        chunk_ms=_chunk_ms(given.get("chunk_ms"), database.engine, findings),
        connections=_connections(given.get("connections"), findings),
        touch_updated_at=bool(given.get("touch_updated_at")),
        state_dir=Path(given["state_dir"]),
        copy=copy_policy(given, findings),
        restore=_restore(given.get("restore") or {}, findings),
        verify_sample=at_least(0, "rehome_verify_sample", given.get("verify_sample") or 0, findings),
        only_keys=_only_keys(given.get("only_keys"), source.prefix, findings),
        throttle=read_throttle(given.get("throttle") or {}, Path(given["state_dir"]), findings),
        limit=_limit(given.get("limit"), findings),
        approved_plan=_approved_plan(given.get("approved_plan") or None, findings),
        quiet_objects=at_least(0, "rehome_quiet_objects", given.get("quiet_objects", 0), findings),
        state_uri=_state_uri(given.get("state_uri") or None, source, target, findings),
        max_passes=at_least(1, "rehome_max_passes", given.get("max_passes", 5), findings),
        confirm=given.get("confirm") or None,
        retire=_retire(given, findings),
        redirect=read_redirect(given.get("redirect") or {}, findings),
        rollback=RollbackPolicy(
            since=_moment("rehome_rollback_since", given.get("rollback_since"), findings),
            missing=given.get("rollback_missing") or "keep",
            copies=given.get("rollback_copies") or "keep",
        ),
    )
    if not settings.references:
        findings.append(_unset("rehome_references", "a list such as [{table: avatars, column: path, form: key}]"))
    findings += repeated(settings.references)
    if not settings.include:
        findings.append(Finding("rehome_include", "[]", "no glob, so no object is meant", 'Use ["*"] for all of them'))
    if not findings:
        findings += _overlaps(settings)
    if findings:
        raise RefusedError(findings)
    return settings


_PERIOD = re.compile(r"(\d+)\s*([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def _retire(given: Mapping[str, Any], findings: list[Finding]) -> Retire:
    after, words = given.get("retire_after") or "7d", given.get("retire_unversioned") or ""
    period = _PERIOD.fullmatch(after)
    if period is None or len(period[1]) > 6:
        findings.append(
            Finding(
                "rehome_retire_after", after, "is no period", "Write a number of days, hours or minutes: 7d, 36h, 90m"
            )
        )
        period = None
    if words not in ("", NO_WAY_BACK):
        findings.append(
            Finding(
                "rehome_retire_unversioned",
                words,
                "does not say what it takes",
                f'Write "{NO_WAY_BACK}" if that is what you want, or leave it unset',
            )
        )
    return Retire(
        after=timedelta(**{_UNITS[period[2]]: int(period[1])}) if period else timedelta.max,
        unversioned=words == NO_WAY_BACK,
        restore=bool(given.get("retire_restore")),
    )


def _ending_in_prefix(settings: Settings) -> list[Finding]:
    """Forms that end a key at a mark that a prefix has: no value could be told to begin with that prefix."""
    return [
        Finding(
            f"rehome_references ({reference.name})",
            None,
            f"{side.setting}.prefix ({side.prefix}) has {mark}, with which a query string or a fragment begins here",
            "Leave out query: true, or say encoded: true where the column has keys percent-encoded",
        )
        for reference in settings.references
        for side in (settings.source, settings.target)
        for mark in reference.form.reserved
        if mark in side.prefix and not reference.form.encoded
    ]


def _overlaps(settings: Settings) -> list[Finding]:
    """Maps that would move things into themselves, or whose results would be moved again by the next run."""
    source, target = settings.source, settings.target
    if (source.bucket, source.endpoint_url) == (target.bucket, target.endpoint_url):
        found = overlap_in_one_bucket(source, target)
        if found:
            return found
    return _ending_in_prefix(settings) or [
        Finding(
            f"rehome_references ({reference.name})",
            None,
            f"a rewritten value ({values.target_head}…) would look like an old one ({values.source_head}…), "
            "so that a second run would rewrite it again",
            "Choose a target prefix that does not begin with the source prefix, or globs in rehome_include "
            "that a rewritten value cannot match",
        )
        for reference in settings.references
        for values in [settings.value_map(reference)]
        if values.feeds_itself
    ]

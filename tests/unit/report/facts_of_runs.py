"""Reports of made-up runs, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.report.assemble import assemble
from rehome.report.facts import KeptFacts, Origin, Report, Who
from rehome.report.fields import SummaryKind
from rehome.report.summary import Summary

from tests.unit.config.test_settings import given

DIGEST = "ab" * 28 + read_settings(given()).plan_tag
ORIGIN: Origin = {
    "env": "prod",
    "ansible": "2.21.5",
    "folder": "/srv/ops",
    "playbook": "playbooks/plan.yml",
    "arguments": ["-e", "env=prod", "-i", "../ops/inventory"],
    "left_out": [],
}
WHO: Who = {"user": "alice", "host": "controller", "job": None}


def settings_in(folder: Path, **changes: Any) -> Settings:
    return read_settings(given(state_dir=str(folder), **changes))


def report_of(
    settings: Settings,
    verb: str = "plan",
    kept: KeptFacts | None = None,
    *,
    kind: SummaryKind = "migration",
    dry_run: bool | None = None,
    origin: Origin = ORIGIN,
    who: Who = WHO,
    **fields: Any,
) -> Report:
    """Return the report of a run of this verb. fields: of its summary"""
    dry = verb in ("plan", "verify", "preflight") or verb.endswith("-check") if dry_run is None else dry_run
    summary = Summary.start(settings, "run:4242:1", verb, dry, kind)
    summary.add(**{"plan_sha256": DIGEST, "problems": [], "complete": True, **fields})  # type: ignore[arg-type]
    summary.fields["started_at"] = "2026-11-29T09:59:53.600+00:00"
    return assemble(
        settings,
        summary.fields,
        kept or {},
        who=who,
        versions={"Rehome": "0.1.0", "Python": "3.13.1"},
        origin=origin,
        ended_at="2026-11-29T10:00:00.000+00:00",
        places={"report": f"{settings.state_dir}/report.md", "lists": f"{settings.state_dir}/lists/"},
        migration=None,
    )

"""The report of a run while it goes on: its stages keep what they know in report.json, and its end writes report.md."""

from __future__ import annotations

import platform
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Unpack, cast

from .. import duckdb_engine as duckdb
from ..config.settings import Settings
from ..job import user_name
from ..report.assemble import assemble
from ..report.document import FACTS_FILE, last_migration, read_kept, remove_texts, write_report, write_texts
from ..report.facts import KeptFacts, Origin, Report, StageFact, Who
from ..report.fields import SummaryFields, counts_in
from ..report.lists import LISTS_FOLDER
from ..report.over_time import over_time
from ..report.summary import PAGE_FILE, SUMMARY_FILE, TEXT_FILE
from ..version import VERSION

STAGES: Final[Mapping[str, str]] = {
    "migration_preflight": "preflight",
    "migration_plan": "plan",
    "s3_batch_copy": "copy",
    "db_path_rewrite": "rewrite",
    "migration_verify": "verify",
    "db_path_rollback": "rollback",
    "s3_batch_delete": "retire",
    "s3_remove_copies": "remove copies",
}
"""Module → the stage that its work is. The others are no stages of a run."""

CHANGES: Final = (
    "objects_copied",
    "bytes_copied",
    "rows_rewritten",
    "rows_restored",
    "objects_retired",
    "bytes_retired",
    "objects_brought_back",
    "copies_removed",
    "bytes_removed",
)
"""Counts of what a stage changes."""


_PLACES: Final = {
    "summary": SUMMARY_FILE,
    "report": TEXT_FILE,
    "page": PAGE_FILE,
    "facts": FACTS_FILE,
    "lists": f"{LISTS_FOLDER}/",
}
"""What people find where the run keeps its reports."""

_AFTER: Final = ("verify", "rollback", "rollback-check", "retire", "retire-check")
"""Verbs that come after a migration."""


class RunReport:
    """What the present stage adds to the report of its run.

    module: the module that does the stage's work
    origin: how the run was started
    """

    def __init__(self, settings: Settings, run: str, module: str, origin: Mapping[str, Any]) -> None:
        self._settings = settings
        self._run = run
        self._stage = STAGES.get(module)
        self._origin = cast(Origin, dict(origin))
        self._began, self._clock = datetime.now(UTC), time.monotonic()
        self._kept: KeptFacts | None = None
        self.warnings: list[str] = []
        """What went wrong with the texts."""

    @property
    def stage(self) -> str | None:
        """The stage that the module's work is; None: it is none of a run."""
        return self._stage

    @property
    def origin(self) -> Origin:
        """How the run was started."""
        return self._origin

    @property
    def kept(self) -> KeptFacts:
        """What the stages of this run have contributed so far."""
        if self._kept is None:
            self._kept = read_kept(self._settings.state_dir, self._run)
        return self._kept

    def keep(self, **facts: Unpack[KeptFacts]) -> None:
        """Contribute facts, in place of what earlier stages have said of the same. `write` saves them."""
        self.kept.update(facts)

    def start(self, verb: str) -> None:
        """Begin the report of a run."""
        self._kept = KeptFacts()
        remove_texts(self._settings.state_dir, verb)

    def write(self, summary: SummaryFields, *, text: bool) -> Report:
        """Save the facts, and return them.

        text: also as people read them, as the run may end here
        """
        settings, kept = self._settings, self.kept
        if self._stage is not None:
            self._note_stage(summary)
        report = assemble(
            settings,
            summary,
            kept,
            who=_who(summary),
            versions=_versions(self._origin),
            origin=self._origin,
            ended_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            places={name: f"{summary['kept_in']}{file}" for name, file in _PLACES.items()},
            timeline=over_time(settings.state_dir, self._run),
            migration=last_migration(settings.state_dir) if summary["verb"] in _AFTER else None,
        )
        write_report(settings.state_dir, report)
        if text:
            self.warnings = write_texts(settings.state_dir, report)
        return report

    def _note_stage(self, summary: SummaryFields) -> None:
        """Put this stage at the end of the stages, or in place of what it has said of itself before."""
        began = self._began.isoformat(timespec="milliseconds")
        earlier = [stage for stage in self.kept.get("stages", []) if stage["began"] != began]
        counts = counts_in(summary)
        changed = {
            name: more
            for name in CHANGES
            if (more := counts.get(name, 0) - sum(stage["changed"].get(name, 0) for stage in earlier))
        }
        number = len(summary["passes"]) if self._stage in ("plan", "copy") else 0
        mine = StageFact(
            stage=self._stage or "",
            number=number,
            began=began,
            seconds=round(time.monotonic() - self._clock, 3),
            changed=changed,
        )
        self.kept["stages"] = [*earlier, mine]


def _who(summary: SummaryFields) -> Who:
    job = summary["job"]
    known = {name: str(value) for name, value in job.items() if value is not None} if job else None
    return Who(user=user_name(), host=socket.gethostname(), job=known)


def _versions(origin: Origin) -> dict[str, str]:
    versions = {"Rehome": VERSION, "Python": platform.python_version()}
    versions["DuckDB"] = duckdb.__version__
    if "ansible" in origin:
        versions["ansible-core"] = origin["ansible"]
    return versions

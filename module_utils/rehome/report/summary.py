"""What a run leaves behind for people: `summary.json`, and one list per class that needs a human."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ..config.settings import Settings
from ..errors import RehomeError
from ..files import read_json, write_json
from .lines import migration_lines, retire_lines, rollback_lines, verification_lines

SummaryKind = Literal["migration", "rollback"]
"""What was done, and so what the summary's lines are about."""

SUMMARY_FILE = "summary.json"
VERB_SUMMARY_FILE = "summary-{}.json"

_COUNTS = (
    "objects_to_copy",
    "objects_copied",
    "objects_outdated",
    "objects_present",
    "objects_conflict",
    "objects_changed",
    "objects_archived",
    "objects_unroutable",
    "objects_deferred",
    "objects_found_archived",
    "objects_restoring",
    "objects_not_restored",
    "objects_orphan",
    "objects_weak",
    "objects_foreign",
    "objects_failed",
    "objects_sampled",
    "objects_differing",
    "bytes_to_copy",
    "bytes_copied",
    "rows_to_rewrite",
    "rows_rewritten",
    "rows_done",
    "rows_dangling",
    "rows_blocked",
    "rows_overflowing",
    "rows_deferred",
    "rows_foreign",
    "rows_changed_by_app",
    "rows_refused",
    "rows_remaining",
    "rows_journalled",
    "rows_to_restore",
    "rows_restored",
    "rows_restored_before",
    "rows_changed_since",
    "rows_gone",
    "rows_kept",
)

_WRITTEN = (
    "objects_copied",
    "objects_retired",
    "objects_brought_back",
    "copies_removed",
    "rows_rewritten",
    "rows_restored",
)


class Summary:
    """The summary of a run, kept on disk from its first stage on, so that a run that dies leaves one too.

    It is `summary.json` until the next run begins, and `summary-<verb>.json` until the next one of its verb does.
    """

    def __init__(self, state_dir: Path, facts: dict[str, Any]) -> None:
        self.path = state_dir / SUMMARY_FILE
        self.facts = facts

    @classmethod
    def start(cls, settings: Settings, run: str, verb: str, dry_run: bool, kind: SummaryKind = "migration") -> Summary:
        """Begin anew: no count is known yet."""
        facts: dict[str, Any] = {
            "name": settings.name,
            "verb": verb,
            "kind": kind,
            "source": f"s3://{settings.source.bucket}/{settings.source.prefix}",
            "target": f"s3://{settings.target.bucket}/{settings.target.prefix}",
            "run": run,
            "dry_run": dry_run,
            "only_keys": None if settings.only_keys is None else len(settings.only_keys),
            "limit": settings.limit,
            "approved_plan": settings.approved_plan,
            "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            **dict.fromkeys(_COUNTS, 0),
            "passes": [],
            "copy_method": None,
            "failures": {},
            "throttled_s": {},
            "plan_sha256": "",
            "lists": {},
            "complete": False,
            "problems": ["the run has not come to its end"],
        }
        summary = cls(settings.state_dir, facts)
        summary.add()
        return summary

    @classmethod
    def load(cls, state_dir: Path) -> Summary:
        """The summary of the run under way, or of the last one. Raises RehomeError where there is none."""
        path = state_dir / SUMMARY_FILE
        way_out = "Run the playbook from its beginning, which writes it again"
        summary = read_json(path, lambda facts: cls(state_dir, dict(facts)), way_out)
        if summary is None:
            raise RehomeError(f"{path} does not exist. {way_out}.")
        return summary

    def add(self, **facts: object) -> None:
        """Take in what a stage found, and save."""
        began = datetime.fromisoformat(self.facts["started_at"])
        elapsed = round((datetime.now(UTC) - began).total_seconds(), 3)
        self.facts.update(facts, elapsed_s=elapsed)
        for path in (self.path.with_name(VERB_SUMMARY_FILE.format(self.facts["verb"])), self.path):
            write_json(path, self.facts)

    @property
    def has_written(self) -> bool:
        """Whether the run has changed anything in the buckets or the database, as far as it could tell."""
        return not self.facts["dry_run"] and any(self.facts.get(name) for name in _WRITTEN)

    def lines(self) -> list[str]:
        """The summary for a terminal, one subject a line; classes that are empty are left out."""
        f = self.facts
        if "objects_retired" in f:
            return [f"{f['name']}: {f['source']} → {f['target']}", *retire_lines(f), *self._ending()]
        sliced = f["only_keys"] is not None
        lines = [
            f"{f['name']}: {f['source']} → {f['target']}",
            *([f"only     {f['only_keys']:,} keys and their rows (rehome_only_keys)"] if sliced else []),
            *self._counted(),
        ]
        return [*lines, *self._ending()]

    def _counted(self) -> list[str]:
        f = self.facts
        if f["kind"] == "rollback":
            return rollback_lines(f)
        # a verification would do nothing: it tells what is there
        return verification_lines(f) if f["verb"].removesuffix("-check") == "verify" else migration_lines(f)

    def _ending(self) -> list[str]:
        f = self.facts
        lines = [f"list     {facts['count']:,} in {facts['file']}" for facts in f["lists"].values()]
        lines += [f"problem  {problem}" for problem in f["problems"]]
        return [*lines, f"outcome  {self._outcome()} ({f['elapsed_s']:.1f} s)", f"summary  {self.path}"]

    def _outcome(self) -> str:
        if self.facts["complete"]:
            return "complete"
        if self.facts["problems"]:
            return "NOT COMPLETE"
        if self.facts["dry_run"]:
            return "a dry run: nothing was written"
        return "the slice is done; run it without rehome_limit for the rest"

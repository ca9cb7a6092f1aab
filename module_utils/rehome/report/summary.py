"""summary.json: what the run was, what it counted, what it left. Its fields are in `fields`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Unpack, cast

from ..codes import Code, marked
from ..config.settings import Settings
from ..errors import RehomeError
from ..files import read_json, write_json
from ..job import Job
from .fields import RunCounts, SummaryFields, SummaryKind
from .outcome import outcome_of
from .places import place_of, run_folder

SUMMARY_FILE = "summary.json"
TEXT_FILE = "report.md"
"""The report, which lies beside the summary."""
PAGE_FILE = "report.html"
"""The same as a page."""
VERB_SUMMARY_FILE = "summary-{}.json"

UNFINISHED = marked("the run has not come to its end", Code.INTERRUPTED)
"""The problem of a run until it ends."""


class Summary:
    """The summary of a run, saved from its first stage on, so that a run that dies leaves one too.

    It is `summary.json` until the next run begins, and `summary-<verb>.json` until the next run of its verb.
    """

    def __init__(self, state_dir: Path, fields: SummaryFields) -> None:
        self.path = state_dir / SUMMARY_FILE
        self.fields = fields

    @classmethod
    def start(
        cls,
        settings: Settings,
        run: str,
        verb: str,
        dry_run: bool,
        kind: SummaryKind = "migration",
        job: Job | None = None,
    ) -> Summary:
        """Save and return the summary of a run that begins: every count is 0, and it is not complete."""
        fields: SummaryFields = {
            "name": settings.name,
            "verb": verb,
            "kind": kind,
            "source": f"s3://{settings.source.bucket}/{settings.source.prefix}",
            "target": f"s3://{settings.target.bucket}/{settings.target.prefix}",
            "run": run,
            "job": job,
            "dry_run": dry_run,
            "only_keys": None if settings.only_keys is None else len(settings.only_keys),
            "limit": settings.limit,
            "approved_plan": settings.approved_plan,
            "started_at": (began := datetime.now(UTC).isoformat(timespec="milliseconds")),
            "kept_in": run_folder(settings, began),
        }
        summary = cls(settings.state_dir, fields)
        summary.add(
            dict.fromkeys(RunCounts.__annotations__, 0),
            passes=[],
            copy_method=None,
            movers={},
            failures={},
            throttled_s={},
            control=[],
            plan_sha256="",
            lists={},
            left={},
            complete=False,
            problems=[UNFINISHED],
        )
        return summary

    @classmethod
    def load(cls, state_dir: Path) -> Summary:
        """Return the summary of the present run, or of the last one. Fields that are not known are kept.

        Raises RehomeError if there is none, or the file is damaged.
        """
        path = state_dir / SUMMARY_FILE
        way_out = "Run the playbook from its beginning, which writes it again"

        def parse(content: Any) -> Summary:
            return cls(state_dir, cast(SummaryFields, dict(content)))

        summary = read_json(path, parse, way_out)
        if summary is None:
            raise RehomeError(f"{path} does not exist. {way_out}.", code=Code.OTHER_RUN)
        return summary

    def add(self, counts: Mapping[str, int] | None = None, **fields: Unpack[SummaryFields]) -> None:
        """Take in what a stage counted and found, and save.

        counts: by the names of `SummaryFields`
        """
        began = datetime.fromisoformat(self.fields["started_at"])
        elapsed = round((datetime.now(UTC) - began).total_seconds(), 3)
        self.fields.update(cast(SummaryFields, {**(counts or {}), **fields, "elapsed_s": elapsed}))
        self.fields["outcome"] = outcome_of(self.fields)
        for path in (self.path.with_name(VERB_SUMMARY_FILE.format(self.fields["verb"])), self.path):
            write_json(path, self.fields)

    def place_of(self, path: Path) -> str:
        """Return where people find a report of this run, a file in the state folder: see `kept_in`."""
        return place_of(self.fields["kept_in"], self.path.parent, path)

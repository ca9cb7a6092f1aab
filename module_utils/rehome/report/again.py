"""The report of the last run, read again from the state folder: also of a run that was killed, or is still at work."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from ..codes import Code
from ..errors import RehomeError
from ..files import read_json
from ..progress import FILE as PROGRESS_FILE
from ..progress import FINISHED
from .document import FACTS_FILE, of_verb
from .facts import REPORT_VERSION, KeptFacts, Report
from .over_time import over_time
from .summary import SUMMARY_FILE, UNFINISHED

_WAY_OUT = "The next run writes it again"
_OPTIONAL = frozenset(KeptFacts.__annotations__)
_NEWER: dict[str, Any] = {"timeline": [], "control": [], "throttled_s": {}}
"""Facts that reports of earlier versions do not have."""


def read_report(state_dir: Path) -> Report:
    """Return the facts of the last run in the state folder, as its last stage left them.

    Raises RehomeError if there is no run, or what it left cannot be read.
    """
    try:
        report = read_json(state_dir / FACTS_FILE, _parsed, _WAY_OUT)
    except RehomeError as error:
        raise RehomeError(str(error), code=Code.REPORT_UNREADABLE) from error
    if report is None:
        raise RehomeError(
            f"rehome_state_dir ({state_dir}): has no report of a run yet. See that it is the folder of the run; 'make "
            "plan ENV=…' makes a first one. With rehome_state_uri, the reports of earlier runs are under its runs/.",
            code=Code.NO_RUN,
        )
    return report


def earlier_reports(state_dir: Path, last: Report) -> list[Report]:
    """Return the reports that the state folder still has of runs of other verbs, the newest first.

    What cannot be read is left out: nobody has asked for it by name.
    """
    found = []
    for path in state_dir.glob(of_verb(FACTS_FILE, "*")):
        with suppress(RehomeError):
            report = read_json(path, _parsed, _WAY_OUT)
            if report is not None and report["run"] != last["run"]:
                found.append(report)
    return sorted(found, key=lambda report: report["started_at"], reverse=True)


def _parsed(content: Any) -> Report:
    if content["report_version"] != REPORT_VERSION:
        raise ValueError(f"its report_version is {content['report_version']}, and not {REPORT_VERSION}")
    lacking = Report.__annotations__.keys() - content.keys() - _OPTIONAL - _NEWER.keys() - {"card"}
    if lacking:
        raise ValueError(f"it lacks {', '.join(sorted(lacking))}")
    return cast(Report, {**_NEWER, **content})


def report_again(state_dir: Path, *, at_work: str | None) -> Report:
    """Return the facts of the last run, with what else the state folder tells of it by now.

    at_work: who has locked the folder, in words; None: nobody does
    Raises the same as `read_report`.
    """
    report = read_report(state_dir)
    if points := over_time(state_dir, report["run"]):
        report["timeline"] = points
    warnings = list(report.get("warnings", []))
    if newer := _newer_run(state_dir, report):
        warnings.append(newer)
    if UNFINISHED in report["problems"] and not report.get("error"):
        reached = _reached(state_dir, report["run"])
        if at_work:
            warnings.append(f"the run is at work ({at_work}), {reached}: this is what it has recorded so far")
        else:
            report["error"] = (
                f"the run was killed, or its machine stopped, {reached}. What was done is recorded; run the same "
                "again: nothing is done twice"
            )
    if warnings:
        report["warnings"] = warnings
    return report


def _newer_run(state_dir: Path, report: Report) -> str | None:
    """Return that a later run has left no facts: it was killed before the end of its first stage."""
    summary = read_json(state_dir / SUMMARY_FILE, dict[str, Any], _WAY_OUT)
    if summary is None or summary.get("run") in (report["run"], None) or summary["started_at"] <= report["started_at"]:
        return None
    return (
        f"this is the report of the run before the last: {summary.get('verb')} began at {summary['started_at'][:19]} "
        "UTC and has left no facts, as it has not come to the end of its first stage"
    )


def _reached(state_dir: Path, run: str) -> str:
    progress = read_json(state_dir / PROGRESS_FILE, dict[str, Any], _WAY_OUT) or {}
    if progress.get("run") != run or progress.get("stage") in (None, FINISHED):
        return "between two stages"
    of = f" of {progress['total']:,}" if progress.get("total") else ""
    seen = datetime.fromtimestamp((state_dir / PROGRESS_FILE).stat().st_mtime, UTC)
    return f"in '{progress['stage']}' at {progress['done']:,}{of}, last seen at {seen:%Y-%m-%d %H:%M:%S} UTC"

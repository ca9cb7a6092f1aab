"""What of a run needs a human, and where it is listed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .facts import Report
from .fields import SummaryFields
from .lines import first_sentence
from .summary import UNFINISHED

NOTHING: Final = "nothing needs you"
STOPPED: Final = "see why it stopped: the message above, and the report"
ON_PURPOSE: Final = "nothing: the settings leave it so; see the lists"

UNDECIDED: Final[Mapping[str, str]] = {
    "rows_in_other_forms": "rows in a form that no reference has: add one, if they move"
}
"""What is left though no setting says so, and is no problem: class → what to do about it."""
EMPTY: Final = "no object of the source is under the map: see whether the prefix is right"


def otherwise(report: Report) -> str:
    """Return what to say of a run without anything of its own that needs a human."""
    if report.get("error"):
        return STOPPED
    return ON_PURPOSE if report["left"] and report["complete"] else NOTHING


def needs(report: Report, fields: SummaryFields) -> list[str]:
    """Return what needs a human, each in some words; empty if nothing does.

    What stopped the run is told by the message of the task, and not again.
    """
    problems = report.get("refusals") or report["problems"]
    if report.get("error"):
        problems = [problem for problem in report["problems"] if problem != UNFINISHED]
    found = [first_sentence(problem) for problem in problems]
    found += [f"{count:,} failed with {code}" for code, count in fields["failures"].items()]
    found += [f"{report['left'][name]:,} {text}" for name, text in UNDECIDED.items() if report["left"].get(name)]
    found += [EMPTY] if report["left"].get("source_empty") else []
    if report["verb"].removesuffix("-check") == "preflight" and "preflight" in report:
        found += [
            first_sentence(f"warning of {check['subject']}, {check['name']}: {check['found']}")
            for check in report["preflight"]["checks"]
            if check["status"] == "warn"
        ]
    return found


def lists(report: Report) -> list[str]:
    """Return the run's lists, each with the number of its lines."""
    return [f"{name} {file['count']:,}" for name, file in report["lists"].items()]

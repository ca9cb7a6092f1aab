"""What a preflight finds, one fact a line: the same words for the terminal, the task's result and the refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from tabulate import tabulate

from .errors import Finding

Status = Literal["pass", "info", "warn", "stop"]
"""`info`: worth knowing, or not found out for want of a right. `warn`: it costs. `stop`: no run may begin."""

WIDTH = 100
"""Characters of the last column; longer texts go on in the next line."""


@dataclass(frozen=True, slots=True)
class Check:
    """One fact that was looked at.

    subject: what it is about: a bucket, the database, a column (`avatars.path`), this machine
    name: what was looked at, the same for every subject of its kind
    found: as a sentence without its end
    advice: what to do about it, as a sentence without its end; empty where there is nothing to do
    setting, value: of a stop: the variable that decides, as in `Finding`
    """

    subject: str
    name: str
    status: Status
    found: str
    advice: str = ""
    setting: str = ""
    value: str | None = None

    @property
    def finding(self) -> Finding:
        """A stop as the refusal tells it."""
        return Finding(self.setting, self.value, self.found, self.advice)


def stop(subject: str, name: str, finding: Finding) -> Check:
    """What keeps a run from beginning."""
    return Check(subject, name, "stop", finding.problem, finding.way_out, finding.setting, finding.value)


def unknown(subject: str, name: str, why: str, advice: str = "") -> Check:
    """A fact that could not be had. That stops nothing: the least rights need not include looking."""
    return Check(subject, name, "info", f"unknown: {why}", advice)


def refusals(checks: Sequence[Check]) -> list[Finding]:
    """The stops, each once: what keeps an endpoint from being resolved is found by more than one check."""
    return list(dict.fromkeys(check.finding for check in checks if check.status == "stop"))


def as_facts(checks: Sequence[Check]) -> list[dict[str, str | None]]:
    """For a task's result and for JSON."""
    return [asdict(check) for check in checks]


def as_table(checks: Sequence[Check]) -> list[str]:
    """For a terminal: aligned columns, one check after the other."""
    rows = [
        (check.status, check.subject, check.name, f"{check.found}. {check.advice}" if check.advice else check.found)
        for check in checks
    ]
    table = tabulate(
        rows,
        headers=("status", "subject", "check", "found"),
        tablefmt="simple",
        maxcolwidths=[None, 40, 24, WIDTH],
        disable_numparse=True,
    )
    return [line.rstrip() for line in table.splitlines()]

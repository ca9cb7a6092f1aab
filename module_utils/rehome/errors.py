"""What can go wrong, in the words that the operator reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class RehomeError(Exception):
    """An expected failure: its text is for the operator and holds no secret; modules turn it into `fail_json`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that stops a run before its first write.

    setting: the variable that decides, as the operator writes it (`rehome_source.bucket`)
    value: what it holds now, or None where it is unset or secret
    problem: what is wrong, as a sentence without its end
    way_out: what to do about it, as a sentence without its end
    """

    setting: str
    value: str | None
    problem: str
    way_out: str

    def __str__(self) -> str:
        named = self.setting if self.value is None else f"{self.setting} ({self.value})"
        # what a service said may come with its own full stop
        return f"{named}: {self.problem.rstrip('.')}. {self.way_out}."


class RefusedError(RehomeError):
    """The run must not begin: every finding at once, so that one correction is enough."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))

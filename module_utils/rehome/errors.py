"""Expected failures. Their texts are for the operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class RehomeError(Exception):
    """An expected failure. Its text holds no secret; modules pass it to `fail_json`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason to stop a run before its first write.

    setting: the variable to change, as the operator writes it (`rehome_source.bucket`)
    value: its value; None if it is unset or secret
    problem: what is wrong, as a sentence without its full stop
    way_out: what to do about it, as a sentence without its full stop
    """

    setting: str
    value: str | None
    problem: str
    way_out: str

    def __str__(self) -> str:
        named = self.setting if self.value is None else f"{self.setting} ({self.value})"
        # the message of a service may end with a full stop
        return f"{named}: {self.problem.rstrip('.')}. {self.way_out}."


class RefusedError(RehomeError):
    """The run must not start. It has all findings, so that they can be corrected at once."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))

    @classmethod
    def of(cls, setting: str, value: str | None, problem: str, way_out: str) -> RefusedError:
        """Return the refusal with this finding alone. See `Finding`."""
        return cls([Finding(setting, value, problem, way_out)])

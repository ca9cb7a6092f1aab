"""Expected failures. Their texts are for the operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .codes import Code, marked, unmarked


class RehomeError(Exception):
    """An expected failure. Its text holds no secret; modules pass it to `fail_json`.

    trouble: the code of an error that quotes somebody else, such as a server: its text shows no code until `told` adds
        it, as such texts are mostly quoted in others
    """

    trouble: Code | None = None

    def __init__(self, text: str, *, code: Code | None = None) -> None:
        """Make an error whose text ends with this code."""
        if code is not None:
            self.trouble = code
        super().__init__(text if code is None else marked(text, code))

    @property
    def told(self) -> str:
        """The text as the operator is told it, with its code."""
        return str(self) if self.trouble is None else marked(str(self), self.trouble)


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason to stop a run before its first write.

    setting: the variable to change, as the operator writes it (`rehome_source.bucket`)
    value: its value; None if it is unset or secret
    problem: what is wrong, as a sentence without its full stop
    way_out: what to do about it, as a sentence without its full stop
    code: the kind of the trouble, which the text ends with
    """

    setting: str
    value: str | None
    problem: str
    way_out: str
    code: Code

    def __str__(self) -> str:
        named = self.setting if self.value is None else f"{self.setting} ({self.value})"
        # the message of a service may end with a full stop
        return marked(f"{named}: {unmarked(self.problem).rstrip('.')}. {self.way_out}.", self.code)


class RefusedError(RehomeError):
    """The run must not start. It has all findings, so that they can be corrected at once."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))

    @classmethod
    def of(cls, setting: str, value: str | None, problem: str, way_out: str, code: Code) -> RefusedError:
        """Return the refusal with this finding alone. See `Finding`."""
        return cls([Finding(setting, value, problem, way_out, code)])

"""The checks of a preflight, as shown in the terminal, in the task's result and in the error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from tabulate import tabulate

from .codes import Code, marked, unmarked
from .errors import Finding

Status = Literal["pass", "info", "warn", "stop"]
"""`info`: worth knowing, or unknown for lack of a permission. `warn`: it has a cost. `stop`: no run may start."""

UNKNOWN = "unknown: "
"""How the text of a check begins that could not be made."""

VERDICT_MAY = "verdict: a migration may begin"

WIDTH = 100
"""Characters of the last column. Longer texts are wrapped."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    subject: a bucket, the database, a column (`avatars.path`) or this machine
    name: what was checked, the same for every subject of its kind
    found: the result, as a sentence without its full stop
    advice: what to do about it, as a sentence without its full stop; empty if there is nothing to do
    setting, value: the variable to change, as in `Finding`, if this stops the run
    code: the kind of the trouble that this check would be
    """

    subject: str
    name: str
    status: Status
    found: str
    advice: str = ""
    setting: str = ""
    value: str | None = None
    code: Code | None = None

    @property
    def finding(self) -> Finding:
        """The finding of a check that stops the run. Raises ValueError of one without a code."""
        if self.code is None:
            raise ValueError(f"{self.subject}: {self.name} stops, and has no code")
        return Finding(self.setting, self.value, self.found, self.advice, self.code)

    @property
    def trouble(self) -> Code | None:
        """The kind of the trouble; None of a check that is passed or merely worth knowing."""
        return self.code if self.status in ("warn", "stop") else None

    @property
    def text(self) -> str:
        """What was found and what to do about it, with the code of a trouble."""
        text = f"{self.found}. {self.advice}" if self.advice else self.found
        return marked(text, self.trouble)


def warn(subject: str, name: str, found: str, advice: str = "", *, code: Code) -> Check:
    """Return a check that warns of a cost. See `Check`."""
    return Check(subject, name, "warn", unmarked(found), advice, code=code)


def stop(subject: str, name: str, finding: Finding) -> Check:
    """Return a check that stops the run."""
    return Check(
        subject, name, "stop", unmarked(finding.problem), finding.way_out, finding.setting, finding.value, finding.code
    )


def stops(subject: str, name: str, findings: Iterable[Finding]) -> list[Check]:
    """Return a check that stops the run for each finding."""
    return [stop(subject, name, finding) for finding in findings]


def unknown(subject: str, name: str, why: str, advice: str = "") -> Check:
    """Return a check that could not be made. It stops nothing: the least privileges need not include reading this."""
    return Check(subject, name, "info", f"{UNKNOWN}{unmarked(why)}", advice)


def refusals(checks: Sequence[Check]) -> list[Finding]:
    """Return the findings that stop the run, each once: several checks may fail for the same reason."""
    return list(dict.fromkeys(check.finding for check in checks if check.status == "stop"))


def troubles(checks: Sequence[Check]) -> frozenset[str]:
    """Return the names of the checks that warn or stop."""
    return frozenset(check.name for check in checks if check.status in ("warn", "stop"))


def verdict(checks: Sequence[Check]) -> str:
    """Return in one line whether a migration may begin, by checks that were made for one."""
    count = len(refusals(checks))
    return f"verdict: a migration may not begin: {count} stop{'s' * (count > 1)}" if count else VERDICT_MAY


def counts(checks: Sequence[Check]) -> dict[str, int]:
    """Return the number of checks of each status, by names such as `checks_warn`."""
    return {f"checks_{status}": sum(check.status == status for check in checks) for status in get_args(Status)}


def as_dicts(checks: Sequence[Check]) -> list[dict[str, str | None]]:
    """Return the checks for a task's result and for JSON."""
    return [asdict(check) | {"code": check.trouble and str(check.trouble)} for check in checks]


def as_table(checks: Sequence[Check]) -> list[str]:
    """Return the lines of a table with one check per row."""
    rows = [(check.status, check.subject, check.name, check.text) for check in checks]
    table = tabulate(
        rows,
        headers=("status", "subject", "check", "found"),
        tablefmt="simple",
        maxcolwidths=[None, 40, 24, WIDTH],
        disable_numparse=True,
    )
    return [line.rstrip() for line in table.splitlines()]


def as_short_list(checks: Sequence[Check], how_to_see_all: str) -> list[str]:
    """Return the lines of what is not passed, and how many checks are.

    What warns is shown in full. What is worth knowing, and what these rights do not let the run see, is named. What
    stops the run is left out: its error follows.

    how_to_see_all: the command that shows every check
    """
    warnings = [f"warn     {check.subject}, {check.name}: {check.text}" for check in checks if check.status == "warn"]
    named: dict[str, dict[str, list[str]]] = {}
    for check in checks:
        if check.status == "info":
            word = "unknown" if check.found.startswith(UNKNOWN) else "info"
            named.setdefault(word, {}).setdefault(check.subject, []).append(check.name)
    others = [f"{word:7}  {_listed(named[word])}" for word in ("info", "unknown") if word in named]
    passed = sum(check.status == "pass" for check in checks)
    return [*warnings, *others, f"{passed} check{'s' * (passed != 1)} passed · {how_to_see_all}"]


def _listed(names: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{subject}: {', '.join(those)}" for subject, those in names.items())

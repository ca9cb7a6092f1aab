"""The settings of those who watch a run: at which figures it ends by itself, and where its metrics go."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..codes import Code
from ..errors import Finding

_LIMITS: Final = ("max_lag_s", "max_running", "max_redo_ratio", "max_dead_ratio")


@dataclass(frozen=True, slots=True)
class CriticalSettings:
    """The limits at which a run ends by itself; None: it does not.

    max_lag_s, max_running, max_redo_ratio, max_dead_ratio: as those of the throttle, which are lower
    query_limit: for the number that the throttle's query returns
    failures: objects that S3 refused to copy, or rows that the database refused, in one stage
    for_s: for how many seconds a figure must be above its limit
    """

    max_lag_s: float | None = None
    max_running: int | None = None
    max_redo_ratio: float | None = None
    max_dead_ratio: float | None = None
    query_limit: float | None = None
    failures: int | None = None
    for_s: float = 0.0


def read_critical(given: Mapping[str, Any], throttle: Mapping[str, Any], findings: list[Finding]) -> CriticalSettings:
    """Return the settings in the option `critical`, and add what is wrong with it to `findings`.

    throttle: the option `throttle`
    """
    for name in _LIMITS:
        lower = throttle.get(name)
        if given.get(name) is not None and lower is not None and given[name] <= lower:
            problem = f"is not above rehome_throttle.{name} ({lower:g}), at which the run only pauses"
            findings.append(_finding(name, given, problem, "Choose a higher limit", Code.CONTRADICTION))
    if given.get("query_limit") is not None and not (throttle.get("query") or "").strip():
        way_out = "Set rehome_throttle.query"
        findings.append(
            _finding("query_limit", given, "is a limit for a query that is not set", way_out, Code.CONTRADICTION)
        )
    return CriticalSettings(
        **{name: _number(name, given, findings) for name in (*_LIMITS, "failures")},
        query_limit=_number("query_limit", given, findings, least=-math.inf),
        for_s=_number("for_s", given, findings) or 0.0,
    )


def read_metrics_file(given: str | None, findings: list[Finding]) -> Path | None:
    """Read `rehome_metrics_file`: the node exporter reads files of this name only, in a folder of its own."""
    if not given:
        return None
    path = Path(given)
    if path.suffix != ".prom" or not path.is_absolute():
        problem = "is no absolute path of a file that ends in .prom, which is all that the node exporter reads"
        way_out = "Name a file in the folder of its option --collector.textfile.directory"
        findings.append(Finding("rehome_metrics_file", given, problem, way_out, Code.UNUSABLE_VALUE))
    return path


def _number(name: str, given: Mapping[str, Any], findings: list[Finding], least: float = 0.0) -> Any:
    value = given.get(name)
    if value is None or least <= value < math.inf:
        return value
    way_out = "Choose 0 or a positive number, or leave it unset so that the run does not end by it"
    findings.append(_finding(name, given, "is not a limit", way_out, Code.UNUSABLE_VALUE))
    return None


def _finding(name: str, given: Mapping[str, Any], problem: str, way_out: str, code: Code) -> Finding:
    return Finding(f"rehome_critical.{name}", str(given[name]), problem, way_out, code)

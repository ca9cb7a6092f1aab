"""Run the tests of one server, and keep what came of them: the page is written from what is kept."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.processes import run_to_end

from .tried import Suite, Tried

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one suite on one server. `passed` is a number, the others are names, with reasons."""

    passed: int
    failed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    seconds: int = 0
    broke: str = ""
    """Why pytest itself came to no end, with its exit status."""

    @property
    def good(self) -> bool:
        """Whether all that ran passed, and something ran."""
        return self.passed > 0 and not self.failed and not self.broke


@dataclass(frozen=True, slots=True)
class Result:
    """What came of all suites on one server."""

    name: str
    version: str
    commit: str
    day: str
    suites: dict[str, Outcome] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether every suite is good."""
        return bool(self.suites) and all(outcome.good for outcome in self.suites.values())

    @property
    def seconds(self) -> int:
        """How long all suites took."""
        return sum(outcome.seconds for outcome in self.suites.values())


def run(tried: Tried, version: str) -> Result:
    """Run all suites of one server. A failed test fails its suite only: the others still run."""
    return Result(
        tried.name,
        version,
        _commit(),
        datetime.now(UTC).date().isoformat(),
        {suite.name: _run_suite(suite, tried.options) for suite in tried.suites},
    )


def keep(result: Result) -> None:
    """Replace what is kept of this server."""
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps(asdict(result), indent=1) + "\n"
    (FOLDER / f"{result.name}.json").write_text(text, encoding="utf-8")


def kept(name: str) -> Result | None:
    """Return what is kept of a server, or None."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return None
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    suites = {suite: _outcome(one) for suite, one in value.pop("suites").items()}
    return Result(**value, suites=suites)


def _outcome(value: dict[str, Any]) -> Outcome:
    return Outcome(**value | {name: tuple(value[name]) for name in ("failed", "skipped")})


def _run_suite(suite: Suite, options: Sequence[str]) -> Outcome:
    sys.stderr.write(f"  {suite.name} ...\n")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rehome-matrix-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal", f"--junitxml={report}"]
        status = run_to_end([*command, *options, *suite.options, *suite.paths], ROOT)
        seconds = round(time.monotonic() - started)
        if not report.exists():
            return Outcome(0, seconds=seconds, broke=f"pytest ended with status {status} and without a report")
        outcome = read_report(report.read_text(encoding="utf-8"), seconds)
        if status not in (0, 1):
            return Outcome(**asdict(outcome) | {"broke": f"pytest ended with status {status}"})
        return outcome


def read_report(text: str, seconds: int) -> Outcome:
    """Return the outcome that a report of pytest in JUnit's format tells of.

    seconds: how long the suite took
    """
    passed, failed, skipped = 0, [], []
    for case in ET.fromstring(text).iter("testcase"):  # noqa: S314 - our own pytest's
        name = f"{case.get('classname', '').replace('.', '/')}::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif (skip := case.find("skipped")) is not None:
            skipped.append(f"{name}: {skip.get('message', '')}")
        else:
            passed += 1
    return Outcome(passed, tuple(dict.fromkeys(failed)), tuple(skipped), seconds)


def _commit() -> str:
    """Return the commit that runs, marked with + if the work tree differs from it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--abbrev=7", "--exclude=*"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown"

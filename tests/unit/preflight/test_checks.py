"""The preflight's table, and the checks of this machine."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from rehome.checks import Check, as_dicts, as_table, refusals, stop, unknown, verdict
from rehome.codes import Code
from rehome.config.settings import Side
from rehome.errors import Finding
from rehome.preflight import machine
from rehome.preflight.machine import SCARCE, SPENT, inspect_machine
from rehome.s3.probe.bucket_config import _Bucket

FINDING = Finding("rehome_x", "y", "is wrong", "Put it right", Code.UNUSABLE_VALUE)


def test_the_table_is_aligned_and_has_the_advice() -> None:
    checks = [
        Check("database", "version", "pass", "MariaDB 11"),
        stop("avatars.path", "foreign keys", FINDING),
        unknown("target bucket", "lifecycle", "denied", "Grant it"),
    ]
    lines = as_table(checks)
    assert lines[0].split() == ["status", "subject", "check", "found"]
    column = lines[0].index("found")
    assert [line[column:] for line in lines[2:]] == [
        "MariaDB 11",
        "is wrong. Put it right [RH-102]",
        "unknown: denied. Grant it",
    ]
    assert all(line == line.rstrip() for line in lines)


def test_a_long_text_goes_on_in_its_column() -> None:
    lines = as_table([Check("a", "b", "warn", "word " * 60)])
    assert len(lines) > 4 and max(map(len, lines)) < 160


def test_numbers_and_paths_stay_as_they_are() -> None:
    assert as_table([Check("1e5", "0x10", "pass", "007")])[2].split() == ["pass", "1e5", "0x10", "007"]


def test_only_stops_refuse_and_each_finding_once() -> None:
    checks = [stop("a", "b", FINDING), stop("c", "d", FINDING), Check("e", "f", "warn", "costs")]
    assert refusals(checks) == [FINDING]
    assert json.loads(json.dumps(as_dicts(checks)))[0]["status"] == "stop"


@pytest.mark.parametrize(
    ("stopping", "line"),
    [
        ([], "verdict: a migration may begin"),
        ([FINDING], "verdict: a migration may not begin: 1 stop"),
        ([FINDING, FINDING], "verdict: a migration may not begin: 1 stop"),
        (
            [FINDING, Finding("rehome_y", None, "is wrong", "Put it right", Code.UNSET)],
            "verdict: a migration may not begin: 2 stops",
        ),
    ],
)
def test_the_verdict_counts_each_reason_to_stop_once(stopping: list[Finding], line: str) -> None:
    checks = [Check("e", "f", "warn", "costs"), unknown("g", "h", "denied")]
    assert verdict([*checks, *(stop("a", "b", finding) for finding in stopping)]) == line


@pytest.mark.parametrize(("free", "status"), [(2 * SCARCE, "pass"), (SCARCE - 1, "warn"), (SPENT - 1, "stop")])
def test_a_full_disk_stops_and_a_nearly_full_one_warns(
    free: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage(free, 0, free))
    space, versions = inspect_machine(tmp_path)
    assert (space.status, versions.status) == (status, "pass")
    assert str(tmp_path) in f"{space.found} {space.value}"


def test_the_disk_that_is_checked_is_the_state_folders(tmp_path: Path) -> None:
    assert f"{shutil.disk_usage(tmp_path).free / 1024**3:,.1f} GiB"[:-6] in inspect_machine(tmp_path)[0].found


@pytest.mark.parametrize(("off", "status"), [(0, "pass"), (300, "warn"), (-300, "warn"), (3_600, "stop")])
def test_a_clock_that_is_off_is_reported(off: int, status: str) -> None:
    date = format_datetime(datetime.now(UTC) - timedelta(seconds=off))
    reply = {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}
    region, clock = _Bucket(Side("source", "b", "p/"), "none").region(reply, "eu-west-1")
    assert clock.status == status, clock
    assert region.found.endswith("eu-west-1 is assumed")

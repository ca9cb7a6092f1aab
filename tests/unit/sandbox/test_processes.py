"""Processes are ended only while they are those that were recorded."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import processes
from sandbox.processes import Process

SLEEP = ["/bin/sleep", "60"]


@pytest.fixture
def recorded() -> list[Process]:
    return []


@pytest.fixture
def child(tmp_path: Path, recorded: list[Process]) -> Iterator[subprocess.Popen[bytes]]:
    child = _start(tmp_path, SLEEP, recorded)
    yield child
    child.kill()
    child.wait()


def _start(folder: Path, command: list[str], recorded: list[Process]) -> subprocess.Popen[bytes]:
    return processes.start(
        "test",
        command,
        folder=folder,
        environment={"PATH": os.defpath},
        log=folder / "test.log",
        record=recorded.append,
    )


def test_a_recorded_process_is_ended(child: subprocess.Popen[bytes], recorded: list[Process]) -> None:
    (process,) = recorded
    assert Process.from_json(process.to_json()) == process
    assert process.is_running()
    assert process.end(signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM
    assert not process.end(signal.SIGTERM)


@pytest.mark.parametrize(
    "difference", [{"create_time": 1.0}, {"command": ("/bin/sleep", "61")}], ids=["older", "another command"]
)
def test_another_process_with_the_recorded_pid_is_left_alone(
    child: subprocess.Popen[bytes], recorded: list[Process], difference: dict[str, object]
) -> None:
    # It has long become what it was started as: not the shell that waits, nor nothing in between.
    while not recorded[0].is_running() or Path(f"/proc/{child.pid}/cmdline").read_bytes()[:10] != b"/bin/sleep":
        time.sleep(0.01)
    stale = dataclasses.replace(recorded[0], **difference)  # type: ignore[arg-type]
    assert not stale.is_running()
    assert not stale.end(signal.SIGKILL)
    assert child.poll() is None


def test_a_process_that_ignores_the_polite_signal_is_ended_by_force(tmp_path: Path, recorded: list[Process]) -> None:
    ready = tmp_path / "ready"
    child = _start(tmp_path, ["/bin/sh", "-c", f"trap '' TERM; : > {ready}; while :; do sleep 0.1; done"], recorded)
    while not ready.exists():
        time.sleep(0.01)
    assert recorded[0].end(signal.SIGTERM, patience_s=0.2)
    assert child.wait() == -signal.SIGKILL


def test_a_process_that_has_ended_gives_its_pid_back_before_the_next_one_starts(
    tmp_path: Path, recorded: list[Process]
) -> None:
    killed = _start(tmp_path, SLEEP, recorded)
    assert recorded[0].end(signal.SIGKILL)
    next_one = _start(tmp_path, SLEEP, recorded)
    try:
        # PostgreSQL takes the pid in its lock file for that of a running server while signals reach it
        with pytest.raises(ProcessLookupError):
            os.kill(killed.pid, 0)
    finally:
        next_one.kill()
        next_one.wait()


def test_no_server_runs_when_its_starter_is_killed_before_the_record(tmp_path: Path) -> None:
    starter = f"""
import os, pathlib, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from sandbox import processes
folder = pathlib.Path({str(tmp_path)!r})
def record(process):
    (folder / "pid").write_text(str(process.pid))
    os.kill(os.getpid(), signal.SIGKILL)
processes.start("test", ["/usr/bin/touch", "ran"], folder=folder, environment={{}}, log=folder / "log", record=record)
"""
    result = subprocess.run([sys.executable, "-c", starter], check=False)
    assert result.returncode == -signal.SIGKILL
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while _lives(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _lives(pid)
    assert not (tmp_path / "ran").exists()


def _lives(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rehome.job import read_job
from rehome.state.lock import FILE, LockedError, acquire, release


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until the test ends it."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


def test_a_run_may_acquire_its_lock_again(tmp_path: Path) -> None:
    assert acquire(tmp_path, os.getpid()) == acquire(tmp_path, os.getpid())


def test_a_second_live_run_is_refused_and_the_holder_named(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    acquire(tmp_path, other.pid)
    with pytest.raises(LockedError, match=rf"rehome_state_dir .*process {other.pid} of \w+ on .*, since 20"):
        acquire(tmp_path, os.getpid())


@pytest.mark.parametrize("error", [KeyError, OSError], ids=["before Python 3.13", "since"])
def test_a_user_without_a_name_may_lock_and_is_known_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def no_name() -> str:
        raise error("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", no_name)
    assert acquire(tmp_path, os.getpid()).user == f"user {os.getuid()}"


def test_a_dead_run_locks_nothing(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    acquire(tmp_path, other.pid)
    other.kill()
    other.wait()
    assert acquire(tmp_path, os.getpid()).pid == os.getpid()


def test_another_process_with_the_number_of_a_dead_run_locks_nothing(tmp_path: Path) -> None:
    acquire(tmp_path, os.getppid())
    kept = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(kept | {"started": kept["started"] - 1000}))
    assert acquire(tmp_path, os.getpid()).pid == os.getpid()


def test_a_run_on_another_host_counts_as_alive_and_the_message_names_the_way_out(tmp_path: Path) -> None:
    holder = acquire(tmp_path, os.getpid())
    kept = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(kept | {"host": "elsewhere"}))
    with pytest.raises(LockedError, match=r"on elsewhere.*delete .*run\.json"):
        acquire(tmp_path, holder.pid)


def test_only_the_holder_can_release(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    acquire(tmp_path, other.pid)
    release(tmp_path, os.getpid())
    with pytest.raises(LockedError):
        acquire(tmp_path, os.getpid())
    release(tmp_path, other.pid)
    acquire(tmp_path, os.getpid())


def test_a_run_that_is_a_job_is_named_by_job_and_user(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    acquire(tmp_path, other.pid, "migrate", read_job({"id": "42", "user": "alice"}))
    with pytest.raises(LockedError, match=r"\(migrate, job 42 of alice\), since 20.*stop it\.$"):
        acquire(tmp_path, os.getpid())


def test_a_job_whose_machine_is_another_may_be_gone_and_the_message_says_where_to_look(tmp_path: Path) -> None:
    acquire(tmp_path, os.getpid(), "migrate", read_job({"id": "42", "user": "alice"}))
    kept = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(kept | {"host": "awx-job-42-x7"}))
    with pytest.raises(LockedError, match=r"If job 42 has ended, or is gone from AWX, delete .*run\.json"):
        acquire(tmp_path, os.getpid())

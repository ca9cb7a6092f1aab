"""A sandbox starts and stops as often as requested, whatever happened in between."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sandbox import server
from sandbox.errors import SandboxError
from sandbox.lifecycle import DATABASES, Sandbox
from sandbox.sqlite import SQLite
from tests.statements import execute_as

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path / ".sandbox")
    yield sandbox
    sandbox.down()
    assert _processes_of(sandbox) == []


def _processes_of(sandbox: Sandbox) -> list[psutil.Process]:
    """Return every running process that names the sandbox's folder or works in it, recorded or not."""
    found = []
    for process in psutil.process_iter():
        try:
            place = [process.cwd(), *process.cmdline()]
            if process.status() != psutil.STATUS_ZOMBIE and any(str(sandbox.folder) in text for text in place):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _command(process: psutil.Process) -> list[str]:
    """Return the words of a process's command, or none if it has ended. PostgreSQL's children come and go."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def _is_apart_from(process: psutil.Process, recorded: set[int]) -> bool:
    """Return whether a process runs and is no child of the recorded ones. PostgreSQL's children come and go."""
    try:
        return process.ppid() not in recorded
    except psutil.NoSuchProcess:
        return False


def _record(sandbox: Sandbox) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(sandbox.record.read_text(encoding="utf-8"))
    return record


def _sockets_in_tmp() -> set[str]:
    return {path.name for path in Path("/tmp").glob("seaweedfs-*.sock")}  # noqa: S108 - where weed puts them


def test_up_twice_and_down_twice(sandbox: Sandbox) -> None:
    assert sandbox.up("mariadb")
    ours = {f"seaweedfs-s3-grpc-{sandbox.store.state.ports['s3'] + 10_000}.sock"}
    assert ours <= _sockets_in_tmp()
    first = _record(sandbox)
    assert not sandbox.up("mariadb")
    assert _record(sandbox) == first
    assert sandbox.status()["complete"]

    assert sandbox.down()
    assert not sandbox.down()
    assert not sandbox.folder.exists()
    assert not ours & _sockets_in_tmp()


def test_the_record_says_how_to_reach_everything_and_is_private(sandbox: Sandbox) -> None:
    sandbox.up("postgresql")
    record = _record(sandbox)

    assert list(record) == ["db", "s3", "database", "processes"]
    assert list(record["s3"]) == ["endpoint_url", "region", "source_bucket", "target_bucket", "users"]
    assert list(record["database"]) == ["engine", "host", "port", "name", "users"]
    assert sorted(record["s3"]["users"]) == ["admin", "migrate", "reader", "retire"]
    assert sorted(record["database"]["users"]) == ["admin", "migrate", "reader"]
    modes = {
        path.name: path.stat().st_mode & 0o777
        for path in (sandbox.folder, sandbox.record, sandbox.store.folder / "s3.json")
    }
    assert modes == {".sandbox": 0o700, "sandbox.json": 0o600, "s3.json": 0o600}


def test_no_secret_is_in_a_command_or_a_log(sandbox: Sandbox) -> None:
    secrets = set()
    for db in ("mariadb", "postgresql"):
        sandbox.up(db)
        record = _record(sandbox)
        secrets |= {user["password"] for user in record["database"]["users"].values()}
        secrets |= {user["secret_key"] for user in record["s3"]["users"].values()}
        text = " ".join(word for process in _processes_of(sandbox) for word in _command(process))
        text += "".join(log.read_text(errors="replace") for log in sandbox.folder.glob("*/*.log"))
        assert not [secret for secret in secrets if secret in text]


def test_a_killed_server_is_started_again_with_its_data(sandbox: Sandbox) -> None:
    sandbox.up("mariadb")
    before = _record(sandbox)
    client = sandbox.store.client()
    client.put_object(Bucket="legacy-s3", Key="image/kept.png", Body=b"kept")
    _insert(sandbox, "mariadb")
    killed = [psutil.Process(process["pid"]) for process in before["processes"]]
    for process in killed:
        process.kill()
    psutil.wait_procs(killed, timeout=60)

    assert sandbox.up("mariadb")

    after = _record(sandbox)
    assert after["database"] == before["database"]
    assert after["s3"] == before["s3"]
    assert {one["pid"] for one in after["processes"]}.isdisjoint(one["pid"] for one in before["processes"])
    assert client.get_object(Bucket="legacy-s3", Key="image/kept.png")["Body"].read() == b"kept"
    assert _count(sandbox, "mariadb") == 1


def test_another_database_takes_the_place_of_the_first_which_keeps_its_rows(sandbox: Sandbox) -> None:
    for db in DATABASES:
        assert sandbox.up(db)
        _insert(sandbox, db)
        assert _record(sandbox)["db"] == db
        servers = {"seaweedfs"} | ({db} - {"sqlite"})
        assert {process["name"] for process in _record(sandbox)["processes"]} == servers
        assert set(sandbox.status()["running"]) == servers
    assert sandbox.up("mariadb")
    assert _count(sandbox, "mariadb") == 1


@pytest.mark.parametrize(
    ("db", "after"),
    [
        ("mariadb", "seaweedfs/state.json"),
        ("mariadb", "mariadb/data"),
        ("postgresql", "seaweedfs/s3.json"),
        ("postgresql", "postgresql/data/postmaster.pid"),
    ],
)
def test_an_up_that_was_killed_is_cleaned_up_by_the_next(sandbox: Sandbox, db: str, after: str) -> None:
    _kill_up(sandbox, db, sandbox.folder / after)
    assert not sandbox.record.exists()

    assert sandbox.up(db)

    recorded = {process["pid"] for process in _record(sandbox)["processes"]}
    leaders = {process.pid for process in _processes_of(sandbox) if _is_apart_from(process, recorded)}
    assert leaders == recorded
    _insert(sandbox, db)
    assert _count(sandbox, db) == 1


def test_an_up_that_was_killed_is_cleaned_up_by_down(sandbox: Sandbox) -> None:
    _kill_up(sandbox, "mariadb", sandbox.folder / "mariadb" / "state.json")
    assert sandbox.down()
    assert _processes_of(sandbox) == []
    assert not sandbox.folder.exists()


def test_a_process_that_took_over_a_recorded_pid_is_left_alone(sandbox: Sandbox) -> None:
    sandbox.up("sqlite")
    (recorded,) = _record(sandbox)["processes"]
    os.kill(recorded["pid"], signal.SIGKILL)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        state_file = sandbox.store.folder / "state.json"
        state = json.loads(state_file.read_text(encoding="utf-8"))
        state["process"]["pid"] = stranger.pid
        state_file.write_text(json.dumps(state), encoding="utf-8")

        assert sandbox.up("sqlite")
        assert sandbox.down()

        assert stranger.poll() is None
        stranger.kill()


def test_a_server_that_dies_is_reported_with_the_end_of_its_log(sandbox: Sandbox) -> None:
    sandbox.up("mariadb")
    database = sandbox.database("mariadb")
    assert not isinstance(database, SQLite)
    database.stop()
    (database.folder / "data" / "ibdata1").write_bytes(b"not a tablespace")

    with pytest.raises(SandboxError, match=r"(?s)mariadb ended; the end of .*mariadb\.log:.*InnoDB"):
        sandbox.up("mariadb")

    assert not sandbox.record.exists()
    assert sandbox.down()


def test_a_recorded_port_that_another_program_took_is_named(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PORT_TIMEOUT_S", 0.1)
    sandbox.up("mariadb")
    database = sandbox.database("mariadb")
    assert not isinstance(database, SQLite)
    database.stop()
    port = database.state.ports["sql"]
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(SandboxError, match=f"port {port}, where another program"),
    ):
        sandbox.up("mariadb")
    assert sandbox.up("mariadb")


def test_the_command_line_prints_one_line_of_json_and_no_traceback(tmp_path: Path) -> None:
    folder = tmp_path / ".sandbox"
    results = [_command_line(folder, *words) for words in (["up", "--db", "sqlite"], ["status"], ["down"])]
    assert [json.loads(result.stdout)["changed"] for result in results] == [True, False, True]
    failed = _command_line(tmp_path / "missing" / ".sandbox", "up")
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert f"{tmp_path}/missing is no folder" in failed.stderr


def _command_line(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sandbox", "--folder", str(folder), *words]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


def _kill_up(sandbox: Sandbox, db: str, when_exists: Path) -> None:
    """Start the sandbox, and kill the process that does so as soon as this file exists."""
    command = [sys.executable, "-m", "sandbox", "--folder", str(sandbox.folder), "up", "--db", db]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL) as starter:
        while not when_exists.exists():
            assert starter.poll() is None, f"up ended before {when_exists} existed"
            time.sleep(0.001)
        starter.kill()


def _insert(sandbox: Sandbox, db: str) -> None:
    execute_as(sandbox.database(db), "admin", "INSERT INTO avatars (user_id, path) VALUES (1, 'image/a.png')")


def _count(sandbox: Sandbox, db: str) -> int:
    return int(execute_as(sandbox.database(db), "reader", "SELECT count(*) FROM avatars")[0][0])

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rehome.fleet import connect

from tests.unit.cluster.programs import load

member = load("cluster_member", "member")
KNOWN = {"REHOME_MEMBER", "REHOME_STARTED_WITH"}


def wanted(folder: Path, **others: Any) -> Any:
    values = {
        "name": "test",
        "folder": folder / "cluster",
        "ip": "127.0.0.1",
        "alone": True,
        "scheduler": "tls://127.0.0.1:8786",
        "port": 0,
        "workers": ("host/1",),
        "threads": 4,
        "wait_s": 60,
        "bundle": "b",
        "keys": "k",
        "profiles": "",
        "restart": False,
        "check": False,
    }
    return member.Wanted(**values | others)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Any]:
    """A folder of a cluster whose interpreter sleeps, whatever it is told to run."""
    plan = wanted(tmp_path)
    plan.python.parent.mkdir(parents=True)
    plan.python.symlink_to(sys.executable)
    (plan.folder / "tls").mkdir()
    (plan.folder / "venv" / "bundle").write_text("b")
    # `python -m dask …` finds this one in its working folder
    (plan.folder / "work" / "dask").mkdir(parents=True)
    (plan.folder / "work" / "dask" / "__init__.py").touch()
    (plan.folder / "work" / "dask" / "__main__.py").write_text("import time; time.sleep(300)")
    yield plan
    for process in member.processes(plan.python):
        os.kill(process.pid, signal.SIGKILL)


def await_members(plan: Any, count: int) -> list[Any]:
    """Return the processes, when there are so many."""
    deadline = time.monotonic() + 30
    while len(found := member.processes(plan.python)) != count:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return list(found)


def again(plan: Any, **others: Any) -> Any:
    return wanted(plan.folder.parent, **others)


def test_a_member_is_started_once_and_again_only_if_something_differs(there: Any) -> None:
    assert member.apply(there)["started"] == ["host/1"]
    (first,) = await_members(there, 1)
    assert member.apply(there) == {"changed": False, "installed": False, "ended": [], "started": []}
    assert await_members(there, 1) == [first]
    for others in ({"keys": "other"}, {"threads": 2}, {"profiles": "p"}, {"scheduler": "tls://10.0.0.1:1"}):
        assert member.apply(again(there, **others))["started"] == ["host/1"]
        (second,) = await_members(there, 1)
        assert second.pid != first.pid
        assert member.apply(again(there, **others, restart=True))["changed"]
        assert member.apply(again(there, **others))["changed"] is False


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "https_proxy", "SSL_CERT_FILE"])
def test_a_worker_is_started_again_if_it_would_reach_the_buckets_in_another_way(
    there: Any, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    member.apply(there)
    monkeypatch.setenv("DB_PASSWD", "other")
    assert member.apply(there)["changed"] is False
    monkeypatch.setenv(variable, "hunter2")
    assert member.apply(there)["started"] == ["host/1"]
    assert member.apply(there)["changed"] is False


def test_a_dry_run_says_what_a_run_would_do_and_does_nothing(there: Any) -> None:
    assert member.apply(again(there, check=True))["started"] == ["host/1"]
    assert member.processes(there.python) == []
    member.apply(there)
    before = await_members(there, 1)
    assert member.apply(again(there, check=True, workers=()))["ended"] == ["host/1"]
    assert member.apply(again(there, check=True, bundle="other"))["installed"]
    assert member.remove(again(there, check=True))["changed"]
    assert member.processes(there.python) == before
    assert there.folder.exists()


@pytest.mark.parametrize("knows_filters", [True, False])
def test_packages_are_unpacked_also_by_a_python_without_filters_as_in_debian_12(
    there: Any, monkeypatch: pytest.MonkeyPatch, knows_filters: bool
) -> None:
    with tarfile.open(there.folder / "bundle.tar.gz", "w:gz") as archive:
        archive.add(member.__file__, "package.py")
    if not knows_filters:
        monkeypatch.delattr(tarfile, "data_filter")
        extract = tarfile.TarFile.extractall

        def extract_all(self: tarfile.TarFile, path: Path) -> None:
            extract(self, path)

        monkeypatch.setattr(tarfile.TarFile, "extractall", extract_all)
    assert member.apply(again(there, bundle="c"))["installed"]
    assert len(list(there.folder.glob("venv/lib/python3*/site-packages/package.py"))) == 1
    assert not (there.folder / "bundle.tar.gz").exists()


def test_what_is_too_much_is_ended_and_nothing_else(there: Any) -> None:
    member.apply(again(there, workers=("host/1", "host/2")))
    first, _ = await_members(there, 2)
    assert member.apply(there)["ended"] == ["host/2"]
    assert await_members(there, 1) == [first]


def test_a_member_that_was_killed_is_started_again(there: Any) -> None:
    member.apply(there)
    (first,) = await_members(there, 1)
    os.kill(first.pid, signal.SIGKILL)
    await_members(there, 0)
    assert member.apply(there)["started"] == ["host/1"]


def test_in_the_end_nothing_is_left_also_of_a_process_that_ignores_the_first_signal(
    there: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "PATIENCE_S", 0.5)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
    (there.folder / "work" / "dask" / "__main__.py").write_text(code)
    member.apply(there)
    await_members(there, 1)
    time.sleep(0.5)
    assert member.remove(there) == {"changed": True, "ended": ["host/1"]}
    assert member.processes(there.python) == []
    assert not there.folder.exists()
    assert member.remove(there) == {"changed": False, "ended": []}


@pytest.mark.parametrize("names", [("thesis.txt", "tls"), ("venv", "work", "logs")])
def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, names: tuple[str, ...]) -> None:
    there = wanted(tmp_path)
    for name in names:
        (there.folder / name).mkdir(parents=True)
    with pytest.raises(member.MemberError, match="has files of somebody else; name one of its own"):
        member.look(there)
    with pytest.raises(member.MemberError, match="is no folder of a cluster"):
        member.remove(there)
    assert {path.name for path in there.folder.iterdir()} == set(names)


def test_a_member_gets_nothing_of_the_operators_environment_but_what_reaches_the_buckets(
    there: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DB_PASSWD", "S3_LEGACY_SECRET_KEY", "AWS_PROFILE", "https_proxy"):
        monkeypatch.setenv(name, "value")
    member.apply(there)
    (process,) = await_members(there, 1)
    lines = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    names = {line.partition(b"=")[0].decode() for line in lines if line}
    assert names >= {"AWS_PROFILE", "https_proxy"} | KNOWN
    assert not names & {"DB_PASSWD", "S3_LEGACY_SECRET_KEY"}


def test_members_give_up_a_silent_connection_when_a_controller_does(there: Any) -> None:
    environment = member._environment(there, "scheduler", "")
    for setting, after in connect.TIMEOUTS.items():
        assert environment[f"DASK_{setting.upper().replace('.', '__')}"] == after


def test_the_scheduler_gets_no_credential(there: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member, "_await_scheduler", lambda *_: None)
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "https_proxy"):
        monkeypatch.setenv(name, "hunter2")
    member.apply(again(there, port=1, profiles="p"))
    for process in await_members(there, 2):
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert (b"hunter2" in environment, b"AWS_" in environment) == ((process.name != "scheduler",) * 2)


def test_a_machine_that_cannot_be_a_member_says_which_variable_decides(there: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(member.MemberError, match=rf"^cluster_port \({port}\) cannot be listened on at 127.0.0.1"):
            member.look(again(there, port=port))
    for ip, told in {
        "192.0.2.1": "is no address of this machine",
        "no-such-host.invalid": "has no address here",
        "localhost": "where no other machine reaches it",
    }.items():
        with pytest.raises(member.MemberError, match=rf"^cluster_member_ip \({ip}\) .*{told}"):
            member.look(again(there, ip=ip, alone=False))
    assert member.look(again(there, ip="localhost"))["ip"] in ("127.0.0.1", "::1")


SYSTEMD_RUN = """#!{python}
import json, os, subprocess, sys, time
command = sys.argv[sys.argv.index("--") + 1:]
variables = next(word.split("=", 2)[2] for word in sys.argv if word.startswith("--property=EnvironmentFile="))
assert os.stat(variables).st_mode & 0o077 == 0
folder = next(word.partition("=")[2] for word in sys.argv if word.startswith("--working-directory="))
with open({record!r}, "w") as file:
    json.dump(sys.argv[1:], file)
# a shell reads double quotes as systemd.exec(5) describes those of an EnvironmentFile
read = ["/bin/sh", "-c", 'set -a; . "$0"; printf . >"$TMPDIR/read"; exec "$@"', variables, *command]
subprocess.Popen(read, env={{}}, cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL)
while not os.path.exists(os.path.join(folder, "read")):
    time.sleep(0.01)
"""


def test_a_full_disk_is_said_in_words_with_the_variable_that_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fill_up(_builder: object, home: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(home))

    monkeypatch.setattr(venv.EnvBuilder, "create", fill_up)
    plan = wanted(tmp_path)
    asked = {name: str(value) if name == "folder" else value for name, value in vars(plan).items()}
    monkeypatch.setattr(sys, "argv", ["-", "apply", json.dumps(asked)])
    assert member.main() == 0
    told = json.loads(capsys.readouterr().out)
    folder = plan.folder
    assert told["problem"].startswith(
        f"cluster_member_folder ({folder}): No space left on device ({folder}/venv). Make"
    )


def test_with_systemd_a_member_is_a_transient_unit_and_no_secret_is_where_other_users_read_it(
    there: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "systemd-run"
    program.parent.mkdir()
    program.write_text(SYSTEMD_RUN.format(python=sys.executable, record=str(tmp_path / "given.json")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    secret = """hunter2 "'$HOME`id`\\\\n#"""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setattr(member, "has_systemd", lambda: True)
    assert member.apply(there)["started"] == ["host/1"]
    (process,) = await_members(there, 1)
    given = (tmp_path / "given.json").read_text()
    assert "--unit=rehome-test-host-1" in given
    # systemd shows everybody what --setenv and Environment= have set
    assert "hunter2" not in given and "--setenv" not in given and "property=Environment=" not in given
    assert f"AWS_SECRET_ACCESS_KEY={secret}".encode() in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    assert not any("hunter2" in file.read_text() for file in (there.folder / "work").iterdir() if file.is_file())
    assert member.apply(there)["changed"] is False
    program.write_text("#!/bin/sh\necho 'Access denied' >&2; exit 1\n")
    with pytest.raises(member.MemberError, match="host/1: systemd-run does not start it: Access denied"):
        member.apply(again(there, threads=1))


def test_the_program_needs_nothing_but_python() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-", "look", "{}"],
        input=Path(member.__file__).read_text(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ModuleNotFoundError" not in done.stderr
    assert "KeyError: 'folder'" in done.stderr

"""Modules that run in forks of Ansible's workers: the same as modules that Ansible starts, in every respect but one."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import ROOT, World, Worlds, play_to_end, start_program
from tests.e2e.test_stop import SLOWLY, until_it_copies

pytestmark = pytest.mark.e2e

MODULE = r"""#!/usr/bin/python
from __future__ import annotations

import atexit, logging, os, resource, signal, socket, sys, tempfile, threading, time
from ansible.module_utils.basic import AnsibleModule

class Awkward(Exception):
    pass

def cause():
    try:
        {}["missing"]
    except KeyError as error:
        raise Awkward("with a cause") from error

def left(path):
    with open(path, "a") as file:
        file.write("left ")

def main():
    spec = {name: {"type": "raw"} for name in ("run_pid", "run_verb", "run_job", "run_origin")}
    spec |= {"do": {"type": "str"}, "path": {"type": "str"}, "password": {"type": "str", "no_log": True}}
    module = AnsibleModule(spec, supports_check_mode=True)
    do, path = module.params["do"], module.params["path"]
    if do == "tell":
        module.exit_json(
            changed=True,
            before=module.check_mode, diff={"before": "a", "after": "b"}, show=module._diff, name=module._name,
            verbosity=module._verbosity, told=module.params["password"] + " is told", text="k\u00e4se",
            folder=os.getcwd(), umask=os.umask(0o22), mark=os.environ.get("MARK"), zone=time.strftime("%Z"),
            temporary=tempfile.gettempdir(), group=os.getpgid(0) == os.getsid(0) != os.getpid(),
            read=sys.stdin.read(), standard=[os.fstat(fd).st_mode != 0 for fd in (0, 1, 2)],
            handlers=[str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
            loggers=[str(logging.root.handlers), logging.root.level], threads=threading.active_count(),
            descriptors=[fd for fd in range(3, 100) if os.path.exists(f"/proc/self/fd/{fd}")],
            limits=resource.getrlimit(resource.RLIMIT_NOFILE), main=__name__, engine=__import__("rehome").__name__,
        )
    if do == "warn":
        module.warn("take care")
        module.deprecate("out of date", version="99.0", collection_name="a.b")
        module.exit_json(ansible_facts={"a_fact": 1}, results=[1, 2], stdout="one\ntwo")
    if do == "fail":
        module.fail_json(msg="it failed [RH-502]", lists={"a": 1})
    if do == "fail with an exception":
        try:
            cause()
        except Awkward as error:
            module.fail_json(msg="it failed", exception=error)
    if do == "raise":
        cause()
    if do == "end without a result":
        sys.exit(3)
    if do == "return":
        return
    if do == "print":
        print("nothing that JSON would be")
        sys.exit("and a message")
    if do == "write much":
        sys.stderr.write("x" * 3_000_000)
        module.exit_json(much="y" * 3_000_000)
    if do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "leave a thread and a file":
        atexit.register(left, path)
        threading.Thread(target=lambda: (time.sleep(0.3), left(path))).start()
        open(path + "." + os.path.basename(module.tmpdir), "w").close()
        module.exit_json()
    if do == "work until it is stopped":
        signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), left(path), sys.exit(1)))
        time.sleep(20)
    if do == "refuse":
        AnsibleModule({"another": {"required": True}})

if __name__ == "__main__":
    main()
"""
DOINGS = (
    "tell",
    "warn",
    "fail",
    "fail with an exception",
    "raise",
    "end without a result",
    "return",
    "print",
    "write much",
    "die",
    "leave a thread and a file",
    "refuse",
)


@pytest.fixture
def world(worlds: Worlds) -> World:
    """A world with SQLite."""
    return worlds.of("sqlite")


STARTED = {"PYTHONHASHSEED": "0"}
"""A variable that only a Python that is started can heed."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the engine, and with a module that does what ours never should."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "plugin_utils", folder / "plugin_utils", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "module_utils").symlink_to(ROOT / "module_utils")
    for name in ("library", "action_plugins"):
        (folder / name).mkdir()
    (folder / "library" / "awkward.py").write_text(MODULE)
    (folder / "action_plugins" / "awkward.py").symlink_to("../plugin_utils/foreground.py")
    (folder / "ansible.cfg").write_text("[connection]\npipelining = true\n")
    return folder


def results(
    project: Path, tasks: list[dict[str, Any]], *arguments: str, exported: Mapping[str, str], **play: Any
) -> list[dict[str, Any]]:
    """Run these tasks as a playbook, and return their results in order."""
    playbook = project / "play.yml"
    common = {"hosts": "localhost", "gather_facts": False, "connection": "local"}
    playbook.write_text(json.dumps([{**common, "tasks": tasks, **play}]))
    environment = os.environ | {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"} | exported
    environment.pop("ANSIBLE_CONFIG", None)
    played = play_to_end(
        start_program("ansible-playbook", "play.yml", *arguments, folder=project, environment=environment)
    )
    answer = json.loads(played.output[played.output.index("{\n") : played.output.rindex("}") + 1])
    return [task["hosts"]["localhost"] for task in answer["plays"][0]["tasks"]]


def tasks_of(folder: Path, environment: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "name": do,
            "awkward": {"do": do, "path": str(folder / "left"), "password": "hush-hush"},
            "ignore_errors": True,
            "environment": {"MARK": "of the task", "TZ": "Asia/Tokyo", "TMPDIR": str(folder), **environment},
        }
        for do in DOINGS
    ]


def comparable(result: dict[str, Any], folder: Path) -> Any:
    """Return a result without what differs between any two runs: places of files, and lines of Ansible's own."""
    result.pop("invocation", None)
    return json.loads(json.dumps(result).replace(str(folder), "FOLDER"))


@pytest.mark.parametrize("arguments", [(), ("--check", "--diff", "-vvv")], ids=["plain", "check, diff, verbose"])
def test_a_fork_ends_as_a_module_that_ansible_starts(project: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    told = {}
    for way, environment in (("forked", {}), ("started", STARTED)):
        folder = tmp_path / way
        folder.mkdir()
        exported = {"ANSIBLE_LOG_PATH": str(folder / "log")}
        found = results(project, tasks_of(folder, environment), *arguments, exported=exported)
        told[way] = [comparable(result, folder) for result in found]
        assert ("fork of Ansible's worker" in (folder / "log").read_text()) == (way == "forked" and "-vvv" in arguments)
        assert (folder / "left").read_text() == "left left "
        assert len(list(folder.glob("left.*"))) == 1
        assert list(folder.glob("ansible-moduletmp-*")) == []
    for do, forked, started in zip(DOINGS, told["forked"], told["started"], strict=True):
        assert forked == started, do


LATE = """
import importlib, sys
from ansible.module_utils.basic import AnsibleModule

DRIVER = "rehome.db.engines.sqlite.dialect"

if __name__ == "__main__":
    module = AnsibleModule({name: {"type": "raw"} for name in ("run_pid", "run_verb", "run_job", "run_origin")})
    known = DRIVER in sys.modules
    importlib.import_module(DRIVER)
    module.exit_json(known=known)
"""


def test_what_a_module_has_imported_late_is_there_for_the_next_one(project: Path, tmp_path: Path) -> None:
    for name in ("late", "later"):
        (project / "library" / f"{name}.py").write_text(LATE)
        (project / "action_plugins" / f"{name}.py").symlink_to("../plugin_utils/foreground.py")
    first, second = results(project, [{"late": {}}, {"later": {}}], exported={})
    assert (first["known"], second["known"]) == (False, True)


def test_when_the_time_of_a_task_is_over_its_module_ends_before_the_next_task(project: Path, tmp_path: Path) -> None:
    left = tmp_path / "left"
    late = {"awkward": {"do": "work until it is stopped", "path": str(left)}, "timeout": 2, "ignore_errors": True}
    timed_out, found = results(project, [late, {"ansible.builtin.stat": {"path": str(left)}}], exported={})
    assert timed_out["failed"]
    assert "Timed out after 2 second" in timed_out["msg"]
    assert found["stat"]["exists"]


ONE_BY_ONE = """
import os, sys
closerange = os.closerange
def refused(first, last):
    if sys._getframe(1).f_code.co_filename.endswith("rehome_fork.py"):
        raise OSError(f"closes {last - first} numbers, one by one")
    closerange(first, last)
os.closerange = refused
"""


def test_a_high_limit_of_open_files_costs_nothing_where_the_kernel_closes_no_ranges(
    project: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(ONE_BY_ONE)
    (found,) = results(project, tasks_of(tmp_path, {})[:1], exported={"PYTHONPATH": str(tmp_path)})
    assert found["told"] == "******** is told"
    assert found["descriptors"] == []


SITE = """
import os, sys
fork = os.fork
def refused():
    if sys._getframe(1).f_code.co_filename.endswith("rehome_fork.py"):
        raise OSError(12, "Cannot allocate memory")
    return fork()
os.fork = refused
"""


def test_where_a_worker_cannot_be_forked_the_module_is_started_and_the_run_says_so(
    project: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITE)
    exported = {"PYTHONPATH": str(tmp_path), "ANSIBLE_LOG_PATH": str(tmp_path / "log")}
    (found,) = results(project, tasks_of(tmp_path, {})[:1], "-vvv", exported=exported)
    assert found["told"] == "******** is told"
    assert found["warnings"] == [
        "Ansible's worker cannot be forked ([Errno 12] Cannot allocate memory): the module starts a Python of its own, "
        "which takes longer [RH-113]"
    ]


@pytest.mark.parametrize(
    "play",
    [
        {"vars": {"ansible_python_interpreter": "{{ playbook_dir }}/python"}},
        {"environment": {"PYTHONDONTWRITEBYTECODE": "1"}},
        {"environment": {"LD_PRELOAD": ""}},
        {"environment": {"OPENSSL_CONF": "/dev/null"}},
        {"vars": {"ansible_python_module_rlimit_nofile": 512}},
        {"become": True, "become_method": "ansible.builtin.su"},
    ],
    ids=[
        "another python",
        "python's own variable",
        "the loader's variable",
        "the variable of a library that reads it once",
        "a limit",
        "another user",
    ],
)
def test_what_only_a_start_can_heed_starts_the_module(project: Path, tmp_path: Path, play: dict[str, Any]) -> None:
    (project / "python").unlink(missing_ok=True)
    (project / "python").symlink_to(sys.executable)
    exported = {"ANSIBLE_LOG_PATH": str(tmp_path / "log")}
    (found,) = results(project, tasks_of(tmp_path, {})[:1], "-vvv", exported=exported, **play)
    log = (tmp_path / "log").read_text()
    assert "fork of Ansible's worker" not in log
    assert "EXEC " in log, found


def test_a_module_of_a_run_is_a_fork_without_a_secret_in_its_command_line(world: World, tmp_path: Path) -> None:
    world.seed(400)
    playbook = tmp_path / "of-a-site.yml"
    imported = {"ansible.builtin.import_playbook": str(ROOT / "migrate.yml")}
    playbook.write_text(json.dumps([imported]))
    secret = "hush-hush-7e1f"
    exported = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "A_SECRET_OF_THE_JOB": secret}
    run = world.start(playbook=str(playbook), exported=exported, **SLOWLY)
    until_it_copies(world)
    family = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
    module = psutil.Process(json.loads((world.state / "run.json").read_text())["worker"]["pid"])
    assert module in family
    assert module.cmdline() == family[0].cmdline()
    assert module.exe() == family[0].exe()
    assert os.getpgid(module.pid) == os.getsid(module.pid) == module.ppid()
    assert not [one for one in family if secret in " ".join(one.cmdline())]
    run.terminate()
    run.communicate()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive

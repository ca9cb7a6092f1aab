"""Runs that are stopped: by Ctrl-C in a terminal, by signals, and by the end of whoever reads their output."""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import BIN, PATIENCE_S, ROOT, World, Worlds, copied, until_it_copies

pytestmark = pytest.mark.usefixtures("signals_of_a_shell")

OBJECTS = 400
SLOWLY = {"rehome_objects_per_second": 10}
"""Most of a minute's work, of which `rehome_max_requests` are in the queue at once."""
FAR_FROM_ALL = 200
GO_ON = "Run the same command to go on. [RH-501]"
PROMPT = "prompt> "
BASH = shutil.which("bash") or "bash"


@pytest.fixture
def world(worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world with SQLite: how a run stops is not the database's doing."""
    seeded = worlds.of("sqlite")
    seeded.seed(OBJECTS)
    return seeded


class Terminal:
    """An interactive shell in a terminal of its own."""

    def __init__(self) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            environment = {**os.environ, "PS1": PROMPT, "PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
            os.execve(BASH, ["bash", "--norc", "--noprofile", "-i"], environment)  # noqa: S606 - a shell it is
        self.screen = ""
        self.wait_for(PROMPT)

    def type(self, text: str) -> None:
        """Type keys. What was on the screen before is forgotten."""
        self.screen = ""
        os.write(self._fd, text.encode())

    def wait_for(self, text: str) -> None:
        """Wait until the screen shows this text."""
        until = time.monotonic() + PATIENCE_S
        while text not in self.screen:
            assert time.monotonic() < until, f"no {text!r} on the screen:\n{self.screen}"
            if select.select([self._fd], [], [], 0.1)[0]:
                self.screen += os.read(self._fd, 65536).decode(errors="replace")

    def close(self) -> None:
        """Close the window."""
        os.close(self._fd)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    window = Terminal()
    yield window
    with suppress(OSError):
        window.close()


def family_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def runs(pid: int, program: str) -> bool:
    """Return whether a process that `pid` has started runs this program."""
    with suppress(psutil.NoSuchProcess):  # some end while they are looked at
        return any(one.name() == program for one in family_of(pid))
    return False


def assert_it_has_stopped(world: World, family: list[psutil.Process]) -> None:
    """Assert that nothing of a run is at work any more, that it did not copy its queue, and that it says how far."""
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    assert copied(world) < FAR_FROM_ALL
    line = (world.state / "interrupted.txt").read_text()
    assert line.startswith("interrupted: migrate was stopped in 'copy' at ")
    assert line.endswith(f"{GO_ON}\n")
    assert int(line.partition(" at ")[2].partition(" of ")[0]) <= copied(world)


def command(world: World, **variables: Any) -> str:
    return f"cd {shlex.quote(str(ROOT))}; {shlex.join(['ansible-playbook', *world.arguments(**variables)])}"


@pytest.mark.parametrize("keys", ["\x03", "\x03\x03"], ids=["ctrl-c", "ctrl-c twice"])
def test_a_key_stops_a_run_whose_output_goes_through_tee(world: World, terminal: Terminal, keys: str) -> None:
    terminal.type(f"{command(world, **SLOWLY)} 2>&1 | tee {world.folder}/log\n")
    until_it_copies(world)
    family = family_of(terminal.pid)
    terminal.type(keys)
    terminal.wait_for(GO_ON)
    assert_it_has_stopped(world, family)
    finished = world.play()
    assert finished.code == 0, finished.output
    assert world.summary["complete"]
    assert not (world.state / "interrupted.txt").exists()


def test_without_a_terminal_any_more_a_run_stops(world: World, terminal: Terminal) -> None:
    terminal.type(f"{command(world, **SLOWLY)}\n")
    until_it_copies(world)
    family = family_of(terminal.pid)
    terminal.close()
    assert_it_has_stopped(world, family)


def test_without_a_reader_of_its_output_a_run_stops(world: World) -> None:
    run = world.start(**SLOWLY)
    until_it_copies(world)
    family = family_of(run.pid)
    assert run.stdout is not None
    run.stdout.close()
    assert run.wait(PATIENCE_S) != 0
    assert_it_has_stopped(world, family)


def test_a_signal_to_ansible_playbook_stops_the_run(world: World) -> None:
    run = world.start(**SLOWLY)
    until_it_copies(world)
    family = family_of(run.pid)
    run.terminate()
    output, _ = run.communicate(timeout=PATIENCE_S)
    assert GO_ON in output
    assert "Traceback" not in output
    assert_it_has_stopped(world, family)


def test_between_two_modules_the_last_line_says_how_far_it_came_too(world: World, terminal: Terminal) -> None:
    hook = world.folder / "hook.yml"
    hook.write_text("- {name: Take long, ansible.builtin.command: sleep 60, changed_when: false}\n")
    typed = command(world, rehome_hooks={"before_copy": str(hook)})
    terminal.type(f"{typed} 2>&1 | tee {world.folder}/log\n")
    terminal.wait_for("Take long")
    until = time.monotonic() + PATIENCE_S
    # an interrupt during the fork of its worker would be noticed by the next module only
    while not runs(terminal.pid, "sleep"):
        assert time.monotonic() < until
        time.sleep(0.1)
    family = family_of(terminal.pid)
    terminal.type("\x03")
    terminal.wait_for(GO_ON)
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    assert terminal.screen.count("interrupted: migrate was stopped after '") == 1
    assert (world.state / "interrupted.txt").read_text().endswith(f"{GO_ON}\n")


def test_a_killed_worker_leaves_no_module_at_work(world: World) -> None:
    run = world.start(**SLOWLY)
    until_it_copies(world)
    family = family_of(run.pid)
    workers = psutil.Process(run.pid).children()
    workers[0].kill()
    _, alive = psutil.wait_procs([one for one in family if one not in workers], timeout=PATIENCE_S)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    run.kill()
    run.communicate()
    assert_it_has_stopped(world, family)


def test_a_module_that_outlives_its_playbook_keeps_others_out(world: World) -> None:
    run = world.start(**SLOWLY)
    until_it_copies(world)
    family = family_of(run.pid)
    module = psutil.Process(json.loads((world.state / "run.json").read_text())["worker"]["pid"])
    module.suspend()  # it cannot hear anything
    run.kill()
    run.wait()
    refused = world.play(playbook="playbooks/rollback.yml")
    assert refused.code != 0
    assert f"another run has locked it: process {module.pid} of " in refused.message
    assert "(migrate, whose playbook has ended" in refused.message
    module.resume()
    run.communicate()
    assert_it_has_stopped(world, family)


SITE = """
import os, signal, sys
if sys.argv[0].endswith("ansible-playbook"):
    forks = iter(range(10**6))
    def ignored():
        if next(forks) == int(os.environ["INTERRUPT_AT_FORK"]):
            signal.raise_signal(signal.SIGINT)
    # a thread of Ansible that forks gets no signal: the main thread does
    os.register_at_fork(after_in_parent=ignored)
"""


def test_an_interrupt_that_python_ignores_is_heard_all_the_same(world: World, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITE)
    exported = {"PYTHONPATH": str(tmp_path), "INTERRUPT_AT_FORK": "8"}
    played = world.play(exported=exported)
    assert "Exception ignored in: <function ignored" in played.output
    assert played.code != 0
    assert GO_ON in played.message
    assert copied(world) == 0
    assert world.play().code == 0

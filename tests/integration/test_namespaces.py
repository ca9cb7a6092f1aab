"""Machines that are network namespaces: what is cut, and what is left of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.namespaces import Machine, forwarded, network, sweep

ROOT = Path(__file__).parents[2]
SERVER = """
import socket, sys
server = socket.create_server((sys.argv[1], 7))
print("listening", flush=True)
while True:
    server.accept()
"""
CALLER = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)"
KILLED = """
import subprocess, sys, time
from tests.namespaces import network
with network(1) as joined:
    (machine,) = joined.machines
    sleeping = subprocess.Popen(machine.command("sleep", "60"), start_new_session=True)
    print(machine.namespace, sleeping.pid, flush=True)
    time.sleep(60)
"""


def answer(machine: Machine, ip: str, port: int = 7) -> str:
    """Return the error of a connection from there; nothing if it is made."""
    command = machine.command(sys.executable, "-c", CALLER, ip, str(port))
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    return told.strip().splitlines()[-1].partition(":")[0] if told else ""


def test_a_cut_drops_what_two_machines_send_each_other_and_nothing_else() -> None:
    with network(3) as joined, socket.create_server(("127.0.0.1", 0)) as here:
        port = here.getsockname()[1]
        one, two, three = joined.machines
        server = subprocess.Popen(two.command(sys.executable, "-c", SERVER, two.ip), stdout=subprocess.PIPE)
        assert server.stdout is not None and server.stdout.readline() == b"listening\n"
        assert two.listening() == {(two.ip, 7)}
        assert answer(one, two.ip) == answer(three, two.ip) == ""
        assert answer(one, three.ip) == "ConnectionRefusedError"
        with joined.without(one.ip, two.ip):
            assert (answer(one, two.ip), answer(three, two.ip)) == ("TimeoutError", "")
        assert answer(one, two.ip) == ""
        with forwarded(joined.ip, port):
            assert answer(one, joined.ip, port) == ""
            with joined.without(one.ip, joined.ip):
                assert answer(one, joined.ip, port) == "TimeoutError"
    assert server.wait(10) == -signal.SIGKILL


def test_what_a_test_that_was_killed_has_left_the_next_one_removes() -> None:
    killed = subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    namespace, pid = killed.stdout.readline().split()
    sweep()
    assert Path(f"/run/netns/{namespace}").exists()
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    sweep()
    assert list(Path("/run/netns").glob(f"{namespace.rpartition('-')[0]}*")) == []
    with suppress(psutil.NoSuchProcess):  # whoever has inherited it may not have asked for its end yet
        assert psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE


def test_root_is_asked_for_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(AssertionError, match="run these tests as root"), network(1):
        pass

"""Machines that are network namespaces, joined by a router that drops what it is told to, without a word to anybody."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import psutil

RANGE = IPv4Network("198.18.0.0/16")
"""For tests between networks (RFC 2544): nobody has these addresses, and none of them is routed to anywhere."""
NETWORKS = [*RANGE.subnets(new_prefix=24)]
LINK = 30
"""Length of the prefix of one cable: an address for each of its ends."""
NAME = re.compile(r"rehome-(\d+)-")
END_S = 10.0


@dataclass(frozen=True)
class Machine:
    """A namespace with loopback and an address of its own. Files and processes are those of this machine."""

    namespace: str
    ip: str

    def command(self, *words: str) -> list[str]:
        """Return a command that runs there, as the process that is started."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *words]

    def listening(self) -> set[tuple[str, int]]:
        """Return the addresses and ports that are listened on there."""
        lines = _run(*self.command("ss", "--listening", "--tcp", "--numeric", "--no-header")).splitlines()
        found = [line.split()[3].rpartition(":") for line in lines]
        return {(ip.partition("%")[0], int(port)) for ip, _, port in found}


class Network:
    """Some machines, and this one beside them.

    ip: of this machine, for the others
    """

    def __init__(self, machines: int) -> None:
        self._prefix = f"rehome-{os.getpid()}-{os.urandom(2).hex()}"
        self._router = f"{self._prefix}-router"
        _run("ip", "netns", "add", self._router)
        _run("ip", "-n", self._router, "link", "set", "lo", "up")
        # only in the namespace of the one who writes
        enter = "nsenter", f"--net=/run/netns/{self._router}", "--"
        _run(*enter, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        number, self._net = _claim(self._router)
        cables = [*self._net.subnets(new_prefix=LINK)]
        self.ip = str(self._plug(cables[0], "up0", None, f"rehome{number}"))
        self.machines = [self._machine(index, cables[index]) for index in range(1, machines + 1)]

    def cut(self, one: str, other: str) -> None:
        """Drop all that these two addresses send to each other from now on. Neither is told."""
        for source, target in ((one, other), (other, one)):
            _run("ip", "-n", self._router, "rule", "add", "from", source, "to", target, "priority", "1", "blackhole")

    @contextmanager
    def without(self, one: str, other: str) -> Iterator[None]:
        """Cut for as long as the block takes."""
        self.cut(one, other)
        try:
            yield
        finally:
            self.heal()

    def heal(self) -> None:
        """Let everything through again."""
        while "blackhole" in _run("ip", "-n", self._router, "rule", "list"):
            _run("ip", "-n", self._router, "rule", "delete", "priority", "1")

    def remove(self) -> None:
        """End what runs on the machines, and remove them."""
        _remove(self._prefix)

    def _machine(self, index: int, cable: IPv4Network) -> Machine:
        name = f"{self._prefix}-{index}"
        _run("ip", "netns", "add", name)
        _run("ip", "-n", name, "link", "set", "lo", "up")
        return Machine(name, str(self._plug(cable, f"down{index}", name, "eth0")))

    def _plug(self, cable: IPv4Network, at_router: str, namespace: str | None, device: str) -> IPv4Address:
        """Lay a cable from the router to a machine, this one if None. Return the machine's address."""
        gateway, own = cable.hosts()
        there = ["-n", namespace] if namespace else []
        if namespace:
            _run("ip", *there, "link", "add", device, "type", "veth", "peer", "name", at_router, "netns", self._router)
        for where, ip, link in ((["-n", self._router], gateway, at_router), (there, own, device)):
            _run("ip", *where, "address", "add", f"{ip}/{LINK}", "dev", link)
            _run("ip", *where, "link", "set", "dev", link, "up")
        _run("ip", *there, "route", "add", str(self._net), "via", str(gateway))
        return own


@contextmanager
def network(machines: int) -> Iterator[Network]:
    """Join so many machines. They are removed at the end; those of a test that was killed, by the next one."""
    assert os.geteuid() == 0, "network namespaces are made by root alone: run these tests as root"
    assert shutil.which("ip") and shutil.which("nsenter"), "no iproute2 and util-linux: make packages installs them"
    sweep()
    made = Network(machines)
    try:
        yield made
    finally:
        made.remove()


def sweep() -> None:
    """Remove the machines of tests that have ended without doing so."""
    for name in _namespaces():
        made_by = NAME.match(name)
        if made_by and not psutil.pid_exists(int(made_by[1])):
            _remove(name)


@contextmanager
def forwarded(ip: str, port: int, on_head: Callable[[str, bytes], object] | None = None) -> Iterator[None]:
    """Let the machines of a network reach a server on loopback of this one, at `ip` and the same port.

    on_head: called with the address of a machine, and whatever it has sent up to an empty line
    """
    with socket.create_server((ip, port), backlog=256) as listener:
        threading.Thread(target=_accept, args=(listener, port, on_head), daemon=True).start()
        try:
            yield
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # a thread that accepts keeps it open otherwise


def _accept(listener: socket.socket, port: int, on_head: Callable[[str, bytes], object] | None) -> None:
    with suppress(OSError):
        while True:
            client, (ip, *_) = listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", port))
            except OSError:
                client.close()
                continue
            seen = partial(on_head, ip) if on_head else None
            for ends in ((client, server, seen), (server, client, None)):
                threading.Thread(target=_pump, args=ends, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket, on_head: Callable[[bytes], object] | None) -> None:
    begun = b""
    with suppress(OSError):
        while piece := source.recv(65_536):
            if on_head:
                *heads, begun = (begun + piece).split(b"\r\n\r\n")
                for head in heads:
                    on_head(head)
            target.sendall(piece)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _claim(router: str) -> tuple[int, IPv4Network]:
    """Return a network that no other test has: the device of its number is made, which is refused to the second."""
    for number, net in enumerate(NETWORKS):
        words = "ip", "link", "add", f"rehome{number}", "type", "veth", "peer", "name", "up0", "netns", router
        if subprocess.run(words, capture_output=True, check=False).returncode == 0:
            return number, net
    raise AssertionError(f"ip link add: makes no device for a network of {RANGE}; see `ip link`")


def _remove(prefix: str) -> None:
    for name in _namespaces():
        if name.startswith(prefix):
            _end(name)
            # another test may sweep, too
            delete = "ip", "netns", "delete", name
            subprocess.run(delete, capture_output=True, check=False)


def _end(namespace: str) -> None:
    deadline = time.monotonic() + END_S
    while Path(f"/run/netns/{namespace}").exists() and (pids := _run("ip", "netns", "pids", namespace).split()):
        assert time.monotonic() < deadline, f"{namespace}: cannot be ended: {pids}"
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.02)


def _namespaces() -> Sequence[str]:
    return [one["name"] for one in json.loads(_run("ip", "-json", "netns", "list") or "[]")]


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()}"
    return done.stdout

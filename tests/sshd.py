"""An OpenSSH server of the tests' own: its own keys, an address of loopback or of a machine of its own, a free port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from sandbox.ports import find_free
from tests.namespaces import Machine

PROGRAM = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
START_S = 20.0
PRIVILEGE_SEPARATION = Path("/run/sshd")
"""What sshd wants where it runs as root; a service would have made it."""


@dataclass(frozen=True)
class Login:
    """How this server is reached."""

    ip: str
    port: int
    key: Path

    def variables(self) -> dict[str, str | int]:
        """Return what an inventory says about the host."""
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ControlMaster=no -o LogLevel=ERROR"
        return {
            "ansible_connection": "ssh",
            "ansible_host": self.ip,
            "ansible_port": self.port,
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": f"{options} -F /dev/null",
        }


@contextmanager
def sshd(folder: Path, ip: str, machine: Machine | None = None) -> Iterator[Login]:
    """Run a server that lets in the user of the tests, by a key.

    machine: where it runs, and its sessions; None: beside the tests
    """
    assert PROGRAM, "no sshd: make packages installs it"
    folder.mkdir(parents=True)
    if os.geteuid() == 0:
        PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    for name in ("host", "user"):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(made, check=True)
    # a shell reads the files of the user of the tests otherwise, and may be killed over what those begin
    home = folder / "home"
    home.mkdir()
    (port,) = find_free(1)
    config = folder / "config"
    config.write_text(
        f"ListenAddress {ip}\nPort {port}\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'user.pub'}\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nMaxStartups 50\nSubsystem sftp internal-sftp\n"
        f"SetEnv HOME={home}\n"
    )
    with (folder / "log").open("wb") as log:
        command = [PROGRAM, "-D", "-e", "-f", str(config)]
        command = machine.command(*command) if machine else command
        server = subprocess.Popen(command, stderr=log, start_new_session=True)
    try:
        _await(server, ip, port, folder / "log")
        yield Login(ip, port, folder / "user")
    finally:
        sessions = psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []
        for process in [psutil.Process(server.pid), *sessions] if server.poll() is None else []:
            process.kill()
        server.wait()


def _await(server: subprocess.Popen[bytes], ip: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection((ip, port), timeout=1).close()
        except OSError:
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return

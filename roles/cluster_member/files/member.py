"""Look at, start and end the members of a cluster on this machine: `python - look|apply|remove JSON < member.py`.

It runs on a mover, which may have nothing but Python, so it uses Python's own library alone. It keeps no record of
what it has started: a member's environment says who it is and what it was started with, so that a record can neither
be lost nor name a process of somebody else.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import venv
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEDULER = "scheduler"
KEYS = "tls"
"""The folder of the keys."""
MEMBER = "REHOME_MEMBER"
STARTED_WITH = "REHOME_STARTED_WITH"
PASSED_ON = ("HOME", "LANG", "LC_ALL", "PATH", "USER")
"""What a member gets of the environment. The rest is the operator's, such as the password of a database."""
WORKERS_PREFIXES = ("AWS_", "SSL_CERT_")
WORKERS_SUFFIXES = ("_proxy", "_PROXY")
"""What workers get beside it. The scheduler reaches no bucket, and is to know no credential."""
PATIENCE_S = 20.0
"""For how long a worker may end its work."""
START_S = 30.0
BEGIN_S = 5.0
"""For how long a process may take to become its program; one that has ended already is not waited for longer."""
POLL_S = 0.1
"""How often processes are looked at: those of an earlier login are no children, whose end the system would tell."""
LOG_LINES = 5
DASK = {
    "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true",
    # a silent connection counts as cut after this, a new one as failed, and a worker without a heartbeat as frozen
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "30s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "30s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "60s",
    # 1,000 messages otherwise, which are shards: hundreds of megabytes in the scheduler
    "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "10",
    # what members do when idle costs 1 % of a core with these, and 5 % without
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "500ms",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "2s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__DISK": "false",
}
"""dask's settings for all members, which docs/fleet.md and Containerfile.mover have, too."""
NAME_IT = "name in its host_vars the address by which the others reach it"


class MemberError(Exception):
    """What is wrong with this machine or with what is asked of it, in words for the operator."""


@dataclass(frozen=True)
class Wanted:
    """What is to be on this machine.

    name: the cluster's
    folder: where all of it is kept
    ip: the address or the name by which the others reach this machine
    alone: whether nobody else has to reach it
    scheduler: the scheduler's URL, empty if it is not known yet
    port: the scheduler's port, if it is to run here, else 0
    workers: the names of the workers
    threads: of each worker
    wait_s: for how long a worker waits for its scheduler
    bundle: the digest of the packages and of the engine
    keys: the digest of the certificate, empty if there is none yet
    profiles: the digest of the file of credentials, empty if there is none
    restart: whether members that run are to be started again
    check: whether nothing is to be changed
    """

    name: str
    folder: Path
    ip: str
    alone: bool
    scheduler: str
    port: int
    workers: tuple[str, ...]
    threads: int
    wait_s: int
    bundle: str
    keys: str
    profiles: str
    restart: bool
    check: bool

    @classmethod
    def from_json(cls, text: str) -> Wanted:
        """Return what the argument of the command line says."""
        values: dict[str, Any] = json.loads(text)
        folder = Path(values.pop("folder")).expanduser()
        return cls(**values | {"folder": folder, "workers": tuple(values["workers"])})

    @property
    def python(self) -> Path:
        """The interpreter of the members, by whose path they are told from all other processes."""
        return self.folder / "venv" / "bin" / "python"

    @property
    def names(self) -> tuple[str, ...]:
        """The members on this machine, in the order in which they are started."""
        return (*([SCHEDULER] if self.port else []), *self.workers)


@dataclass(frozen=True)
class Process:
    """A process of the cluster on this machine. leads: whether it is what was started, not a child of that."""

    pid: int
    name: str
    started_with: str
    leads: bool


def main() -> int:
    """Run the command line. Return the exit status."""
    verb, text = sys.argv[1:]
    wanted = Wanted.from_json(text)
    try:
        result = {"look": look, "apply": apply, "remove": remove}[verb](wanted)
    except MemberError as error:
        result = {"problem": str(error)}
    except OSError as error:  # a disk that is full, or a folder of another user
        where = f" ({error.filename})" if error.filename else ""
        what = f"cluster_member_folder ({wanted.folder}): {error.strerror or error}{where}"
        result = {"problem": f"{what}. Make room there, or name a folder that this login may write; then run it again"}
    sys.stdout.write(json.dumps({"changed": False, "problem": "", **result}) + "\n")
    return 0


def look(wanted: Wanted) -> dict[str, Any]:
    """Return what is missing here, and the address of this machine. Reads only.

    Raises MemberError if the cluster cannot run here.
    """
    if not Path("/proc/self/environ").exists():
        raise MemberError("is no Linux, by whose /proc members are told from other processes")
    if wanted.folder.exists() and not _is_ours(wanted.folder):
        raise MemberError(f"cluster_member_folder ({wanted.folder}) has files of somebody else; name one of its own")
    ip = _own_address(wanted)
    running = {process.name for process in processes(wanted.python) if process.leads}
    if wanted.port and SCHEDULER not in running:
        _refuse_if_taken(ip, wanted.port)
    return {
        "ip": ip,
        "folder": str(wanted.folder),
        "there": wanted.folder.exists(),
        "install": _stamp(wanted) != wanted.bundle,
        "keys": _digest(wanted.folder / KEYS / "member.pem"),
        "profiles": _digest(wanted.folder / "aws" / "credentials"),
        "scheduler_runs": SCHEDULER in running,
    }


def apply(wanted: Wanted) -> dict[str, Any]:
    """Install what was brought, end what is not wanted any more, and start what is missing.

    Return what was done; with `check`, what would be. Raises MemberError if a member does not start.
    """
    install = _stamp(wanted) != wanted.bundle
    ip = _own_address(wanted)
    commands = {name: _command(wanted, name, ip) for name in wanted.names}
    with_what = {name: _started_with(wanted, name, command) for name, command in commands.items()}
    here = processes(wanted.python)
    kept = {
        process.name
        for process in here
        if process.leads and with_what.get(process.name) == process.started_with and not (install or wanted.restart)
    }
    ended = sorted({process.name for process in here if process.name not in kept})
    missing = [name for name in wanted.names if name not in kept]
    if not wanted.check:
        _end([process for process in here if process.name not in kept], wanted)
        if install:
            _install(wanted)
        for name in missing:
            _start(wanted, name, commands[name], with_what[name])
            _await_begin(wanted, name)
            if name == SCHEDULER:
                _await_scheduler(wanted, ip)
    return {
        "changed": install or bool(ended or missing),
        "installed": install,
        "ended": [name for name in ended if name not in wanted.names],
        "started": missing,
    }


def remove(wanted: Wanted) -> dict[str, Any]:
    """End all members on this machine and delete the cluster's folder."""
    here = processes(wanted.python)
    there = wanted.folder.exists()
    if there and not _is_ours(wanted.folder):
        raise MemberError(f"{wanted.folder} is no folder of a cluster, and is left alone")
    if not wanted.check:
        _end(here, wanted)
        if there:
            # what shows that the folder is a cluster's goes last, so that one that is interrupted can be run again
            for path in sorted(wanted.folder.iterdir(), key=lambda path: path.name == KEYS):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            wanted.folder.rmdir()
            _remove_if_empty(wanted.folder.parent)
    return {"changed": there or bool(here), "ended": sorted({process.name for process in here})}


# Where this machine is


def _own_address(wanted: Wanted) -> str:
    """Return the address of this machine by which the others reach it."""
    try:
        found = socket.getaddrinfo(wanted.ip, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise MemberError(
            f"cluster_member_ip ({wanted.ip}) has no address here ({error.strerror}); {NAME_IT}"
        ) from None
    ip = str(found[0][4][0])
    if ipaddress.ip_address(ip).is_loopback and ip != wanted.ip and not wanted.alone:
        raise MemberError(f"cluster_member_ip ({wanted.ip}) is {ip} here, where no other machine reaches it; {NAME_IT}")
    with socket.socket(found[0][0], socket.SOCK_STREAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            raise MemberError(
                f"cluster_member_ip ({wanted.ip}) is {ip}, which is no address of this machine; {NAME_IT}"
            ) from None
    return ip


def _refuse_if_taken(ip: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except OSError as error:
            raise MemberError(
                f"cluster_port ({port}) cannot be listened on at {ip} ({error.strerror}); name another"
            ) from None


# What runs


def processes(python: Path) -> list[Process]:
    """Return the processes of this cluster: those of its interpreter."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes().split(b"\0")
                if command[0] == os.fsencode(python) and _lives(folder):
                    found.append(_process(int(folder.name), command, (folder / "environ").read_bytes()))
            except (OSError, ValueError):
                continue  # it has ended, or is another user's
    return sorted(found, key=lambda process: process.pid)


def _lives(folder: Path) -> bool:
    return (folder / "stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")


def _process(pid: int, command: Sequence[bytes], environment: bytes) -> Process:
    values = dict(line.split("=", 1) for line in os.fsdecode(environment).split("\0") if "=" in line)
    return Process(pid, values.get(MEMBER, "?"), values.get(STARTED_WITH, ""), b"dask" in command[1:3])


def _end(ending: Sequence[Process], wanted: Wanted) -> None:
    """End processes: in good order at first, what is left then by SIGKILL.

    Workers first: one that has lost its scheduler takes its time.
    """
    names = {process.name for process in ending}
    _end_all(names - {SCHEDULER}, wanted)
    _end_all(names & {SCHEDULER}, wanted)


def _end_all(names: Set[str], wanted: Wanted) -> None:
    asked: set[int] = set()
    deadline = time.monotonic() + PATIENCE_S
    # children that began meanwhile, too
    while left := [process for process in processes(wanted.python) if process.name in names]:
        late = time.monotonic() > deadline
        for process in left:
            if late or not any(other.leads for other in left):
                _signal(process.pid, signal.SIGKILL)
            elif process.leads and process.pid not in asked:
                asked.add(process.pid)
                _signal(process.pid, signal.SIGTERM)
        if time.monotonic() > deadline + PATIENCE_S:
            raise MemberError(f"{', '.join(sorted(names))}: cannot be ended, not even by SIGKILL")
        time.sleep(POLL_S)  # they are no children of this process, whose end it could wait for


def _signal(pid: int, which: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, which)


# What is installed


def _stamp(wanted: Wanted) -> str:
    try:
        return (wanted.folder / "venv" / "bundle").read_text()
    except OSError:
        return ""


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _install(wanted: Wanted) -> None:
    """Make the virtual environment anew of the packages that were brought. It needs no pip."""
    bundle = wanted.folder / "bundle.tar.gz"
    home = wanted.folder / "venv"
    shutil.rmtree(home, ignore_errors=True)
    venv.EnvBuilder(symlinks=True, with_pip=False).create(home)
    (packages,) = (home / "lib").glob("python3*/site-packages")
    with tarfile.open(bundle) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(packages, filter="data")
        else:  # Python 3.11.2, as Debian 12 has it
            archive.extractall(packages)  # noqa: S202 - our own archive
    bundle.unlink()
    (home / "bundle").write_text(wanted.bundle)


def _is_ours(folder: Path) -> bool:
    """Return whether the folder has nothing but what a cluster puts there, the keys first of all, or is empty."""
    names = {path.name for path in folder.iterdir()}
    return not names or (KEYS in names and names <= {KEYS, "venv", "aws", "work", "logs", "bundle.tar.gz"})


def _remove_if_empty(folder: Path) -> None:
    """Remove the folder of all clusters with the last one."""
    if folder.name == ".rehome-cluster" and not any(folder.iterdir()):
        folder.rmdir()


# How members are started


def _command(wanted: Wanted, name: str, ip: str) -> list[str]:
    """Return the command of a member. Each listens on the one address by which the others reach it."""
    tls = wanted.folder / KEYS
    keys = ["--tls-ca-file", tls / "ca.pem", "--tls-cert", tls / "member.pem", "--tls-key", tls / "member.key"]
    # --no-dashboard alone leaves an HTTP server on all addresses
    quiet = ["--dashboard-address", "127.0.0.1:0", "--no-dashboard"]
    if name == SCHEDULER:
        own = [SCHEDULER, "--protocol", "tls", "--host", ip, "--port", wanted.port]
    else:
        own = ["worker", wanted.scheduler, "--protocol", "tls", "--host", ip, "--name", name]
        own += ["--nthreads", wanted.threads, "--memory-limit", 0, "--death-timeout", wanted.wait_s]
        own += ["--local-directory", wanted.folder / "work"]
    return [str(word) for word in (wanted.python, "-m", "dask", *own, *keys, *quiet)]


def _started_with(wanted: Wanted, name: str, command: Sequence[str]) -> str:
    """Return a digest of all that a member is started with."""
    reaching = itertools.chain(*sorted(_reaching_buckets(name).items()))
    parts = [wanted.bundle, wanted.keys, wanted.profiles, *itertools.chain(*DASK.items()), *command, *reaching]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _reaching_buckets(name: str) -> dict[str, str]:
    """Return those variables by which a worker reaches the buckets."""
    if name == SCHEDULER:
        return {}
    return {
        variable: value
        for variable, value in os.environ.items()
        if variable.startswith(WORKERS_PREFIXES) or variable.endswith(WORKERS_SUFFIXES)
    }


def _environment(wanted: Wanted, name: str, with_what: str) -> dict[str, str]:
    passed = {variable: value for variable, value in os.environ.items() if variable in PASSED_ON}
    passed |= _reaching_buckets(name)
    if name != SCHEDULER and wanted.profiles:
        passed["AWS_SHARED_CREDENTIALS_FILE"] = str(wanted.folder / "aws" / "credentials")
    return passed | {
        MEMBER: name,
        STARTED_WITH: with_what,
        # settings of the machine's own are not read
        "DASK_CONFIG": str(wanted.folder / "work"),
        "DASK_ROOT_CONFIG": str(wanted.folder / "work"),
        **DASK,
        "TMPDIR": str(wanted.folder / "work"),
    }


def _log(wanted: Wanted, name: str) -> Path:
    return wanted.folder / "logs" / f"{name.replace('/', '-')}.log"


def _start(wanted: Wanted, name: str, command: Sequence[str], with_what: str) -> None:
    for folder in ("logs", "work"):
        (wanted.folder / folder).mkdir(mode=0o700, exist_ok=True)
    environment = _environment(wanted, name, with_what)
    log = _log(wanted, name)
    if has_systemd():
        _start_unit(wanted, name, command, environment, log)
        return
    with log.open("wb") as output:
        subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=wanted.folder / "work",
            env=environment,
            start_new_session=True,  # it outlives the login that has started it
        )


def has_systemd() -> bool:
    """Return whether a member can be a transient unit: systemd runs, and takes orders from this user."""
    return os.geteuid() == 0 and Path("/run/systemd/system").is_dir() and shutil.which("systemd-run") is not None


def _start_unit(wanted: Wanted, name: str, command: Sequence[str], environment: dict[str, str], log: Path) -> None:
    log.unlink(missing_ok=True)
    options = ["--quiet", "--collect", f"--unit=rehome-{wanted.name}-{name.replace('/', '-')}"]
    options += [f"--working-directory={wanted.folder / 'work'}"]
    options += [
        f"--property={line}" for line in ("KillMode=mixed", "NoNewPrivileges=yes", f"StandardOutput=append:{log}")
    ]
    options += [f"--property=StandardError=append:{log}"]
    # systemd shows every user of the machine the variables of a unit, but only the path of a file of them
    file = wanted.folder / "work" / "environment"
    options += [f"--property=EnvironmentFile={file}"]
    order = ["systemd-run", *options, "--", *command]
    file.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
            output.writelines(f"{variable}={_quoted(value)}\n" for variable, value in environment.items())
        made = subprocess.run(order, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    finally:
        file.unlink(missing_ok=True)
    if made.returncode:
        raise MemberError(f"{name}: systemd-run does not start it: {made.stderr.strip()}")


def _quoted(value: str) -> str:
    """Return a value as systemd.exec(5) reads it of an EnvironmentFile."""
    return '"' + re.sub(r'([\\"`$])', r"\\\1", value) + '"'


def _runs(wanted: Wanted, name: str) -> bool:
    return any(process.leads and process.name == name for process in processes(wanted.python))


def _await_begin(wanted: Wanted, name: str) -> None:
    deadline = time.monotonic() + BEGIN_S
    while not _runs(wanted, name) and time.monotonic() < deadline:
        time.sleep(POLL_S)  # whoever starts it does not tell when it runs


def _await_scheduler(wanted: Wanted, ip: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        if not _runs(wanted, SCHEDULER):
            raise MemberError(f"the scheduler has ended: {_tail(wanted, SCHEDULER)}")
        with contextlib.suppress(OSError), socket.create_connection((ip, wanted.port), timeout=1):
            return
        if time.monotonic() > deadline:
            raise MemberError(f"the scheduler does not listen after {START_S:.0f} s: {_tail(wanted, SCHEDULER)}")
        time.sleep(POLL_S)  # dask does not tell when it listens


def _tail(wanted: Wanted, name: str) -> str:
    try:
        lines = _log(wanted, name).read_text(errors="replace").splitlines()
    except OSError:
        return "it has written nothing"
    return " | ".join(line.strip() for line in lines[-LOG_LINES:]) or "it has written nothing"


if __name__ == "__main__":
    sys.exit(main())

"""What the servers share: a folder, a state file, a process, start and stop."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from . import ports, processes
from .errors import SandboxError, last_lines
from .files import read_json, write_json
from .processes import Process

HEALTH_TIMEOUT_S = 60.0
HEALTH_POLL_S = 0.05
PORT_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Login:
    """A user's credentials: a name or an access key, and its secret."""

    name: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class State:
    """The content of `state.json` in a server's folder.

    ready: the folder is complete, unlike one that an interrupted first start left behind
    """

    ready: bool
    ports: Mapping[str, int]
    logins: Mapping[str, Login]
    process: Process | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the state as `state.json` has it."""
        process = self.process.to_json() if self.process else None
        return {**asdict(self), "process": process}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> State:
        """Return the state of a `state.json`."""
        logins = {user: Login(**login) for user, login in value["logins"].items()}
        process = Process.from_json(value["process"]) if value["process"] else None
        return cls(value["ready"], value["ports"], logins, process)


class Server(ABC):
    """One server with everything that it owns in one folder."""

    name: ClassVar[str]
    port_names: ClassVar[tuple[str, ...]]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    kill_signal: ClassVar[signal.Signals] = signal.SIGKILL
    """The signal that ends the server when its data is removed too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    # What a server defines

    @abstractmethod
    def new_logins(self) -> dict[str, Login]:
        """Return the server's users, with generated secrets."""

    @abstractmethod
    def prepare(self) -> None:
        """Fill the new folder for the server's first start."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the server's program and arguments."""

    @abstractmethod
    def check_health(self) -> None:
        """Return if the server answers a client; raise its error otherwise."""

    @abstractmethod
    def populate(self) -> None:
        """Create the server's initial contents."""

    def launcher(self) -> Sequence[str]:
        """Return a program that changes the user and then becomes the server's command."""
        return ()

    # What all servers share

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.folder / f"{self.name}.log"

    @property
    def state(self) -> State:
        """The recorded state of a server that has been started."""
        if (state := self._read_state()) is None:
            raise SandboxError(f"{self.name} has not been started in {self.folder}")
        return state

    @property
    def processes(self) -> list[Process]:
        """The server's recorded processes that are running."""
        state = self._read_state()
        return [state.process] if state and state.process and state.process.is_running() else []

    def up(self) -> bool:
        """Start the server. Return False if it runs already."""
        state = self._read_state()
        if state is None or not state.ready:
            self.destroy()
            self._create()
            return True
        if self.processes:
            self._wait_until_healthy()
            return False
        self._require_free_ports(state)
        self._start()
        return True

    def stop(self) -> bool:
        """End the process and keep the data. Return False if nothing runs."""
        return self._end(self.stop_signal)

    def destroy(self) -> bool:
        """End the process and remove the folder. Return False if neither exists."""
        ended = self._end(self.kill_signal)
        existed = self.folder.exists()
        if existed:
            shutil.rmtree(self.folder)
        return ended or existed

    def environment(self) -> dict[str, str]:
        """Return the server's environment, without the user's configuration and credentials."""
        return {
            "PATH": os.defpath,
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        }

    def run_tool(self, command: Sequence[str], folder: Path) -> None:
        """Run a program that prepares the server. It is recorded like the server, so it cannot be lost either."""
        if (status := self._launch(command, folder).wait()) != 0:
            raise SandboxError(
                f"{Path(command[0]).name} failed with status {status}; the end of {self.log}:\n{last_lines(self.log)}"
            )

    def _create(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True)
        found = ports.find_free(len(self.port_names))
        self._write_state(State(False, dict(zip(self.port_names, found, strict=True)), self.new_logins()))
        try:
            self.prepare()
            self._start()
            self.populate()
        except BaseException:
            # The folder stays until the next start or removal, for its log.
            self._end(self.kill_signal)
            raise
        self._write_state(replace(self.state, ready=True))

    def _start(self) -> None:
        try:
            self._launch(self.command(), self.folder)
            self._wait_until_healthy()
        except BaseException:
            self._end(self.kill_signal)
            raise

    def _launch(self, command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
        return processes.start(
            self.name,
            command,
            launcher=self.launcher(),
            folder=folder,
            environment=self.environment(),
            log=self.log,
            record=lambda process: self._write_state(replace(self.state, process=process)),
        )

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + HEALTH_TIMEOUT_S
        while True:
            # Read before the check: another program on the port must not pass for a server that died.
            running = bool(self.processes)
            try:
                if running:
                    return self.check_health()
            except Exception as error:  # a starting server fails in every way there is
                answer = f"{type(error).__name__}: {error}"
            else:
                raise SandboxError(f"{self.name} ended; the end of {self.log}:\n{last_lines(self.log)}")
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"{self.name} runs but doesn't answer after {HEALTH_TIMEOUT_S:.0f} s ({answer}); "
                    f"the end of {self.log}:\n{last_lines(self.log)}"
                )
            time.sleep(HEALTH_POLL_S)

    def _require_free_ports(self, state: State) -> None:
        deadline = time.monotonic() + PORT_TIMEOUT_S
        # A killed server holds its ports for a moment longer than it lives.
        while taken := [str(port) for port in state.ports.values() if not ports.is_free(port)]:
            if time.monotonic() < deadline:
                time.sleep(HEALTH_POLL_S)
                continue
            raise SandboxError(
                f"{self.name} was recorded on 127.0.0.1, port {', '.join(taken)}, where another program "
                "listens now. End that program, or take the sandbox down and up again: that gives new ports, "
                "and begins without data"
            )

    def _end(self, how: signal.Signals) -> bool:
        state = self._read_state()
        ended = bool(state and state.process and state.process.end(how))
        processes.forget_the_ended()
        return ended

    def _read_state(self) -> State | None:
        value = read_json(self.folder / "state.json")
        return State.from_json(value) if value else None

    def _write_state(self, state: State) -> None:
        write_json(self.folder / "state.json", state.to_json())

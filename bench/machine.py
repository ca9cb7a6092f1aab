"""The machine and the versions, without which a figure says nothing."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess

import psutil

from .cost import ROOT

_ENGINE = ("uvloop", "httptools", "duckdb", "botocore")


def machine() -> str:
    """Return cores, memory and operating system."""
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    kernel = ".".join(platform.release().split(".")[:2])
    return (
        f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB of memory, "
        f"{system}, {platform.system()} {kernel} ({platform.machine()})"
    )


def our_versions() -> dict[str, str]:
    """Return Rehome's commit, and the versions of its copy path's dependencies."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - whichever git the user has
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "Rehome": commit or "a checkout without git",
        "Python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _ENGINE},
    }


def version_of(package: str) -> str:
    """Return the version of a package in Rehome's own environment."""
    return importlib.metadata.version(package)

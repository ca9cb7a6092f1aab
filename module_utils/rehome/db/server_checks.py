"""Checks that every server is put to."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..checks import Check, stop
from ..errors import Finding


def older(version: str, oldest: Sequence[int]) -> bool:
    """Whether a version as the server tells it (`10.11.19-MariaDB-0+deb12u1`) is older than that."""
    return tuple(map(int, re.findall(r"\d+", version)[: len(oldest)])) < tuple(oldest)


def server_version(product: str, version: str, oldest: Sequence[int]) -> Check:
    """Whether the server has all that Rehome's statements use."""
    least = ".".join(map(str, oldest))
    if not older(version, oldest):
        return Check("database", "version", "pass", f"{product} {version}; at least {least} is needed")
    problem = f"the server is {product} {version}, and Rehome needs {least} or later"
    return stop("database", "version", Finding("rehome_database", None, problem, "Upgrade the server"))


def read_only(why: str, dry_run: bool) -> Check:
    """why: what makes the server refuse writes, in the server's words; empty where it takes them"""
    if not why:
        return Check("database", "read-only", "pass", "the server takes writes")
    problem = f"the server takes no writes ({why}): it may be a replica, or under maintenance"
    way_out = "Connect to the primary, or wait until it takes writes again"
    if dry_run:
        return Check("database", "read-only", "warn", f"{problem}; a run would stop", way_out)
    return stop("database", "read-only", Finding("rehome_database", None, problem, way_out))

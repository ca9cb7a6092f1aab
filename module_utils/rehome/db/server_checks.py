"""Preflight checks that apply to every server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from ..checks import Check, stop, warn
from ..codes import Code
from ..errors import Finding


def is_older(version: str, oldest: Sequence[int]) -> bool:
    """Return whether a version as the server reports it (`10.11.19-MariaDB-0+deb12u1`) is older than `oldest`."""
    return tuple(map(int, re.findall(r"\d+", version)[: len(oldest)])) < tuple(oldest)


def check_version(product: str, version: str, oldest: Sequence[int]) -> Check:
    """Check that the server is not older than `oldest`, and so supports Rehome's statements."""
    needed = ".".join(map(str, oldest))
    if not is_older(version, oldest):
        return Check("database", "version", "pass", f"{product} {version}; at least {needed} is needed")
    problem = f"the server is {product} {version}, and Rehome needs {needed} or later"
    return stop(
        "database", "version", Finding("rehome_database", None, problem, "Upgrade the server", Code.UNSUITABLE_SERVER)
    )


READ_ONLY_WAY_OUT: Final = (
    "Connect to the primary, wait until it takes writes again, or reset the variable if it is preset"
)


def check_writable(reason: str, dry_run: bool, way_out: str = READ_ONLY_WAY_OUT) -> Check:
    """Check that the server takes writes.

    reason: why it does not, in the server's words; empty if it does
    dry_run: then a read-only server is a warning only
    """
    if not reason:
        return Check("database", "read-only", "pass", "the server takes writes")
    problem = f"the server takes no writes ({reason}): it may be a replica, or under maintenance"
    if dry_run:
        return warn("database", "read-only", f"{problem}; a run would stop", way_out, code=Code.DATABASE_READ_ONLY)
    return stop("database", "read-only", Finding("rehome_database", None, problem, way_out, Code.DATABASE_READ_ONLY))


def check_durable(weak: Mapping[str, str]) -> Check:
    """Check that a commit survives a crash of the server. weak: the server's variables that say no, by name"""
    if not weak:
        return Check("database", "durability", "pass", "what is committed survives a crash of the server")
    named = ", ".join(f"{name} = {value}" for name, value in weak.items())
    return warn(
        "database",
        "durability",
        f"a crash of the server may undo the rows that were rewritten last ({named})",
        "Change that for the time of the migration; after a crash, run the migration again before a retirement",
        code=Code.SERVER_PAYS,
    )

"""The sandbox's expected failures, worded for its user."""

from __future__ import annotations

from pathlib import Path

LOG_LINES = 15


class SandboxError(Exception):
    """An expected failure: its text says what happened and what to do, and holds no password."""


def missing_binary(binary: str, package: str) -> SandboxError:
    """Return the failure for a server's program that is not installed."""
    return SandboxError(f"{binary} is not installed; it comes with the package {package}")


def last_lines(log: Path) -> str:
    """Return the end of a server's log, for a message about its failure."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"(its log can't be read: {error.strerror})"
    return "\n".join(lines[-LOG_LINES:]) or "(its log is empty)"

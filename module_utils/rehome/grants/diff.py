"""A change as `--diff` shows it."""

from __future__ import annotations

Diff = dict[str, str]


def diff_of(title: str, before: str, after: str) -> Diff:
    """What `title` is, and what it shall be."""
    return {"before_header": title, "before": before, "after_header": title, "after": after}

"""Show a change as Ansible's `--diff` does."""

from __future__ import annotations

Diff = dict[str, str]


def diff_of(title: str, before: str, after: str) -> Diff:
    """Return the change of `title` as Ansible prints it under `--diff`."""
    return {"before_header": title, "before": before, "after_header": title, "after": after}

"""Merge statements into the policy of a bucket that others share. Rehome's are identified by their Sid.

All other statements are left unchanged.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from .policy import VERSION, Document, Verb


def sid_prefix(name: str) -> str:
    """Return the prefix of all Sids of `name`: letters and digits, as S3 requires, and unique to the name."""
    words = "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", name))
    return f"Rehome{words}{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def merge_policy(current: Document | None, name: str, grants: Mapping[Verb, tuple[str, Document]]) -> Document | None:
    """Return the policy `current` with the statements of `name` replaced by those of `grants`.

    grants: verb → ARN of the principal, and the policy whose statements it gets; empty to remove them all

    Returns None if no statement is left, as S3 refuses an empty policy.
    """
    prefix = sid_prefix(name)
    statements = [one for one in statements_of(current) if not str(one.get("Sid", "")).startswith(prefix)]
    for verb, (principal, policy) in grants.items():
        for statement in policy["Statement"]:
            sid = f"{prefix}{verb.capitalize()}{statement['Sid'].removeprefix('Rehome')}"
            statements.append({**statement, "Sid": sid, "Principal": {"AWS": principal}})
    if not statements:
        return None
    return {**(current or {"Version": VERSION}), "Statement": statements}


def statements_of(policy: Document | None) -> list[Document]:
    """Return the statements as a list, which a policy with a single one may lack."""
    found = (policy or {}).get("Statement", [])
    return [found] if isinstance(found, dict) else list(found)


def is_equivalent(one: Document | None, other: Document | None) -> bool:
    """Return whether two policies mean the same. Services return a list of one as a value, and reorder lists."""
    return bool(_normal(one) == _normal(other))


def _normal(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _normal(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        normal = sorted((_normal(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
        return normal[0] if len(normal) == 1 else normal
    return value

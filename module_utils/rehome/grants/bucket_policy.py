"""The policy of a bucket that others have a say in: what is ours is told by its Sid, all else is left as it is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from .policy import VERSION, Document, Verb


def label(name: str) -> str:
    """What the Sids of this name begin with: of letters and digits, as all Sids, and unlike those of other names."""
    words = "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", name))
    return f"Rehome{words}{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def merged(present: Document | None, name: str, grants: Mapping[Verb, tuple[str, Document]]) -> Document | None:
    """The policy `present` with the rights of `grants` in it, and with no other of `name`.

    grants: verb → ARN of its principal, and the policy whose statements it gets; none takes them all away

    Answers None where no statement is left, as S3 takes no empty policy.
    """
    mine = label(name)
    statements = [one for one in statements_of(present) if not str(one.get("Sid", "")).startswith(mine)]
    for verb, (principal, policy) in grants.items():
        for statement in policy["Statement"]:
            sid = f"{mine}{verb.capitalize()}{statement['Sid'].removeprefix('Rehome')}"
            statements.append({**statement, "Sid": sid, "Principal": {"AWS": principal}})
    if not statements:
        return None
    return {**(present or {"Version": VERSION}), "Statement": statements}


def statements_of(policy: Document | None) -> list[Document]:
    """Its statements: a policy may hold a single one without a list."""
    found = (policy or {}).get("Statement", [])
    return [found] if isinstance(found, dict) else list(found)


def same(one: Document | None, other: Document | None) -> bool:
    """Whether two policies say the same: services give back a list of one as a value, and lists in another order."""
    return bool(_normal(one) == _normal(other))


def _normal(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _normal(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        normal = sorted((_normal(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
        return normal[0] if len(normal) == 1 else normal
    return value

"""The inline policy of each principal, where a service has no managed ones, such as Ceph's accounts.

Named like the managed policy with this content would be: after the principal and the content. botocore's errors pass
through every function.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from botocore.exceptions import ClientError

from .managed_policy import Kind, is_own_name, json_of, name_params, policy_name
from .policy import OPTIONAL_STATEMENTS, Document
from .service_errors import error_code

ALIASES: Mapping[str, str] = MappingProxyType({"s3:GetEncryptionConfiguration": "s3:GetBucketEncryption"})
"""Ceph's names for actions, where they differ from Amazon's (src/rgw/rgw_iam_policy.cc)."""

_MALFORMED = ("MalformedPolicyDocument", "MalformedPolicyDocumentException")
_ACTION = re.compile(r"\b[a-z0-9]+:[A-Za-z]+\b")


def own_inline_policies(iam: Any, kind: Kind, principal: str) -> list[str]:
    """Return the names of the principal's policies that were made here; none if the principal does not exist."""
    found: list[str] = []
    marker: dict[str, str] = {}
    while True:
        try:
            page = getattr(iam, f"list_{kind}_policies")(**name_params(kind, principal), **marker)
        except ClientError as error:
            if error_code(error) == "NoSuchEntity":
                return []
            raise
        found += [name for name in page.get("PolicyNames", []) if is_own_name(principal, name)]
        if not page.get("IsTruncated"):
            return found
        marker = {"Marker": page["Marker"]}


def read_inline_policy(iam: Any, kind: Kind, principal: str, name: str) -> Document:
    """Return the content of a policy."""
    reply = getattr(iam, f"get_{kind}_policy")(**name_params(kind, principal), PolicyName=name)
    found = reply["PolicyDocument"]
    document: Document = json.loads(found) if isinstance(found, str) else found
    return document


def set_inline_policy(iam: Any, kind: Kind, principal: str, document: Document) -> list[str]:
    """Store the policy `document` and delete the previous ones. Return the actions that the service does not know.

    Such an action is left out if only the preflight's view of the bucket depends on it; otherwise the service's error
    is raised.
    """
    name, previous = policy_name(principal, document), own_inline_policies(iam, kind, principal)
    unknown: list[str] = []
    while True:
        text = json_of(_without(document, unknown))
        try:
            getattr(iam, f"put_{kind}_policy")(**name_params(kind, principal), PolicyName=name, PolicyDocument=text)
            break
        except ClientError as error:
            refused = _refused_action(error, document, unknown)
            if refused is None:
                raise
            unknown.append(refused)
    for old in previous:
        if old != name:
            _delete(iam, kind, principal, old)
    return [action for action in unknown if action not in ALIASES and action not in ALIASES.values()]


def delete_inline_policies(iam: Any, kind: Kind, principal: str) -> None:
    """Delete the policies that were made for the principal, which need not exist."""
    for name in own_inline_policies(iam, kind, principal):
        _delete(iam, kind, principal, name)


def _delete(iam: Any, kind: Kind, principal: str, name: str) -> None:
    getattr(iam, f"delete_{kind}_policy")(**name_params(kind, principal), PolicyName=name)


def _refused_action(error: ClientError, document: Document, unknown: list[str]) -> str | None:
    """Return the action that the service's message names, if it is one to do without, and not left out already."""
    if error_code(error) not in _MALFORMED:
        return None
    named = set(_ACTION.findall(str(error)))
    optional = [
        action
        for statement in document["Statement"]
        if statement["Sid"] in OPTIONAL_STATEMENTS
        for action in (*statement["Action"], *(ALIASES[one] for one in statement["Action"] if one in ALIASES))
    ]
    return next((action for action in optional if action in named and action not in unknown), None)


def _without(document: Document, unknown: list[str]) -> Document:
    """Return the policy without the actions that the service does not know, or with its own names for them."""
    statements = []
    for statement in document["Statement"]:
        known = []
        for action in statement["Action"]:
            name = ALIASES.get(action, action) if action in unknown else action
            if name not in unknown:
                known.append(name)
        if known:
            statements.append({**statement, "Action": known})
    return {**document, "Statement": statements}

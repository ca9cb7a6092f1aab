"""The policy of each principal: a managed one, or an inline one where the service has no managed policies.

botocore's errors pass through every function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

from .inline_policy import delete_inline_policies, own_inline_policies, read_inline_policy, set_inline_policy
from .managed_policy import (
    Kind,
    attached_policies,
    delete_managed_policies,
    own_policies,
    read_document,
    set_managed_policy,
)
from .policy import Document
from .service_errors import is_denied, is_unsupported

How = Literal["managed", "inline"]


@dataclass(frozen=True, slots=True)
class KeptPolicies:
    """What was created for a principal.

    how: whether its policy is, or would be, a managed or an inline one
    names: of all its policies, in effect or not
    document: the content of the one in effect
    """

    how: How
    names: tuple[str, ...] = ()
    document: Document | None = None


def read_policies(iam: Any, kind: Kind, principal: str) -> KeptPolicies:
    """Read what was created for the principal, which need not exist. Writes nothing."""
    try:
        managed = own_policies(iam, principal)
    except ClientError as error:
        if not is_unsupported(error):
            raise
        inline = own_inline_policies(iam, kind, principal)
        document = read_inline_policy(iam, kind, principal, inline[0]) if inline else None
        return KeptPolicies("inline", tuple(inline), document)
    if managed:
        arns = [arn for arn in attached_policies(iam, kind, principal) if arn in managed.values()]
        return KeptPolicies("managed", tuple(managed), read_document(iam, arns[0]) if arns else None)
    try:
        inline = own_inline_policies(iam, kind, principal)
        document = read_inline_policy(iam, kind, principal, inline[0]) if inline else None
    except ClientError as error:
        if not (is_unsupported(error) or is_denied(error)):
            raise
        return KeptPolicies("managed")
    return KeptPolicies("inline" if inline else "managed", tuple(inline), document)


def set_policy(iam: Any, kind: Kind, principal: str, document: Document) -> list[str]:
    """Give the principal the policy `document` in place of all previous ones.

    Returns the actions that the service does not know, and that were left out.
    """
    try:
        set_managed_policy(iam, kind, principal, document)
    except ClientError as error:
        if error.operation_name not in ("ListPolicies", "CreatePolicy") or not is_unsupported(error):
            raise
        return set_inline_policy(iam, kind, principal, document)
    return []


def delete_policies(iam: Any, kind: Kind, principal: str) -> None:
    """Delete the policies that were created for the principal. The principal need not exist."""
    try:
        delete_managed_policies(iam, kind, principal)
    except ClientError as error:
        if error.operation_name != "ListPolicies" or not is_unsupported(error):
            raise
    try:
        delete_inline_policies(iam, kind, principal)
    except ClientError as error:
        if not (is_unsupported(error) or is_denied(error)):
            raise

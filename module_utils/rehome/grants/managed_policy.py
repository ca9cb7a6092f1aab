"""The managed policy of each principal, named after the principal and the policy's content.

Managed, as inline policies of a user are limited to 2,048 characters, and managed ones to 6,144 ("IAM and AWS STS
quotas"). New content makes a new policy, which replaces the previous one: not every service can change a policy, and
no policy is ever half changed.

botocore's errors pass through every function.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Literal

from botocore.exceptions import ClientError

from .policy import Document
from .service_errors import error_code

Kind = Literal["user", "role"]


def policy_name(principal: str, document: Document) -> str:
    """Return the name of the policy with this content."""
    return f"{principal}-{hashlib.sha256(json_of(document).encode()).hexdigest()[:8]}"


def is_own_name(principal: str, name: str) -> bool:
    """Return whether `policy_name` may have returned this name."""
    return re.fullmatch(re.escape(principal) + "-[0-9a-f]{8}", name) is not None


def own_policies(iam: Any, principal: str) -> dict[str, str]:
    """Return the account's policies that were created for the principal: name → ARN."""
    found: dict[str, str] = {}
    marker: dict[str, str] = {}
    while True:
        page = iam.list_policies(Scope="Local", **marker)
        found |= {
            one["PolicyName"]: one["Arn"] for one in page["Policies"] if is_own_name(principal, one["PolicyName"])
        }
        if not page.get("IsTruncated"):
            return found
        marker = {"Marker": page["Marker"]}


def read_document(iam: Any, arn: str) -> Document:
    """Return the content of a policy."""
    version = iam.get_policy(PolicyArn=arn)["Policy"].get("DefaultVersionId") or "v1"
    found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    document: Document = json.loads(found) if isinstance(found, str) else found
    return document


def attached_policies(iam: Any, kind: Kind, principal: str) -> set[str]:
    """Return the ARNs of the managed policies that are attached to the principal."""
    reply = getattr(iam, f"list_attached_{kind}_policies")(**name_params(kind, principal), MaxItems=100)
    return {policy["PolicyArn"] for policy in reply.get("AttachedPolicies", [])}


def set_managed_policy(iam: Any, kind: Kind, principal: str, document: Document) -> None:
    """Create and attach the policy `document`, and delete the principal's previous ones."""
    name, own = policy_name(principal, document), own_policies(iam, principal)
    arn = own.pop(name, None) or iam.create_policy(PolicyName=name, PolicyDocument=json_of(document))["Policy"]["Arn"]
    if arn not in attached_policies(iam, kind, principal):
        getattr(iam, f"attach_{kind}_policy")(**name_params(kind, principal), PolicyArn=arn)
    for previous in own.values():
        _delete(iam, kind, principal, previous)


def delete_managed_policies(iam: Any, kind: Kind, principal: str) -> None:
    """Detach and delete the policies that were created for the principal. The principal need not exist."""
    for arn in own_policies(iam, principal).values():
        _delete(iam, kind, principal, arn)


def name_params(kind: Kind, principal: str) -> dict[str, str]:
    """Return the request parameter that names a principal: `UserName` or `RoleName`."""
    return {f"{kind.capitalize()}Name": principal}


def _delete(iam: Any, kind: Kind, principal: str, arn: str) -> None:
    try:
        if arn in attached_policies(iam, kind, principal):
            getattr(iam, f"detach_{kind}_policy")(**name_params(kind, principal), PolicyArn=arn)
    except ClientError as error:
        if error_code(error) != "NoSuchEntity":  # the principal is deleted already
            raise
    iam.delete_policy(PolicyArn=arn)


def json_of(document: Document) -> str:
    """Return the policy without white space, which counts."""
    return json.dumps(document, separators=(",", ":"))

"""The managed policy that each principal has, named after the principal and its own content.

An inline policy would have to fit into 2,048 characters (users), a managed one into 6,144 ("IAM and AWS STS quotas").
Another content is another policy, which takes the place of the last: not every service lets a policy be changed, and
none is changed halfway.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Literal

from botocore.exceptions import ClientError

from .policy import Document

Kind = Literal["user", "role"]


def policy_name(principal: str, document: Document) -> str:
    """The name of the policy with this content."""
    return f"{principal}-{hashlib.sha256(_text(document).encode()).hexdigest()[:8]}"


def policies_of(iam: Any, principal: str) -> dict[str, str]:
    """The account's policies that were made for this principal: name → ARN. botocore's errors pass."""
    ours = re.compile(re.escape(principal) + "-[0-9a-f]{8}")
    found: dict[str, str] = {}
    marker: dict[str, str] = {}
    while True:
        page = iam.list_policies(Scope="Local", **marker)
        found |= {one["PolicyName"]: one["Arn"] for one in page["Policies"] if ours.fullmatch(one["PolicyName"])}
        if not page.get("IsTruncated"):
            return found
        marker = {"Marker": page["Marker"]}


def document_of(iam: Any, arn: str) -> Document:
    """What the policy says. botocore's errors pass."""
    version = iam.get_policy(PolicyArn=arn)["Policy"].get("DefaultVersionId") or "v1"
    found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    made: Document = json.loads(found) if isinstance(found, str) else found
    return made


def attached(iam: Any, kind: Kind, principal: str) -> set[str]:
    """The ARNs of the managed policies that the principal has. botocore's errors pass."""
    reply = getattr(iam, f"list_attached_{kind}_policies")(**_named(kind, principal), MaxItems=100)
    return {policy["PolicyArn"] for policy in reply.get("AttachedPolicies", [])}


def give_policy(iam: Any, kind: Kind, principal: str, document: Document) -> None:
    """Have `document` be the one policy of ours that the principal has. botocore's errors pass."""
    name, there = policy_name(principal, document), policies_of(iam, principal)
    arn = there.pop(name, None) or iam.create_policy(PolicyName=name, PolicyDocument=_text(document))["Policy"]["Arn"]
    if arn not in attached(iam, kind, principal):
        getattr(iam, f"attach_{kind}_policy")(**_named(kind, principal), PolicyArn=arn)
    for old in there.values():
        _delete(iam, kind, principal, old)


def take_policies(iam: Any, kind: Kind, principal: str) -> None:
    """Take our policies off the principal, where there is one, and delete them. botocore's errors pass."""
    for arn in policies_of(iam, principal).values():
        _delete(iam, kind, principal, arn)


def _delete(iam: Any, kind: Kind, principal: str, arn: str) -> None:
    try:
        if arn in attached(iam, kind, principal):
            getattr(iam, f"detach_{kind}_policy")(**_named(kind, principal), PolicyArn=arn)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "NoSuchEntity":  # the principal is gone already
            raise
    iam.delete_policy(PolicyArn=arn)


def _text(document: Document) -> str:
    return json.dumps(document, separators=(",", ":"))


def _named(kind: Kind, principal: str) -> dict[str, str]:
    return {f"{kind.capitalize()}Name": principal}

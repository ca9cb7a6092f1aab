"""The managed policy that each principal has, of the principal's own name.

An inline policy would have to fit into 2,048 characters (users), a managed one into 6,144 ("IAM and AWS STS quotas").
amazon.aws.iam_managed_policy makes a version first and then the default one of it, which not every service lets it.
"""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

from botocore.exceptions import ClientError

from .bucket_policy import same
from .policy import Document

Kind = Literal["user", "role"]
MOST_VERSIONS = 5
"""What IAM keeps of a policy ("IAM and AWS STS quotas")."""


class Kept(NamedTuple):
    """A managed policy as it is."""

    arn: str
    document: Document


def find_policy(iam: Any, name: str) -> Kept | None:
    """The account's own policy of this name. botocore's errors pass."""
    marker: dict[str, str] = {}
    while True:
        page = iam.list_policies(Scope="Local", **marker)
        for policy in page.get("Policies", []):
            if policy["PolicyName"] == name:
                version = iam.get_policy_version(
                    PolicyArn=policy["Arn"], VersionId=policy.get("DefaultVersionId") or "v1"
                )
                found = version["PolicyVersion"]["Document"]
                return Kept(policy["Arn"], json.loads(found) if isinstance(found, str) else found)
        if not page.get("IsTruncated"):
            return None
        marker = {"Marker": page["Marker"]}


def is_attached(iam: Any, kind: Kind, name: str, arn: str) -> bool:
    """Whether the principal `name` has the policy."""
    listing = getattr(iam, f"list_attached_{kind}_policies")
    reply = listing(**_named(kind, name), MaxItems=100)
    return any(policy["PolicyArn"] == arn for policy in reply.get("AttachedPolicies", []))


def give_policy(iam: Any, kind: Kind, name: str, document: Document) -> None:
    """Have `document` be the policy of the principal `name`. botocore's errors pass."""
    present = find_policy(iam, name)
    text = json.dumps(document, separators=(",", ":"))
    if present is None:
        arn = iam.create_policy(PolicyName=name, PolicyDocument=text)["Policy"]["Arn"]
    else:
        arn = present.arn
        if not same(present.document, document):
            versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
            if len(versions) >= MOST_VERSIONS:
                others = [one["VersionId"] for one in versions if not one["IsDefaultVersion"]]
                iam.delete_policy_version(PolicyArn=arn, VersionId=min(others, key=lambda one: int(one[1:])))
            iam.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)
    if not is_attached(iam, kind, name, arn):
        getattr(iam, f"attach_{kind}_policy")(**_named(kind, name), PolicyArn=arn)


def take_policy(iam: Any, kind: Kind, name: str) -> None:
    """Take its policy off the principal `name`, where there is one, and delete it. botocore's errors pass."""
    present = find_policy(iam, name)
    if present is None:
        return
    arn = present.arn
    try:
        if is_attached(iam, kind, name, arn):
            getattr(iam, f"detach_{kind}_policy")(**_named(kind, name), PolicyArn=arn)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "NoSuchEntity":  # the principal is gone already
            raise
    for one in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not one["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=one["VersionId"])
    iam.delete_policy(PolicyArn=arn)


def _named(kind: Kind, name: str) -> dict[str, str]:
    return {f"{kind.capitalize()}Name": name}

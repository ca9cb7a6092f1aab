"""Plan the changes to IAM and to the source bucket's policy: compare what is granted with what is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from ..codes import Code
from ..config.settings import Settings
from ..errors import Finding, RefusedError
from .bucket_policy import is_equivalent, merge_policy
from .current_access import CurrentPrincipal, read_account, read_bucket_policy, read_principal
from .diff import Diff, diff_of
from .managed_policy import policy_name
from .policy import Document, Place, Principal, Verb, principals, same_endpoint
from .settings import GrantSettings


@dataclass(frozen=True, slots=True)
class PlannedPrincipal:
    """A user, a role or a document, and what to change about it.

    admin: the side whose administrator manages it
    policy_changes: whether IAM has another policy for it, or none
    new_key: whether it needs an access key
    keys_first, keys_after: access keys to delete before a new one is created (IAM allows two), and after
    """

    name: str
    verb: Verb
    place: Place
    admin: Literal["source", "target"]
    exists: bool
    policy: Document
    policy_changes: bool = False
    new_key: bool = False
    keys_first: tuple[str, ...] = ()
    keys_after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedBucketPolicy:
    """policy: the whole policy that the bucket should have; None for none

    changes: whether the bucket has another
    """

    bucket: str
    policy: Document | None
    changes: bool


class PlannedAccess(NamedTuple):
    """What to grant and revoke in S3 and IAM."""

    principals: list[PlannedPrincipal]
    bucket_policy: PlannedBucketPolicy | None
    diffs: list[Diff]


def plan_access(settings: Settings, grants: GrantSettings) -> PlannedAccess:
    """Compare what is granted with what is needed. Writes nothing. Raises RefusedError with every finding."""
    if grants.bucket_policy and not same_endpoint(settings):
        raise RefusedError.of(
            "rehome_grants_bucket_policy",
            "true",
            "is for a source in another account of the target's service, and these are two services",
            "Unset it: each service gets principals of its own",
            code=Code.CONTRADICTION,
        )
    findings: list[Finding] = []
    diffs: list[Diff] = []
    all_planned: list[PlannedPrincipal] = []
    all_current: dict[Verb, CurrentPrincipal] = {}
    for principal in principals(settings, grants.needs):
        current = CurrentPrincipal()
        if grants.principals != "document":
            current = read_principal(grants.admin_of(_admin(principal)), grants.kind, _name(grants, principal))
        all_current[principal.verb] = current
        planned = _plan_principal(grants, principal, current)
        all_planned.append(planned)
        findings += _unknown_keys(grants, planned, current)
        if grants.principals != "document":
            diffs += _principal_diffs(grants, planned, current)
    if findings:
        raise RefusedError(findings)
    bucket_policy = None
    if grants.bucket_policy:
        bucket_policy, bucket_diffs = _plan_bucket_policy(settings, grants, all_current)
        diffs += bucket_diffs
    return PlannedAccess(all_planned, bucket_policy, diffs)


def _principal_diffs(grants: GrantSettings, planned: PlannedPrincipal, current: CurrentPrincipal) -> list[Diff]:
    trust = grants.trust if grants.principals == "role" else None
    before = (_json(current.trust) if trust and current.arn else "") + _json(current.policy)
    after = ""
    if grants.state == "present":
        after = _json(trust) + _json(planned.policy)
        if not planned.policy_changes and (trust is None or is_equivalent(current.trust, trust)):
            after = before  # services write lists of one as values
        if planned.new_key:
            after += "# and a new access key\n"
    if before == after and not planned.policy_changes and planned.exists == (grants.state == "present"):
        return []
    title = f"IAM {grants.principals} {planned.name}"
    if current.how == "inline":
        title += ", an inline policy, as the service has no managed ones"
    return [diff_of(title, before, after)]


def _admin(principal: Principal) -> Literal["source", "target"]:
    return "source" if principal.place == "source" else "target"


def _name(grants: GrantSettings, principal: Principal) -> str:
    return f"{grants.name}-{principal.verb}" + ("" if principal.place == "both" else f"-{principal.place}")


def _plan_principal(grants: GrantSettings, principal: Principal, current: CurrentPrincipal) -> PlannedPrincipal:
    planned = PlannedPrincipal(
        name=_name(grants, principal),
        verb=principal.verb,
        place=principal.place,
        admin=_admin(principal),
        exists=current.arn is not None,
        policy=principal.policy,
        policy_changes=_policy_changes(grants, principal, current),
    )
    if grants.principals != "user" or grants.state == "absent":
        return planned
    known = [key for key in current.keys if key in grants.known_keys]
    if not grants.rotate:
        # keys that were handed over are known only to the operator: any existing key counts
        return replace(planned, new_key=not (current.keys if grants.hand_over else known))
    # the key in use is deleted last
    ordered = [*(key for key in current.keys if key not in known), *known]
    return replace(planned, new_key=True, keys_first=tuple(ordered[:-1]), keys_after=tuple(ordered[-1:]))


def _policy_changes(grants: GrantSettings, principal: Principal, current: CurrentPrincipal) -> bool:
    if grants.principals == "document":
        return False
    if grants.state == "absent":
        return bool(current.policies)
    wanted = policy_name(_name(grants, principal), principal.policy)
    return current.policy is None or current.policies != (wanted,)


def _unknown_keys(grants: GrantSettings, planned: PlannedPrincipal, current: CurrentPrincipal) -> list[Finding]:
    """Refuse to replace a key whose secret is unknown, unless requested: it may be in use elsewhere."""
    if not planned.new_key or not current.keys or grants.rotate:
        return []
    return [
        Finding(
            "rehome_grants_secrets_file",
            grants.secrets_file,
            f"does not hold the secret of {', '.join(current.keys)}, which IAM user {planned.name} has",
            "Bring that file back, or run with -e rehome_grants_rotate=true: a new key replaces all others",
            Code.SECRET_LOST,
        )
    ]


def _plan_bucket_policy(
    settings: Settings, grants: GrantSettings, all_current: Mapping[Verb, CurrentPrincipal]
) -> tuple[PlannedBucketPolicy, list[Diff]]:
    bucket = settings.source.bucket
    if grants.principals == "document":  # whoever manages IAM merges it
        statements = _source_statements(settings, grants, all_current)
        return PlannedBucketPolicy(bucket, merge_policy(None, grants.name, statements), False), []
    before = read_bucket_policy(grants.admin_source)
    statements = _source_statements(settings, grants, all_current) if grants.state == "present" else {}
    after = merge_policy(before, grants.name, statements)
    changes = not is_equivalent(before, after)
    diffs = [diff_of(f"policy of bucket {bucket}", _json(before), _json(after))] if changes else []
    return PlannedBucketPolicy(bucket, after, changes), diffs


def _source_statements(
    settings: Settings, grants: GrantSettings, all_current: Mapping[Verb, CurrentPrincipal]
) -> dict[Verb, tuple[str, Document]]:
    """Return the ARN of each verb's principal, and the statements of its policy that concern the source bucket."""
    bucket = f"arn:{grants.needs.partition}:s3:::{settings.source.bucket}"
    account = ""
    made = {}
    for principal in principals(settings, grants.needs):
        arn = all_current.get(principal.verb, CurrentPrincipal()).arn
        if arn is None:
            account = account or grants.account or read_account(grants.admin_target)
            arn = f"arn:{grants.needs.partition}:iam::{account}:{grants.kind}/{_name(grants, principal)}"
        statements = [
            one
            for one in principal.policy["Statement"]
            if all(resource == bucket or resource.startswith(f"{bucket}/") for resource in one["Resource"])
        ]
        made[principal.verb] = (arn, {"Statement": statements})
    return made


def _json(document: Document | None) -> str:
    return "" if document is None else json.dumps(document, indent=2) + "\n"

"""What IAM and the source's bucket have to be told: compared with what they hold, and shown, before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from ..config.settings import Settings
from ..errors import Finding, RefusedError
from .bucket_policy import merged, same
from .diff import Diff, diff_of
from .managed_policy import policy_name
from .policy import Document, Place, Principal, Verb, principals, same_endpoint
from .present import Present, read_account, read_bucket_policy, read_principal
from .settings import GrantSettings


@dataclass(frozen=True, slots=True)
class PlannedPrincipal:
    """A user, a role or a document.

    admin: which side's administrator keeps it
    policy_changes: whether IAM has another policy for it, or none
    new_key: whether it needs an access key
    keys_first, keys_after: access keys that go before a new one is made, as IAM allows two, and after
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
    """policy: the whole one that the bucket shall have, or None for none; changes: whether it has another"""

    bucket: str
    policy: Document | None
    changes: bool


class PlannedAccess(NamedTuple):
    """Who is to get what of S3."""

    principals: list[PlannedPrincipal]
    bucket_policy: PlannedBucketPolicy | None
    diffs: list[Diff]


def plan_access(settings: Settings, grants: GrantSettings) -> PlannedAccess:
    """Compare what is there with what is wanted. Writes nothing. Raises RefusedError with every finding."""
    if grants.bucket_policy and not same_endpoint(settings):
        raise RefusedError(
            [
                Finding(
                    "rehome_grants_bucket_policy",
                    "true",
                    "is for a source in another account of the target's service, and these are two services",
                    "Unset it: each service gets principals of its own",
                )
            ]
        )
    findings: list[Finding] = []
    diffs: list[Diff] = []
    made: list[PlannedPrincipal] = []
    present: dict[Verb, Present] = {}
    for principal in principals(settings, grants.needs):
        there = Present()
        if grants.principals != "document":
            there = read_principal(grants.admin_of(_admin(principal)), grants.kind, _name(grants, principal))
        present[principal.verb] = there
        planned = _planned(grants, principal, there)
        made.append(planned)
        findings += _unknown_keys(grants, planned, there)
        if grants.principals != "document":
            diffs += _principal_diffs(grants, planned, there)
    if findings:
        raise RefusedError(findings)
    in_bucket = None
    if grants.bucket_policy:
        in_bucket, changes = _plan_bucket_policy(settings, grants, present)
        diffs += changes
    return PlannedAccess(made, in_bucket, diffs)


def _principal_diffs(grants: GrantSettings, planned: PlannedPrincipal, there: Present) -> list[Diff]:
    trust = grants.trust if grants.principals == "role" else None
    before = (_json(there.trust) if trust and there.arn else "") + _json(there.policy)
    after = ""
    if grants.state == "present":
        after = _json(trust) + _json(planned.policy)
        if not planned.policy_changes and (trust is None or same(there.trust, trust)):
            after = before  # services write lists of one as values
        if planned.new_key:
            after += "# and a new access key\n"
    if before == after and not planned.policy_changes and planned.exists == (grants.state == "present"):
        return []
    return [diff_of(f"IAM {grants.principals} {planned.name}", before, after)]


def _admin(principal: Principal) -> Literal["source", "target"]:
    return "source" if principal.place == "source" else "target"


def _name(grants: GrantSettings, principal: Principal) -> str:
    return f"{grants.name}-{principal.verb}" + ("" if principal.place == "both" else f"-{principal.place}")


def _planned(grants: GrantSettings, principal: Principal, there: Present) -> PlannedPrincipal:
    planned = PlannedPrincipal(
        name=_name(grants, principal),
        verb=principal.verb,
        place=principal.place,
        admin=_admin(principal),
        exists=there.arn is not None,
        policy=principal.policy,
        policy_changes=_policy_changes(grants, principal, there),
    )
    if grants.principals != "user" or grants.state == "absent":
        return planned
    keeps = [key for key in there.keys if key in grants.known_keys]
    if not grants.rotate:
        # where keys are handed over, nobody but the operator knows what became of those that are there
        return replace(planned, new_key=not (keeps if not grants.hand_over else there.keys))
    # the one that is in use goes last
    ordered = [*(key for key in there.keys if key not in keeps), *keeps]
    return replace(planned, new_key=True, keys_first=tuple(ordered[:-1]), keys_after=tuple(ordered[-1:]))


def _policy_changes(grants: GrantSettings, principal: Principal, there: Present) -> bool:
    if grants.principals == "document":
        return False
    if grants.state == "absent":
        return bool(there.policies)
    wanted = policy_name(_name(grants, principal), principal.policy)
    return there.policy is None or there.policies != (wanted,)


def _unknown_keys(grants: GrantSettings, planned: PlannedPrincipal, there: Present) -> list[Finding]:
    """A key whose secret is not kept may be in use somewhere: it is not replaced unasked."""
    if not planned.new_key or not there.keys or grants.rotate:
        return []
    return [
        Finding(
            "rehome_grants_secrets_file",
            grants.secrets_file,
            f"does not hold the secret of {', '.join(there.keys)}, which IAM user {planned.name} has",
            "Bring that file back, or run with -e rehome_grants_rotate=true: a new key takes the place of all others",
        )
    ]


def _plan_bucket_policy(
    settings: Settings, grants: GrantSettings, present: Mapping[Verb, Present]
) -> tuple[PlannedBucketPolicy, list[Diff]]:
    bucket = settings.source.bucket
    if grants.principals == "document":  # whoever manages IAM merges it
        alone = merged(None, grants.name, _let_in(settings, grants, present))
        return PlannedBucketPolicy(bucket, alone, False), []
    before = read_bucket_policy(grants.admin_source)
    after = merged(before, grants.name, _let_in(settings, grants, present) if grants.state == "present" else {})
    changes = not same(before, after)
    diffs = [diff_of(f"policy of bucket {bucket}", _json(before), _json(after))] if changes else []
    return PlannedBucketPolicy(bucket, after, changes), diffs


def _let_in(
    settings: Settings, grants: GrantSettings, present: Mapping[Verb, Present]
) -> dict[Verb, tuple[str, Document]]:
    """The principals, and what of their policies is about the source."""
    bucket = f"arn:{grants.needs.partition}:s3:::{settings.source.bucket}"
    account = ""
    made = {}
    for principal in principals(settings, grants.needs):
        arn = present.get(principal.verb, Present()).arn
        if arn is None:
            account = account or grants.account or read_account(grants.admin_target)
            arn = f"arn:{grants.needs.partition}:iam::{account}:{grants.kind}/{_name(grants, principal)}"
        about = [
            one
            for one in principal.policy["Statement"]
            if all(resource == bucket or resource.startswith(f"{bucket}/") for resource in one["Resource"])
        ]
        made[principal.verb] = (arn, {"Statement": about})
    return made


def _json(document: Document | None) -> str:
    return "" if document is None else json.dumps(document, indent=2) + "\n"

"""Read what IAM and the source bucket grant now."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ..config.settings import Side
from ..s3.endpoint.botocore import account_client, botocore_client
from .managed_policy import Kind, name_params
from .policy import Document
from .principal_policy import How, KeptPolicies, read_policies
from .service_errors import error_code, is_unsupported, refuse_service_errors

_NOT_FOUND = ("NoSuchEntity", "NoSuchEntityException", "NoSuchBucketPolicy")

_WAY_OUT = (
    "Give it an administrator's credentials; or, if others manage rights, set rehome_grants_principals to document"
)


@dataclass(frozen=True, slots=True)
class CurrentPrincipal:
    """A principal as it is in IAM.

    arn: None if there is no principal of this name
    how: whether its policy is, or would be, a managed or an inline one
    policies: names of the policies that were created for it, attached or not
    policy: the content of the one that is in effect
    keys: IDs of its access keys, the oldest first
    """

    arn: str | None = None
    how: How = "managed"
    policies: tuple[str, ...] = ()
    policy: Document | None = None
    trust: Document | None = None
    keys: tuple[str, ...] = ()


def read_principal(admin: Side, kind: Kind, name: str) -> CurrentPrincipal:
    """Read a user or role of IAM, and its policy. Raises RefusedError if the administrator has no right to."""
    iam = account_client(admin, "iam")
    params = name_params(kind, name)
    reply = _find(admin, getattr(iam, f"get_{kind}"), **params)
    kept: KeptPolicies = _find(admin, lambda: read_policies(iam, kind, name)) or KeptPolicies("managed")
    if reply is None:
        return CurrentPrincipal(how=kept.how, policies=kept.names)
    keys = [] if kind == "role" else (_find(admin, iam.list_access_keys, **params) or {}).get("AccessKeyMetadata", [])
    keys = sorted(keys, key=lambda key: (str(key.get("CreateDate", "")), key["AccessKeyId"]))
    principal = reply[kind.capitalize()]
    return CurrentPrincipal(
        arn=principal["Arn"],
        how=kept.how,
        policies=kept.names,
        policy=kept.document,
        trust=principal.get("AssumeRolePolicyDocument"),
        keys=tuple(key["AccessKeyId"] for key in keys),
    )


def read_bucket_policy(admin: Side) -> Document | None:
    """Read the policy of `admin`'s bucket; None if it has none. Raises RefusedError if it cannot be read."""
    reply = _find(admin, botocore_client(admin).get_bucket_policy, Bucket=admin.bucket)
    if reply is None:
        return None
    policy: Document = json.loads(reply["Policy"])
    return policy


def read_account(admin: Side) -> str:
    """Return the ID of the account that `admin` belongs to. Raises RefusedError if neither STS nor IAM says it."""
    with refuse_service_errors(admin, _WAY_OUT):
        try:
            return str(account_client(admin, "sts").get_caller_identity().get("Account", ""))
        except ClientError as error:
            if not is_unsupported(error):
                raise
        # Ceph has no GetCallerIdentity; an ARN names the account
        return str(account_client(admin, "iam").get_user()["User"]["Arn"].split(":")[4])


def _find(admin: Side, request: Callable[..., Any], **params: str) -> Any:
    """Return the reply; None if what is requested does not exist."""
    with refuse_service_errors(admin, _WAY_OUT):
        try:
            return request(**params)
        except ClientError as error:
            if error_code(error) not in _NOT_FOUND:
                raise
    return None

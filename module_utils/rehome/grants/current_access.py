"""Read what IAM and the source bucket grant now."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ..config.settings import Side
from ..s3.endpoint.botocore import account_client, botocore_client
from .managed_policy import Kind, attached_policies, name_params, own_policies, read_document
from .policy import Document
from .service_errors import error_code, refuse_service_errors

_NOT_FOUND = ("NoSuchEntity", "NoSuchEntityException", "NoSuchBucketPolicy")

_WAY_OUT = (
    "Give it an administrator's credentials; or, if others manage rights, set rehome_grants_principals to document"
)


@dataclass(frozen=True, slots=True)
class CurrentPrincipal:
    """A principal as it is in IAM.

    arn: None if there is no principal of this name
    policies: names of the policies that were created for it, attached or not
    policy: the content of the one that is attached
    keys: IDs of its access keys, the oldest first
    """

    arn: str | None = None
    policies: tuple[str, ...] = ()
    policy: Document | None = None
    trust: Document | None = None
    keys: tuple[str, ...] = ()


def read_principal(admin: Side, kind: Kind, name: str) -> CurrentPrincipal:
    """Read a user or role of IAM, and its policy. Raises RefusedError if the administrator has no right to."""
    iam = account_client(admin, "iam")
    params = name_params(kind, name)
    own = _find(admin, lambda: own_policies(iam, name)) or {}
    reply = _find(admin, getattr(iam, f"get_{kind}"), **params)
    if reply is None:
        return CurrentPrincipal(policies=tuple(own))
    arns = [arn for arn in _find(admin, lambda: attached_policies(iam, kind, name)) or () if arn in own.values()]
    policy = _find(admin, lambda: read_document(iam, arns[0])) if arns else None
    keys = [] if kind == "role" else (_find(admin, iam.list_access_keys, **params) or {}).get("AccessKeyMetadata", [])
    keys = sorted(keys, key=lambda key: (str(key.get("CreateDate", "")), key["AccessKeyId"]))
    principal = reply[kind.capitalize()]
    return CurrentPrincipal(
        arn=principal["Arn"],
        policies=tuple(own),
        policy=policy,
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
    """Return the ID of the account that `admin` belongs to. Raises RefusedError if STS does not return it."""
    return str((_find(admin, account_client(admin, "sts").get_caller_identity) or {}).get("Account", ""))


def _find(admin: Side, request: Callable[..., Any], **params: str) -> Any:
    """Return the reply; None if what is requested does not exist."""
    with refuse_service_errors(admin, _WAY_OUT):
        try:
            return request(**params)
        except ClientError as error:
            if error_code(error) not in _NOT_FOUND:
                raise
    return None

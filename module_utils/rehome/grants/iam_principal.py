"""Change principals of IAM where amazon.aws calls operations that many other services lack."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..config.settings import Side
from ..s3.endpoint.botocore import account_client
from .managed_policy import Kind
from .policy import Document
from .principal_policy import delete_policies, set_policy
from .service_errors import refuse_service_errors

_WAY_OUT = "Give it credentials that may manage IAM's principals"


def update_principal(admin: Side, kind: Kind, name: str, policy: Document, without_keys: Sequence[str]) -> list[str]:
    """Set the principal's policy, and delete the access keys `without_keys`.

    Returns the actions that the service does not know, and that the policy is without. Raises RefusedError.
    """
    with refuse_service_errors(admin, _WAY_OUT):
        iam = account_client(admin, "iam")
        unknown = set_policy(iam, kind, name, policy)
        for key in without_keys:
            _delete_key(iam, name, key)
    return unknown


def remove_principal(admin: Side, kind: Kind, name: str) -> None:
    """Delete the principal, its policy and its access keys.

    IAM refuses to delete a principal that has other policies or groups. Raises RefusedError then, too.
    """
    with refuse_service_errors(admin, _WAY_OUT):
        iam = account_client(admin, "iam")
        delete_policies(iam, kind, name)
        with suppress(iam.exceptions.NoSuchEntityException):
            if kind == "user":
                for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
                    _delete_key(iam, name, key["AccessKeyId"])
                iam.delete_user(UserName=name)
            else:
                iam.delete_role(RoleName=name)


def _delete_key(iam: Any, name: str, key: str) -> None:
    with suppress(iam.exceptions.NoSuchEntityException):
        iam.delete_access_key(UserName=name, AccessKeyId=key)

"""What is done to a principal of IAM where amazon.aws needs more of a service than many have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..config.settings import Side
from ..errors import Finding, RefusedError
from ..s3.endpoint.botocore import account_client
from .managed_policy import Kind, give_policy, take_policies
from .policy import Document


def keep_principal(admin: Side, kind: Kind, name: str, policy: Document, without_keys: Sequence[str]) -> None:
    """Give the principal `name` its policy, and delete those access keys. Raises RefusedError."""
    with _telling(admin):
        iam = account_client(admin, "iam")
        give_policy(iam, kind, name, policy)
        for key in without_keys:
            _delete_key(iam, name, key)


def remove_principal(admin: Side, kind: Kind, name: str) -> None:
    """Delete the principal with its policy and its access keys. What others gave it stands against it.

    Raises RefusedError.
    """
    with _telling(admin):
        iam = account_client(admin, "iam")
        take_policies(iam, kind, name)
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


@contextmanager
def _telling(admin: Side) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        problem = f"{error.operation_name} was refused ({said.get('Code')}: {str(said.get('Message')).rstrip('.')})"
        raise RefusedError([_finding(admin, problem)]) from error
    except BotoCoreError as error:
        raise RefusedError([_finding(admin, f"its service cannot be asked ({error})")]) from error


def _finding(admin: Side, problem: str) -> Finding:
    return Finding(admin.setting, admin.endpoint_url, problem, "Give it credentials that may keep IAM's principals")

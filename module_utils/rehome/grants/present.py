"""What IAM and the source's bucket hold now."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..config.settings import Side
from ..errors import Finding, RefusedError
from ..s3.endpoint.botocore import account_client, botocore_client
from .managed_policy import Kind, attached, document_of, policies_of
from .policy import Document


@dataclass(frozen=True, slots=True)
class Present:
    """A principal as it is.

    arn: None where there is none of this name
    policies: the names of those that were made for it, whether it has them or not
    policy: what the one says that it has
    keys: its access keys, the oldest first
    """

    arn: str | None = None
    policies: tuple[str, ...] = ()
    policy: Document | None = None
    trust: Document | None = None
    keys: tuple[str, ...] = ()


def read_principal(admin: Side, kind: Kind, name: str) -> Present:
    """A user or role of IAM, and its policy. Raises RefusedError where the administrator may not look."""
    iam = account_client(admin, "iam")
    named = {f"{kind.capitalize()}Name": name}
    ours = _found(admin, lambda: policies_of(iam, name)) or {}
    about = _found(admin, getattr(iam, f"get_{kind}"), **named)
    if about is None:
        return Present(policies=tuple(ours))
    held = [arn for arn in _found(admin, lambda: attached(iam, kind, name)) or () if arn in ours.values()]
    policy = _found(admin, lambda: document_of(iam, held[0])) if held else None
    keys = [] if kind == "role" else (_found(admin, iam.list_access_keys, **named) or {}).get("AccessKeyMetadata", [])
    ordered = sorted(keys, key=lambda key: (str(key.get("CreateDate", "")), key["AccessKeyId"]))
    return Present(
        arn=about[kind.capitalize()]["Arn"],
        policies=tuple(ours),
        policy=policy,
        trust=about[kind.capitalize()].get("AssumeRolePolicyDocument"),
        keys=tuple(key["AccessKeyId"] for key in ordered),
    )


def read_bucket_policy(admin: Side) -> Document | None:
    """The policy of `admin`'s bucket; None where it has none. Raises RefusedError where it may not be read."""
    reply = _found(admin, botocore_client(admin).get_bucket_policy, Bucket=admin.bucket)
    if reply is None:
        return None
    found: Document = json.loads(reply["Policy"])
    return found


def read_account(admin: Side) -> str:
    """The number of the account that `admin` belongs to."""
    return str((_found(admin, account_client(admin, "sts").get_caller_identity) or {}).get("Account", ""))


def _found(admin: Side, ask: Callable[..., Any], **names: str) -> Any:
    try:
        return ask(**names)
    except ClientError as error:
        code, message = (str(error.response.get("Error", {}).get(part, "")) for part in ("Code", "Message"))
        if code in ("NoSuchEntity", "NoSuchEntityException", "NoSuchBucketPolicy"):
            return None
        problem = f"{error.operation_name} was refused ({code}: {message.rstrip('.')})"
    except BotoCoreError as error:
        problem = f"its service cannot be asked ({error})"
    raise RefusedError(
        [
            Finding(
                admin.setting,
                admin.endpoint_url,
                problem,
                "Give it an administrator's credentials; or, where others manage rights, "
                "set rehome_grants_principals to document",
            )
        ]
    )

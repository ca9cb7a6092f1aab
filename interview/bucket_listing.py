"""Look into a service and a bucket, in a few bounded requests: buckets, folders, and how much is under a prefix."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from rehome.config.settings import Side
from rehome.errors import RefusedError
from rehome.report.lines import size
from rehome.s3.endpoint.botocore import botocore_client
from rehome.s3.errors import DENIED_CODES
from rehome.s3.probe.reachable import explain_error

T = TypeVar("T")

PAGE = 1_000
"""Keys of one listing, the most that S3 returns."""

MOST_FOLDERS = 15
"""Folders of which the objects are counted: one request each."""

_SOON = Config(connect_timeout=4, read_timeout=9, retries={"mode": "standard", "total_max_attempts": 2})

_NO_RIGHT = DENIED_CODES | {"NotImplemented", "MethodNotAllowed", "501", "405"}
"""What services say that have no list of buckets, or not for these credentials."""

_UNNAMED = "rehome"
"""The bucket of a side before one is chosen; no request is about it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The first page of what is under a prefix.

    more: there is more than this
    suffixes: the keys after the prefix
    """

    prefix: str
    objects: int
    bytes: int
    more: bool
    suffixes: tuple[str, ...]

    @property
    def words(self) -> str:
        """How much there is, with `+` where there is more."""
        plus = "+" if self.more else ""
        noun = "object" if self.objects == 1 and not self.more else "objects"
        return f"{self.objects:,}{plus} {noun}, {size(self.bytes)}{plus}" if self.objects else "no objects"


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders under a prefix, as a listing with the delimiter `/` has them. more: there are further ones"""

    prefixes: tuple[str, ...]
    more: bool


def buckets_of(side: Side) -> list[str] | None:
    """Return the names of the buckets of these credentials; None if they may not list them.

    Raises RefusedError if the service cannot be reached, or does not know the credentials.
    """
    client = botocore_client(_with_bucket(side), _SOON)
    try:
        return [str(bucket["Name"]) for bucket in client.list_buckets().get("Buckets", [])]
    except ClientError as error:
        if str(error.response.get("Error", {}).get("Code", "")) in _NO_RIGHT:
            return None
        raise RefusedError([explain_error(side, str(client.meta.endpoint_url), error)]) from None
    except BotoCoreError as error:
        raise RefusedError([explain_error(side, str(client.meta.endpoint_url), error)]) from None


def may_not_list(side: Side) -> bool:
    """Return whether the bucket refuses to be listed as a whole, which says nothing about a prefix of it."""
    client = botocore_client(side, _SOON)
    try:
        client.list_objects_v2(Bucket=side.bucket, MaxKeys=1)
    except ClientError as error:
        return str(error.response.get("Error", {}).get("Code", "")) in DENIED_CODES
    except BotoCoreError:
        return False
    return False


def folders_of(side: Side, prefix: str) -> Folders:
    """Return the folders under a prefix. Raises RefusedError if it cannot be listed."""
    page = _asked(
        side, lambda client: client.list_objects_v2(Bucket=side.bucket, Prefix=prefix, Delimiter="/", MaxKeys=PAGE)
    )
    prefixes = [str(one["Prefix"]) for one in page.get("CommonPrefixes", [])]
    return Folders(tuple(prefixes[:MOST_FOLDERS]), bool(page.get("IsTruncated")) or len(prefixes) > MOST_FOLDERS)


def measure(side: Side, prefix: str) -> Measured:
    """Return how much is under a prefix, as far as one page goes. Raises RefusedError if it cannot be listed."""
    page = _asked(side, lambda client: client.list_objects_v2(Bucket=side.bucket, Prefix=prefix, MaxKeys=PAGE))
    found = page.get("Contents", [])
    return Measured(
        prefix,
        len(found),
        sum(int(one["Size"]) for one in found),
        bool(page.get("IsTruncated")),
        tuple(str(one["Key"])[len(prefix) :] for one in found),
    )


def measure_all(side: Side, prefixes: Sequence[str]) -> list[Measured]:
    """Return how much is under each of some prefixes, several at once. Raises RefusedError, as `measure`."""
    with ThreadPoolExecutor(max_workers=6) as pool:
        return list(pool.map(lambda prefix: measure(side, prefix), prefixes))


def credentials_found(profile: str | None = None) -> str | None:
    """Return in words where AWS's own chain finds credentials; None if it finds none."""
    session = botocore.session.Session(profile=profile)
    try:
        found = session.get_credentials()
    except BotoCoreError:
        return None
    if found is None:
        return None
    named = profile or session.get_config_variable("profile") or "default"
    return {
        "env": "AWS_ACCESS_KEY_ID of the environment",
        "shared-credentials-file": f"profile {named} of ~/.aws/credentials",
        "config-file": f"profile {named} of ~/.aws/config",
        "custom-process": f"the credential process of profile {named}",
        "sso": f"the single sign-on of profile {named}",
        "assume-role": f"the role of profile {named}",
        "assume-role-with-web-identity": "a web identity's role",
        "container-role": "the container's role",
        "iam-role": "the instance's role",
    }.get(str(found.method), f"AWS's chain ({found.method})")


def profiles() -> list[str]:
    """Return the profiles of the AWS configuration files."""
    try:
        return sorted(botocore.session.Session().available_profiles)
    except BotoCoreError:
        return []


def configured_region() -> str | None:
    """Return the region of the AWS configuration."""
    try:
        found = botocore.session.Session().get_config_variable("region")
    except BotoCoreError:
        return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return str(found) if found else None


def _asked(side: Side, request: Callable[[Any], T]) -> T:
    client = botocore_client(side, _SOON)
    try:
        return request(client)
    except (ClientError, BotoCoreError) as error:
        raise RefusedError([explain_error(side, str(client.meta.endpoint_url), error)]) from None


def _with_bucket(side: Side) -> Side:
    return side if side.bucket else replace(side, bucket=_UNNAMED)

"""Resolve the endpoint of a side's bucket: from the settings alone if they suffice, else by botocore."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from ...config.settings import Side
from ..transport.endpoint import DEFAULT_PORT, DEFAULT_REGION, Credentials, Endpoint
from ..transport.proxy import find_proxy
from ..transport.tls import tls_of

_CA_BUNDLE = "AWS_CA_BUNDLE"
_HANDLED_VARIABLES = {
    _CA_BUNDLE,
    # without effect if the settings have keys
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_EC2_METADATA_DISABLED",
}

_LAST_PORT = 65_535
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_plain_url = re.compile(
    r"(?!.{256})(?P<scheme>https?)://"
    rf"(?P<host>{_LABEL}(\.{_LABEL})*)(:(?P<port>[1-9][0-9]{{0,4}}))?(?P<path>(/[A-Za-z0-9_-]+)*)/?"
).fullmatch
_is_plain_bucket = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]").fullmatch
_is_plain_region = re.compile(rf"(?![0-9]){_LABEL}").fullmatch


def resolve(side: Side) -> Endpoint:
    """Return the endpoint of `side`'s bucket, as botocore would address it. Sends no request to S3.

    Keys in the settings precede the profile, and that precedes botocore's whole chain (which may send requests to an
    instance's metadata service). Raises RefusedError if credentials, profile, endpoint, proxy or CA bundle are
    unusable.
    """
    endpoint = resolve_from_settings(side)
    if endpoint is None:
        # To import botocore and load its models takes as long as three thousand copies.
        from .botocore import resolve_with_botocore  # noqa: PLC0415

        endpoint = resolve_with_botocore(side)
    return endpoint


def resolve_from_settings(side: Side) -> Endpoint | None:
    """Return the endpoint of a bucket at a service other than AWS, with its keys in the settings.

    Returns None, which leaves it to botocore, if anything is missing, unusual or wrong, or AWS's own configuration may
    matter. Raises RefusedError if the proxy or the CA bundle is unusable.
    """
    if not (side.endpoint_url and side.access_key and side.secret_key) or side.addressing_style == "virtual":
        return None
    region = side.region or DEFAULT_REGION
    if side.fips or side.dualstack or not (_is_plain_bucket(side.bucket) and _is_plain_region(region)):
        return None
    url = _plain_url(side.endpoint_url)
    if url is None or _is_aws_configured():
        return None
    credentials = Credentials(side.access_key, side.secret_key, side.session_token)
    endpoint = Endpoint(
        scheme=url["scheme"],
        host=url["host"],
        port=int(url["port"] or DEFAULT_PORT[url["scheme"]]),
        base_path=f"{url['path']}/{side.bucket}",
        bucket=side.bucket,
        region=region,
        tls=tls_of(side, side.ca_bundle or os.environ.get(_CA_BUNDLE)) if url["scheme"] == "https" else None,
        credentials=lambda: credentials,
        requester_pays=side.requester_pays,
        expected_owner=side.expected_bucket_owner,
        proxy=find_proxy(side.endpoint_url),
    )
    return None if endpoint.is_aws or endpoint.port > _LAST_PORT else endpoint


def _is_aws_configured() -> bool:
    """Return whether the environment or ~/.aws may configure botocore further."""
    if any(name.startswith("AWS_") and name not in _HANDLED_VARIABLES for name in os.environ):
        return True
    # Without a home folder, there is no such file.
    with suppress(RuntimeError):
        folder = Path("~/.aws").expanduser()
        return (folder / "config").exists() or (folder / "credentials").exists()
    return False

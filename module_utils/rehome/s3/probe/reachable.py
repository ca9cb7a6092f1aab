"""Whether a bucket can be reached and listed, and if not, why."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)

from ...backoff import longest_pause
from ...codes import Code
from ...config.settings import Side
from ...errors import Finding, RefusedError
from ..endpoint.botocore import botocore_client
from ..errors import CREDENTIAL_CODES, DENIED_CODES, SKEW_CODE, TEMPORARY_CODES, THROTTLE_CODES, WRONG_REGION_CODES

_TIMEOUTS = Config(connect_timeout=4, read_timeout=9, retries={"mode": "standard", "total_max_attempts": 1})
"""A wrong endpoint must be reported within seconds, so only S3's own temporary errors are retried."""

_RETRIES = 2
_FIRST_PAUSE_S = 1.0


def check_bucket(side: Side) -> list[Finding]:
    """Return why `side`'s prefix cannot be listed: one finding, or none.

    Sends one ListObjectsV2 for one key, and retries it only after temporary errors of S3.
    Never raises for what a setting, a server or a network can cause.
    """
    try:
        client = botocore_client(side, _TIMEOUTS)
    except RefusedError as error:
        return list(error.findings)
    url = str(client.meta.endpoint_url)
    try:
        listed = _list_one(client, side)
    except (ClientError, BotoCoreError) as error:
        return [explain_error(side, url, error)]
    return [] if "IsTruncated" in listed or "Name" in listed else [_not_s3(side, url)]


def explain_error(side: Side, url: str, error: ClientError | BotoCoreError) -> Finding:
    """Return why a request about `side`'s bucket, or one that lists, was not answered as it should.

    url: the service's, as botocore addresses it
    """
    return _refusal(side, url, error) if isinstance(error, ClientError) else _no_reply(side, url, error)


def _list_one(client: Any, side: Side) -> dict[str, Any]:
    request: Callable[[], dict[str, Any]] = partial(
        client.list_objects_v2, Bucket=side.bucket, Prefix=side.prefix, MaxKeys=1
    )
    try:
        return request()
    except ClientError as error:
        if not _is_temporary(error):
            raise
    # Imported only now: it takes 15 ms, and hardly any preflight gets here.
    from tenacity import Retrying, retry_if_exception, stop_after_attempt  # noqa: PLC0415

    retrying = Retrying(
        retry=retry_if_exception(_is_temporary),
        stop=stop_after_attempt(_RETRIES),
        # a service that is busy says so, and asks for a pause before the next attempt
        before=lambda state: time.sleep(longest_pause(state.attempt_number, _FIRST_PAUSE_S)),
        reraise=True,
    )
    return retrying(request)


def _is_temporary(error: BaseException) -> bool:
    return isinstance(error, ClientError) and _code(error) in TEMPORARY_CODES


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _refusal(side: Side, url: str, error: ClientError) -> Finding:
    """Return the finding for an error reply of S3, or of another HTTP service."""
    code = _code(error)
    message = str(error.response.get("Error", {}).get("Message", ""))
    if code == "NoSuchBucket":
        return Finding(
            f"{side.setting}.bucket",
            side.bucket,
            f"there is no bucket of this name at {url}",
            f"Correct the name, or {side.setting}.endpoint_url if the bucket is elsewhere",
            Code.NO_BUCKET,
        )
    if code in WRONG_REGION_CODES:
        return _wrong_region(side, error)
    if code in DENIED_CODES:
        return Finding(
            f"{side.setting}.bucket",
            side.bucket,
            f"S3 denies listing {side.prefix or 'it'} ({code}: {message}); the bucket may exist, but these "
            "credentials have no right to see it",
            f"Grant s3:ListBucket on it, or use other credentials ({side.setting}.access_key or .profile)",
            Code.S3_DENIED,
        )
    return _refused_credentials(side, code) or _unexpected_reply(side, url, error, code, message)


def _refused_credentials(side: Side, code: str) -> Finding | None:
    if code == "InvalidAccessKeyId":
        return Finding(
            f"{side.setting}.access_key",
            side.access_key,
            "S3 does not know this access key"
            if side.access_key
            else "S3 does not know the access key that AWS's chain gave",
            f"Correct it, or {side.setting}.endpoint_url if the key belongs to another service",
            Code.S3_CREDENTIALS,
        )
    if code == "SignatureDoesNotMatch":
        return Finding(
            f"{side.setting}.secret_key",
            None,
            "is not the secret of this access key, as S3 finds the signature wrong",
            "Set the secret key that was issued together with the access key",
            Code.S3_CREDENTIALS,
        )
    if code in CREDENTIAL_CODES:
        return Finding(
            f"{side.setting}.session_token",
            None,
            f"is not valid, or no longer ({code})",
            "Get new temporary credentials, and set access key, secret key and token together",
            Code.S3_CREDENTIALS,
        )
    if code == SKEW_CODE:
        return _about_endpoint(
            side,
            side.endpoint_url,
            "S3 refuses the request because this machine's clock is more than 15 minutes off",
            "Set this machine's clock (timedatectl set-ntp true)",
            Code.CLOCK,
        )
    return None


def _wrong_region(side: Side, error: ClientError) -> Finding:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    details: Any = error.response.get("Error", {})
    region = headers.get("x-amz-bucket-region") or details.get("Region")
    return Finding(
        f"{side.setting}.region",
        side.region,
        f"is not the region of bucket {side.bucket}{f', which is in {region}' if region else ''}",
        f"Set {side.setting}.region to {region or 'the region of the bucket'}",
        Code.REGION,
    )


def _unexpected_reply(side: Side, url: str, error: ClientError, code: str, message: str) -> Finding:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status == 400 and url.startswith("http:") and code in ("", "400"):
        return _speaks_tls(side, url)
    if code in THROTTLE_CODES:
        return _about_endpoint(
            side, side.endpoint_url, f"S3 is overloaded ({code})", "Try again later", Code.S3_ANSWERED
        )
    if not code or code == str(status) or (code == "500" and not message.strip(" .")):
        return _not_s3(side, url)
    return Finding(
        f"{side.setting}.bucket",
        side.bucket,
        f"S3 refuses to list it ({code}: {message})",
        "Correct what S3 names",
        Code.S3_ANSWERED,
    )


def _no_reply(side: Side, url: str, error: BotoCoreError) -> Finding:
    """Return the finding if there was no HTTP reply."""
    if isinstance(error, SSLError):
        return _tls_failed(side, url, str(error))
    if isinstance(error, EndpointConnectionError):
        return _not_connected(side, url)
    if isinstance(error, ConnectTimeoutError | ReadTimeoutError):
        what = "no connection" if isinstance(error, ConnectTimeoutError) else "no reply"
        return _about_endpoint(
            side,
            url,
            f"{what} in time",
            "Check the address, and that the network lets this machine reach it (firewall, VPN, route)",
            Code.S3_UNREACHABLE,
        )
    if isinstance(error, ConnectionClosedError):
        return _speaks_tls(side, url) if url.startswith("http:") else _not_s3(side, url)
    return _about_endpoint(
        side, url, f"the bucket cannot be listed ({error})", "Correct what it names", Code.S3_UNREACHABLE
    )


def _not_connected(side: Side, url: str) -> Finding:
    host = urlsplit(url).hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        problem = f"the name {host} cannot be resolved"
        way_out = "Correct the name, or this machine's DNS"
    else:
        problem = "nothing listens there (connection refused)"
        way_out = "Correct the address and port, or start the service"
    return _about_endpoint(side, url, problem, way_out, Code.S3_UNREACHABLE)


def _tls_failed(side: Side, url: str, text: str) -> Finding:
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.rpartition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        return Finding(
            f"{side.setting}.ca_bundle",
            side.ca_bundle,
            f"does not make the certificate of {url} trusted ({reason})",
            "Name the file of the CA that issued it",
            Code.S3_CERTIFICATE,
        )
    return _about_endpoint(
        side,
        url,
        "says https, but what answers there does not speak TLS",
        f"Use {url.replace('https:', 'http:', 1)} if it should be plain HTTP, or the port that has TLS",
        Code.S3_ADDRESS,
    )


def _speaks_tls(side: Side, url: str) -> Finding:
    return _about_endpoint(
        side,
        url,
        "says http, but what answers there is no plain HTTP service, and probably expects TLS",
        f"Use {url.replace('http:', 'https:', 1)} if so, or the address of the S3 service",
        Code.S3_ADDRESS,
    )


def _not_s3(side: Side, url: str) -> Finding:
    return _about_endpoint(
        side,
        url,
        "what answers there is not an S3 service",
        "Name the address of the S3 API itself, not of a console, website or proxy",
        Code.S3_ADDRESS,
    )


def _about_endpoint(side: Side, value: str | None, problem: str, way_out: str, code: Code) -> Finding:
    return Finding(f"{side.setting}.endpoint_url", value, problem, way_out, code)

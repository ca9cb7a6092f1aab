"""What botocore knows: a bucket's endpoint, its credentials, and clients for the rare calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from math import inf
from typing import Any, Literal
from urllib.parse import urlsplit

import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError, ParamValidationError, ProfileNotFound
from botocore.loaders import Loader, create_loader

from ...codes import Code
from ...config.environment_names import ENVIRONMENT_NAMES
from ...config.settings import Side
from ...errors import Finding, RefusedError
from ..errors import NOT_RENEWED, S3StopError
from ..transport.endpoint import DEFAULT_PORT, DEFAULT_REGION, Credentials, Endpoint
from ..transport.proxy import find_proxy
from ..transport.tls import tls_of

_RARE_CALLS = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=60)

_NO_EXTRAS = Config(request_checksum_calculation="when_required", response_checksum_validation="when_required")
"""botocore would send checksums with every upload, which some services reject (Backblaze B2, Google)."""

_REFRESH_PAUSE = 10.0
"""Seconds between two attempts to refresh credentials that expire soon."""


def resolve_with_botocore(side: Side) -> Endpoint:
    """Return the endpoint of `side`'s bucket as botocore addresses it. Raises RefusedError, as `resolve`."""
    session = _session(side)
    return _endpoint_of(side, session, _CredentialProvider(side, session))


def botocore_client(side: Side, config: Config | None = None) -> Any:
    """Return a botocore client of S3 for the rare calls: 5 attempts, 5 s to connect, 60 s to read.

    config: overrides these. The client's methods are made at run time, hence the type.

    Raises RefusedError, as `resolve`.
    """
    return _client(side, _session(side), config or Config())


def account_client(side: Side, service: Literal["iam", "sts"]) -> Any:
    """Return a botocore client of the service that has the account's users. Raises RefusedError, as `resolve`."""
    return _create(side, _session(side), service, _RARE_CALLS)


def _create(side: Side, session: botocore.session.Session, service: str, config: Config) -> Any:
    with _refusing(side):
        return session.create_client(
            service,
            region_name=side.region or session.get_config_variable("region") or DEFAULT_REGION,
            endpoint_url=side.endpoint_url,
            verify=side.ca_bundle if side.verify_tls else False,
            config=_NO_EXTRAS.merge(config),
        )


def _endpoint_of(side: Side, session: botocore.session.Session, provider: _CredentialProvider) -> Endpoint:
    client = _client(side, session, Config())
    url = _listing_url(side, client)
    address = urlsplit(url)
    bundle: str | None = side.ca_bundle or session.get_config_variable("ca_bundle")
    found = Endpoint(
        scheme=address.scheme,
        host=address.hostname or "",
        port=address.port or DEFAULT_PORT[address.scheme],
        base_path=address.path.rstrip("/"),
        bucket=side.bucket,
        region=client.meta.region_name,
        tls=tls_of(side, bundle) if address.scheme == "https" else None,
        credentials=provider.current,
        requester_pays=side.requester_pays,
        expected_owner=side.expected_bucket_owner,
        proxy=find_proxy(url),
        renew=None if side.access_key else provider.renew,
    )
    if not found.is_aws:
        return found
    return replace(found, relocate=partial(_relocated, side, session, provider))


def _relocated(side: Side, session: botocore.session.Session, provider: _CredentialProvider, region: str) -> Endpoint:
    return _endpoint_of(replace(side, region=region), session, provider)


def _session(side: Side) -> botocore.session.Session:
    """Return a session that has credentials. Raises RefusedError if there are none."""
    session = botocore.session.Session(profile=None if side.access_key else side.profile)
    if side.access_key and side.secret_key:
        session.set_credentials(side.access_key, side.secret_key, side.session_token)
    with _refusing(side):
        found = session.get_credentials()
        session.register_component("data_loader", _models(session.get_config_variable("data_path")))
    if found is None:
        raise RefusedError.of(
            f"{side.setting}.access_key",
            None,
            "no credentials were found, in the settings or in AWS's chain (environment, profile, role)",
            f"Set {side.setting}.access_key and .secret_key, or {side.setting}.profile, "
            f"or export {_own_names(side)}AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            code=Code.NO_S3_CREDENTIALS,
        )
    return session


def missing_credentials(side: Side) -> list[Finding]:
    """Return why a side has no credentials; empty if it has some, whatever they are worth."""
    try:
        _session(side)
    except RefusedError as refusal:
        return list(refusal.findings)
    return []


def _own_names(side: Side) -> str:
    pair = [ENVIRONMENT_NAMES.get(f"{side.setting}.{part}") for part in ("access_key", "secret_key")]
    return f"{' and '.join(names[0] for names in pair if names)}, or " if all(pair) else ""


@cache
def _models(search_path: str | None) -> Loader:
    """Return the loader of botocore's models. To load those of S3 takes longer than a thousand copies."""
    return create_loader(search_path)


def _client(side: Side, session: botocore.session.Session, config: Config) -> Any:
    _refuse_contradiction(side)
    settings = Config(
        signature_version="s3v4", s3={"addressing_style": side.addressing_style}, **_endpoint_variants(side)
    )
    base = _RARE_CALLS.merge(settings).merge(config)

    def create(override: Config) -> Any:
        return _create(side, session, "s3", base.merge(override))

    # Few S3-compatible services have a DNS name for each bucket, so a custom endpoint implies path style.
    path_style = Config(s3={"addressing_style": "path"})
    if side.addressing_style == "auto" and side.endpoint_url:
        return create(path_style)
    client = create(Config())
    if side.addressing_style == "auto" and _is_configured(client, create):
        return create(path_style)
    return client


def _refuse_contradiction(side: Side) -> None:
    """Refuse options that botocore ignores if there is an endpoint: who sets `fips` relies on it."""
    for option, is_set in (("fips", side.fips), ("dualstack", side.dualstack)):
        if is_set and side.endpoint_url:
            problem = f"has no effect together with {side.setting}.endpoint_url"
            way_out = f"Unset one of the two; if AWS has such a host, {side.setting}.endpoint_url may name it"
            raise RefusedError.of(f"{side.setting}.{option}", "true", problem, way_out, code=Code.CONTRADICTION)


def _endpoint_variants(side: Side) -> dict[str, Any]:
    """Return the settings of dual-stack and FIPS endpoints; if unset, botocore's own apply."""
    given = {"use_dualstack_endpoint": side.dualstack, "use_fips_endpoint": side.fips}
    return {option: value for option, value in given.items() if value is not None}


def _listing_url(side: Side, client: Any) -> str:
    """Return the URL of botocore's ListObjectsV2 request, without sending it.

    (A presigned URL would name the global endpoint, not the region's.)
    """
    urls: list[str] = []

    def intercept(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        urls.append(request.url)
        return AWSResponse(request.url, 200, HTTPHeaders(), _EmptyBody())

    client.meta.events.register("before-send.s3.ListObjectsV2", intercept)
    with _refusing(side):
        client.list_objects_v2(Bucket=side.bucket)
    return urls[0]


class _EmptyBody:
    def stream(self) -> Iterator[bytes]:
        return iter(())


def _is_configured(client: Any, create: Callable[[Config], Any]) -> bool:
    """Return whether the endpoint is from AWS_ENDPOINT_URL or ~/.aws/config."""
    options: dict[str, Any] = {"ignore_configured_endpoint_urls": True}
    plain = create(Config(**options)).meta.endpoint_url
    return bool(client.meta.endpoint_url != plain)


class _refusing:  # noqa: N801 - reads as a statement
    """Turns botocore's errors into a RefusedError that names the setting."""

    def __init__(self, side: Side) -> None:
        self._side = side

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, BotoCoreError | ValueError):
            raise RefusedError([_finding(self._side, error)]) from None


def _finding(side: Side, error: Exception) -> Finding:
    if isinstance(error, ProfileNotFound):
        return Finding(
            f"{side.setting}.profile",
            side.profile,
            "is not a profile in ~/.aws/config or ~/.aws/credentials"
            if side.profile
            else f"AWS_PROFILE names a profile that does not exist ({error})",
            "Run `aws configure list-profiles` for the known ones",
            Code.NO_S3_CREDENTIALS,
        )
    if isinstance(error, ParamValidationError):
        return Finding(
            f"{side.setting}.bucket",
            side.bucket,
            "is not a valid bucket name",
            "Use the name as S3 shows it, without s3:// and without a prefix",
            Code.UNUSABLE_VALUE,
        )
    if "endpoint" in str(error).lower():
        return Finding(
            f"{side.setting}.endpoint_url",
            side.endpoint_url,
            "is not the URL of a service",
            "Write it as https://host or http://host:port",
            Code.UNUSABLE_VALUE,
        )
    if isinstance(error, ValueError):
        return Finding(
            f"{side.setting}.region",
            side.region,
            "is not the name of a region",
            "Write it as AWS does, such as eu-central-1",
            Code.UNUSABLE_VALUE,
        )
    return Finding(
        side.setting, None, f"botocore cannot use it ({error})", "Correct what it names", Code.NO_S3_CREDENTIALS
    )


class _CredentialProvider:
    """The credentials of a side, as botocore's chain finds them."""

    def __init__(self, side: Side, session: botocore.session.Session) -> None:
        self._side = side
        self._found: Any = session.get_credentials()
        self._current: Credentials | None = None
        self._refreshing: threading.Thread | None = None
        self._next_refresh = -inf

    def current(self) -> Credentials:
        """Return the current credentials, and refresh those that expire soon in the background.

        Waits for other services only the first time. Raises S3StopError.
        """
        current = self._current
        if current is None:
            current = self._current = self._freeze(self._found)
        elif isinstance(self._found, RefreshableCredentials) and self._found.refresh_needed():
            self._refresh()
        return current

    def renew(self) -> Credentials:
        """Return new credentials: read the files and assume the roles again. Raises S3StopError."""
        try:
            found = _session(self._side).get_credentials()
        except RefusedError as error:
            raise self._failure(error) from None
        self._current = self._freeze(found)
        self._found = found
        return self._current

    def _refresh(self) -> None:
        """Refresh in a thread while requests go on: botocore begins 15 minutes before the credentials expire."""
        now = time.monotonic()
        if now < self._next_refresh or (self._refreshing is not None and self._refreshing.is_alive()):
            return
        self._next_refresh = now + _REFRESH_PAUSE
        self._refreshing = threading.Thread(target=self._refresh_now, daemon=True)
        self._refreshing.start()

    def _refresh_now(self) -> None:
        found = self._found
        try:
            fresh = self._freeze(found)
        except S3StopError:
            return  # There is time for another attempt; once there is none, S3 reports it.
        if found is self._found:
            self._current = fresh

    def _freeze(self, found: Any) -> Credentials:
        try:
            frozen = found.get_frozen_credentials()
        except BotoCoreError as error:
            raise self._failure(error) from None
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    def _failure(self, error: Exception) -> S3StopError:
        return S3StopError(0, NOT_RENEWED, f"{self._side.setting}: {error}", None, verb="sign for")

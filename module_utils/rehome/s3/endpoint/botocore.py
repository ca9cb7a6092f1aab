"""Where a bucket is, and who asks: botocore's answers, asked once."""

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

from ...config.settings import Side
from ...errors import Finding, RefusedError
from ..errors import S3StopError
from ..transport.endpoint import DEFAULT_PORT, DEFAULT_REGION, Credentials, Endpoint
from ..transport.proxy import find_proxy
from ..transport.tls import tls_of

_REFRESH_PAUSE = 10.0
"""Seconds between two tries to refresh credentials that expire soon."""


def resolve_with_botocore(side: Side) -> Endpoint:
    """`side`'s bucket as botocore addresses it. Raises RefusedError as `resolve` does."""
    session = _session(side)
    return _placed(side, session, _Provider(side, session))


def botocore_client(side: Side, config: Config | None = None) -> Any:
    """A botocore client for the rare calls: 5 attempts in all, 5 s to connect, 60 s to read.

    config: laid over these. Its methods are made at run time, so its type says nothing.
    Raises RefusedError as `resolve` does.
    """
    return _client(side, _session(side), config or Config())


def account_client(side: Side, service: Literal["iam", "sts"]) -> Any:
    """A botocore client for the service that keeps the account's users. Raises RefusedError as `resolve` does."""
    session = _session(side)
    with _refusing(side):
        return session.create_client(
            service,
            region_name=side.region or session.get_config_variable("region") or DEFAULT_REGION,
            endpoint_url=side.endpoint_url,
            verify=side.ca_bundle if side.verify_tls else False,
            config=Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=60),
        )


def _placed(side: Side, session: botocore.session.Session, provider: _Provider) -> Endpoint:
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


def _relocated(side: Side, session: botocore.session.Session, provider: _Provider, region: str) -> Endpoint:
    return _placed(replace(side, region=region), session, provider)


def _session(side: Side) -> botocore.session.Session:
    """A session that has credentials."""
    session = botocore.session.Session(profile=None if side.access_key else side.profile)
    if side.access_key and side.secret_key:
        session.set_credentials(side.access_key, side.secret_key, side.session_token)
    with _refusing(side):
        found = session.get_credentials()
        session.register_component("data_loader", _models(session.get_config_variable("data_path")))
    if found is None:
        raise RefusedError(
            [
                Finding(
                    f"{side.setting}.access_key",
                    None,
                    "no credentials were found, here or in AWS's chain (environment, profile, role)",
                    f"Set {side.setting}.access_key and .secret_key, or {side.setting}.profile, "
                    "or export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                )
            ]
        )
    return session


@cache
def _models(search_path: str | None) -> Loader:
    """botocore's models, read once: to read those of S3 and its endpoints takes longer than a thousand copies."""
    return create_loader(search_path)


def _client(side: Side, session: botocore.session.Session, config: Config) -> Any:
    _refuse_contradiction(side)
    explicit = Config(
        signature_version="s3v4",
        retries={"mode": "standard", "total_max_attempts": 5},
        connect_timeout=5,
        read_timeout=60,
        s3={"addressing_style": side.addressing_style},
        **_variants(side),
    ).merge(config)

    def create(more: Config) -> Any:
        with _refusing(side):
            return session.create_client(
                "s3",
                region_name=side.region or session.get_config_variable("region") or DEFAULT_REGION,
                endpoint_url=side.endpoint_url,
                verify=side.ca_bundle if side.verify_tls else False,
                config=explicit.merge(more),
            )

    # Few S3-compatible services have a DNS name for each bucket, so a custom endpoint means path style.
    path_style = Config(s3={"addressing_style": "path"})
    if side.addressing_style == "auto" and side.endpoint_url:
        return create(path_style)
    client = create(Config())
    if side.addressing_style == "auto" and _is_configured(client, create):
        return create(path_style)
    return client


def _refuse_contradiction(side: Side) -> None:
    """botocore ignores these where an endpoint is given, and whoever sets `fips` relies on it."""
    for option, chosen in (("fips", side.fips), ("dualstack", side.dualstack)):
        if chosen and side.endpoint_url:
            problem = f"has no effect on an endpoint that is given ({side.setting}.endpoint_url)"
            way_out = f"Unset one of the two; where Amazon has such a host, {side.setting}.endpoint_url may name it"
            raise RefusedError([Finding(f"{side.setting}.{option}", "true", problem, way_out)])


def _variants(side: Side) -> dict[str, Any]:
    """What the settings say about dual-stack and FIPS endpoints; where they say nothing, botocore's own do."""
    given = {"use_dualstack_endpoint": side.dualstack, "use_fips_endpoint": side.fips}
    return {option: value for option, value in given.items() if value is not None}


def _listing_url(side: Side, client: Any) -> str:
    """The URL that botocore would list the bucket at; nothing is sent.

    (A presigned URL would name the global endpoint, not the region's.)
    """
    asked: list[str] = []

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        asked.append(request.url)
        return AWSResponse(request.url, 200, HTTPHeaders(), _NoBody())

    client.meta.events.register("before-send.s3.ListObjectsV2", answer)
    with _refusing(side):
        client.list_objects_v2(Bucket=side.bucket)
    return asked[0]


class _NoBody:
    def stream(self) -> Iterator[bytes]:
        return iter(())


def _is_configured(client: Any, create: Callable[[Config], Any]) -> bool:
    """Whether the endpoint comes from what botocore reads (AWS_ENDPOINT_URL, ~/.aws/config)."""
    options: dict[str, Any] = {"ignore_configured_endpoint_urls": True}
    plain = create(Config(**options)).meta.endpoint_url
    return bool(client.meta.endpoint_url != plain)


class _refusing:  # noqa: N801 - reads as a statement
    """Turns what botocore objects to into the finding that names the setting."""

    def __init__(self, side: Side) -> None:
        self._side = side

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, BotoCoreError | ValueError):
            raise RefusedError([_objection(self._side, error)]) from None


def _objection(side: Side, error: Exception) -> Finding:
    if isinstance(error, ProfileNotFound):
        return Finding(
            f"{side.setting}.profile",
            side.profile,
            "is not a profile in ~/.aws/config or ~/.aws/credentials"
            if side.profile
            else f"AWS_PROFILE names a profile that does not exist ({error})",
            "Run `aws configure list-profiles` for the known ones",
        )
    if isinstance(error, ParamValidationError):
        return Finding(
            f"{side.setting}.bucket",
            side.bucket,
            "cannot be the name of a bucket",
            "Use the name as S3 shows it, without s3:// and without a prefix",
        )
    if "endpoint" in str(error).lower():
        return Finding(
            f"{side.setting}.endpoint_url",
            side.endpoint_url,
            "is not the URL of a service",
            "Write it as https://host or http://host:port",
        )
    if isinstance(error, ValueError):
        return Finding(
            f"{side.setting}.region",
            side.region,
            "is not the name of a region",
            "Write it as AWS does, such as eu-central-1",
        )
    return Finding(side.setting, None, f"botocore cannot use it ({error})", "Correct what it names")


class _Provider:
    """The credentials of a side, as botocore finds them."""

    def __init__(self, side: Side, session: botocore.session.Session) -> None:
        self._side = side
        self._found: Any = session.get_credentials()
        self._current: Credentials | None = None
        self._refreshing: threading.Thread | None = None
        self._next_refresh = -inf

    def current(self) -> Credentials:
        """Waits for other services only the first time. Raises S3StopError."""
        current = self._current
        if current is None:
            current = self._current = self._freeze(self._found)
        elif isinstance(self._found, RefreshableCredentials) and self._found.refresh_needed():
            self._refresh()
        return current

    def renew(self) -> Credentials:
        """Begin anew: files are read again, roles assumed again. Raises S3StopError."""
        try:
            found = _session(self._side).get_credentials()
        except RefusedError as error:
            raise self._failure(error) from None
        self._current = self._freeze(found)
        self._found = found
        return self._current

    def _refresh(self) -> None:
        """Let a thread ask, as requests go on meanwhile: botocore begins 15 minutes before the credentials expire."""
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
            return  # There is time left for another try; S3 says so when there is none.
        if found is self._found:
            self._current = fresh

    def _freeze(self, found: Any) -> Credentials:
        try:
            frozen = found.get_frozen_credentials()
        except BotoCoreError as error:
            raise self._failure(error) from None
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    def _failure(self, error: Exception) -> S3StopError:
        return S3StopError(0, "CredentialsNotRefreshed", f"{self._side.setting}: {error}", None, verb="sign for")

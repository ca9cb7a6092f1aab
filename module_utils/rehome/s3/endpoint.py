"""Where a bucket is, and who asks: botocore's answers, asked once, as plain values."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ParamValidationError, ProfileNotFound

from ..errors import Finding, RefusedError
from ..settings import Side
from .errors import S3StopError

_DEFAULT_REGION = "us-east-1"
_DEFAULT_PORT = {"http": 80, "https": 443}
_AWS_SUFFIXES = (".amazonaws.com", ".amazonaws.com.cn")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request is signed with."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A bucket's address.

    base_path: the encoded path that leads to the bucket: `/bucket` (path style) or empty (virtual host)
    tls: None for plain HTTP
    credentials: the current ones; refreshes them where they expire
    requester_pays: whoever asks agrees to pay for it
    expected_owner: the account that must own the bucket
    """

    scheme: str
    host: str
    port: int
    base_path: str
    bucket: str
    region: str
    tls: ssl.SSLContext | None
    credentials: Callable[[], Credentials]
    requester_pays: bool = False
    expected_owner: str | None = None

    @property
    def host_header(self) -> str:
        """The value of the `Host` header, which is part of what is signed."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORT[self.scheme] else f"{host}:{self.port}"

    @property
    def is_aws(self) -> bool:
        """Whether Amazon's own S3 answers here, not a compatible service."""
        return self.host.endswith(_AWS_SUFFIXES)


def resolve(side: Side) -> Endpoint:
    """Find out where `side`'s bucket is, as botocore would address it; asks no S3 server.

    Explicit keys come before the profile, and that before botocore's whole chain (which may ask an instance's
    metadata service). Raises RefusedError where credentials, profile, endpoint or CA bundle are unusable.
    """
    session = _session(side)
    client = _client(side, session, Config())
    address = urlsplit(_listing_url(side, client))
    return Endpoint(
        scheme=address.scheme,
        host=address.hostname or "",
        port=address.port or _DEFAULT_PORT[address.scheme],
        base_path=address.path.rstrip("/"),
        bucket=side.bucket,
        region=client.meta.region_name,
        tls=_tls(side, session) if address.scheme == "https" else None,
        credentials=_provider(side, session),
        requester_pays=side.requester_pays,
        expected_owner=side.expected_bucket_owner,
    )


def botocore_client(side: Side, config: Config | None = None) -> Any:
    """A botocore client for the rare calls: 5 attempts in all, 5 s to connect, 60 s to read.

    config: laid over these. Its methods are made at run time, so its type says nothing.
    Raises RefusedError as `resolve` does.
    """
    return _client(side, _session(side), config or Config())


def _session(side: Side) -> botocore.session.Session:
    """A session that has credentials."""
    session = botocore.session.Session(profile=None if side.access_key else side.profile)
    if side.access_key and side.secret_key:
        session.set_credentials(side.access_key, side.secret_key, side.session_token)
    with _refusing(side):
        found = session.get_credentials()
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


def _client(side: Side, session: botocore.session.Session, config: Config) -> Any:
    explicit = Config(
        signature_version="s3v4",
        retries={"mode": "standard", "total_max_attempts": 5},
        connect_timeout=5,
        read_timeout=60,
        s3={"addressing_style": side.addressing_style},
    ).merge(config)

    def create(more: Config) -> Any:
        with _refusing(side):
            return session.create_client(
                "s3",
                region_name=side.region or session.get_config_variable("region") or _DEFAULT_REGION,
                endpoint_url=side.endpoint_url,
                verify=side.ca_bundle if side.verify_tls else False,
                config=explicit.merge(more),
            )

    client = create(Config())
    if side.addressing_style != "auto" or not _is_custom(client, side, create):
        return client
    # Few S3-compatible services have a DNS name for each bucket, so a custom endpoint means path style.
    return create(Config(s3={"addressing_style": "path"}))


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


def _is_custom(client: Any, side: Side, create: Callable[[Config], Any]) -> bool:
    """Whether the endpoint was chosen, here or in what botocore reads (AWS_ENDPOINT_URL, ~/.aws/config)."""
    if side.endpoint_url:
        return True
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
            "is not a URL that can be asked",
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


def _tls(side: Side, session: botocore.session.Session) -> ssl.SSLContext:
    if not side.verify_tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    bundle: str | None = side.ca_bundle or session.get_config_variable("ca_bundle")
    try:
        return ssl.create_default_context(cafile=bundle)
    except (OSError, ssl.SSLError) as error:
        raise RefusedError(
            [
                Finding(
                    f"{side.setting}.ca_bundle",
                    bundle,
                    f"cannot be read as certificates ({error.strerror or error})",
                    "Name a readable file of CA certificates in PEM form",
                )
            ]
        ) from None


def _provider(side: Side, session: botocore.session.Session) -> Callable[[], Credentials]:
    found: Any = session.get_credentials()

    def current() -> Credentials:
        try:
            frozen = found.get_frozen_credentials()
        except BotoCoreError as error:
            raise S3StopError(0, "CredentialsNotRefreshed", f"{side.setting}: {error}", None, verb="sign for") from None
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    return current

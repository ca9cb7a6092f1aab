"""The address of a bucket, and the credentials that requests are signed with: plain values."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from .proxy import Proxy

DEFAULT_PORT = {"http": 80, "https": 443}
DEFAULT_REGION = "us-east-1"
_AWS_SUFFIXES = (
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".c2s.ic.gov",
    ".cloud.adc-e.uk",
    ".csp.hci.ic.gov",
    ".sc2s.sgov.gov",
)
"""DNS suffixes of AWS's partitions (partitions.json in botocore 1.44)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The keys that a request is signed with."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A bucket's address.

    base_path: the encoded path of the bucket: `/bucket` (path style) or empty (virtual host)
    tls: None for plain HTTP
    credentials: returns the current ones, and has those that expire soon refreshed in the background
    requester_pays: every request accepts the charges of a Requester Pays bucket
    expected_owner: the account that must own the bucket
    proxy: the HTTP proxy to connect through
    renew: returns the newest credentials, after S3 refused the current ones. May take seconds and send requests to
        other services. None: the credentials cannot be renewed. Raises S3StopError.
    relocate: returns the endpoint of the same bucket in another region, on AWS's hosts; takes milliseconds of CPU.
        None: the service is not AWS. Raises RefusedError.
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
    proxy: Proxy | None = None
    renew: Callable[[], Credentials] | None = None
    relocate: Callable[[str], Endpoint] | None = None

    @property
    def url(self) -> str:
        """Scheme, host and port, as messages show them."""
        return f"{self.scheme}://{self.host_header}"

    @property
    def host_header(self) -> str:
        """The value of the `Host` header, which is signed."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORT[self.scheme] else f"{host}:{self.port}"

    @property
    def is_aws(self) -> bool:
        """Whether this is Amazon's own S3, not a compatible service."""
        return self.host.endswith(_AWS_SUFFIXES)

"""AWS Signature Version 4 for S3, in the `Authorization` header, and the encoding of keys that it rests on.

The rules: "Authenticating Requests: Using the Authorization Header", S3 API reference.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from urllib.parse import quote

from .endpoint import Credentials

EMPTY_SHA256 = sha256(b"").hexdigest()


def encode_key(key: str) -> str:
    """A key as it stands in a request's path: each UTF-8 byte escaped unless unreserved; `/` stays."""
    return quote(key, safe="/~")


def encode_query(query: Sequence[tuple[str, str]]) -> str:
    """A query string in canonical form (escaped, sorted), which is also sent as it is."""
    return "&".join(
        f"{name}={value}" for name, value in sorted((quote(n, safe="~"), quote(v, safe="~")) for n, v in query)
    )


def encode_copy_source(bucket: str, key: str) -> str:
    """The value of `x-amz-copy-source`, which S3 wants URL-encoded (CopyObject, S3 API reference)."""
    return quote(f"{bucket}/{key}", safe="/~")


class Signer:
    """Signs requests for one region.

    credentials: asked at most once per second, so that refreshed ones take effect within one
    clock: seconds since the epoch
    """

    def __init__(
        self, region: str, credentials: Callable[[], Credentials], clock: Callable[[], float] = time.time
    ) -> None:
        self._region = region
        self._credentials = credentials
        self._clock = clock
        self._second = -1
        self._stamp = ""
        self._token: str | None = None
        self._key_of: tuple[str, str] | None = None
        self._key = b""
        self._string_head = ""
        self._credential = ""

    def sign(
        self, method: str, path: str, query: str, headers: Mapping[str, str], payload_sha256: str
    ) -> dict[str, str]:
        """All headers to send: those given (`host` among them, names in lower case) and the signature's own.

        path, query: encoded, as they are sent
        """
        second = int(self._clock())
        if second != self._second:
            self._begin_second(second)
        signed = {**headers, "x-amz-content-sha256": payload_sha256, "x-amz-date": self._stamp}
        if self._token is not None:
            signed["x-amz-security-token"] = self._token
        names = sorted(signed)
        listed = ";".join(names)
        values = "".join([f"{name}:{' '.join(signed[name].split())}\n" for name in names])
        request = f"{method}\n{path}\n{query}\n{values}\n{listed}\n{payload_sha256}"
        to_sign = self._string_head + sha256(request.encode()).hexdigest()
        signature = hmac.digest(self._key, to_sign.encode(), "sha256").hex()
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._credential}, SignedHeaders={listed}, Signature={signature}"
        )
        return signed

    def _begin_second(self, second: int) -> None:
        credentials = self._credentials()
        self._second = second
        self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        self._token = credentials.session_token
        day = self._stamp[:8]
        scope = f"{day}/{self._region}/s3/aws4_request"
        self._string_head = f"AWS4-HMAC-SHA256\n{self._stamp}\n{scope}\n"
        self._credential = f"{credentials.access_key}/{scope}"
        if self._key_of != (day, credentials.secret_key):
            self._key_of = (day, credentials.secret_key)
            self._key = _signing_key(credentials.secret_key, day, self._region)


def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key

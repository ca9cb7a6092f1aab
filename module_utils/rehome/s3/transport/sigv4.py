"""AWS Signature Version 4 for S3 in the `Authorization` header, and the encoding of keys and queries that it requires.

The rules: "Authenticating Requests: Using the Authorization Header", S3 API reference.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import quote

from .endpoint import Credentials

EMPTY_SHA256 = sha256(b"").hexdigest()

_HEADER_SETS_KEPT = 256
"""Sets of header names that are cached; with user metadata, every object may have another one."""


_needs_no_escape = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch


def encode_key(key: str) -> str:
    """Return a key as the path of a request has it: all UTF-8 bytes escaped but the unreserved ones and `/`."""
    # Most keys are plain, and the match takes a fifth of the time of a `quote` that changes nothing.
    return key if _needs_no_escape(key) else quote(key, safe="/~")


def encode_query(query: Sequence[tuple[str, str]]) -> str:
    """Return a query string in canonical form (escaped, sorted), in which it is also sent."""
    return "&".join(
        f"{name}={value}" for name, value in sorted((quote(n, safe="~"), quote(v, safe="~")) for n, v in query)
    )


def encode_copy_source(bucket: str, key: str) -> str:
    """Return the value of `x-amz-copy-source`, which must be URL-encoded (CopyObject, S3 API reference)."""
    return quote(f"{bucket}/{key}", safe="/~")


class Signer:
    """Signs requests for one region.

    credentials: returns the current ones; called at most once per second
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
        self._mac = _Mac(b"")
        self._string_head = ""
        self._authorization_head = ""
        self._signed_headers_of: dict[tuple[str, ...], _SignedHeaders] = {}
        self.signed_with: Credentials | None = None
        """The credentials of the latest signature."""

    def sign(self, method: str, path: str, query: str, headers: Mapping[str, str], payload_sha256: str) -> str:
        """Return the header lines to send: those of `headers` and those of the signature.

        path, query: encoded, as they are sent
        headers: with `host`, names in lower case
        payload_sha256: in hex

        Raises ValueError if a value has a line break.
        """
        second = int(self._clock())
        if second != self._second:
            self._begin_second(second)
        signed = {**headers, "x-amz-content-sha256": payload_sha256, "x-amz-date": self._stamp}
        if self._token is not None:
            signed["x-amz-security-token"] = self._token
        listed, pick, canonical, lines = self._signed_headers(tuple(signed))
        given = pick(signed)
        values, sent = canonical % given, lines % given
        if sent.count("\n") != len(given) or sent.count("\r") != len(given):
            raise ValueError("a header value holds a line break")
        if _may_need_trimming(values):
            values = canonical % tuple([" ".join(value.split()) for value in given])
        request = f"{method}\n{path}\n{query}\n{values}\n{listed}\n{payload_sha256}"
        to_sign = self._string_head + sha256(request.encode()).hexdigest()
        signature = self._mac.of(to_sign.encode())
        return f"{sent}authorization: {self._authorization_head}{listed}, Signature={signature}\r\n"

    def refresh(self) -> None:
        """Get the credentials and the time anew for the next signature."""
        self._second = -1

    def _signed_headers(self, names: tuple[str, ...]) -> _SignedHeaders:
        """Return what is prepared for a set of names. There are few sets, used again and again."""
        prepared = self._signed_headers_of.get(names)
        if prepared is None:
            if len(self._signed_headers_of) >= _HEADER_SETS_KEPT:
                self._signed_headers_of.clear()
            ordered = sorted(names)
            escaped = [name.replace("%", "%%") for name in ordered]
            canonical = "".join([f"{name}:%s\n" for name in escaped])
            # The sent lines are in the order of the signature, too, so that the headers are read once for both.
            lines = "".join([f"{name}: %s\r\n" for name in escaped])
            prepared = self._signed_headers_of[names] = _SignedHeaders(
                ";".join(ordered), itemgetter(*ordered), canonical, lines
            )
        return prepared

    def _begin_second(self, second: int) -> None:
        credentials = self._credentials()
        self._second = second
        self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        self._token = credentials.session_token
        self.signed_with = credentials
        day = self._stamp[:8]
        scope = f"{day}/{self._region}/s3/aws4_request"
        self._string_head = f"AWS4-HMAC-SHA256\n{self._stamp}\n{scope}\n"
        self._authorization_head = f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders="
        if self._key_of != (day, credentials.secret_key):
            self._key_of = (day, credentials.secret_key)
            self._mac = _Mac(_signing_key(credentials.secret_key, day, self._region))


class _SignedHeaders(NamedTuple):
    """Header names in the order of the signature, and templates of their lines.

    listed: the value of `SignedHeaders`
    pick: returns the values of headers in this order
    canonical, lines: templates of the signed and of the sent lines, for the values
    """

    listed: str
    pick: Callable[[Mapping[str, str]], tuple[str, ...]]
    canonical: str
    lines: str


class _Mac:
    """HMAC-SHA256 (RFC 2104) with one key of at most 64 bytes, whose two blocks are hashed once.

    `hmac.digest` fetches the algorithm from OpenSSL each time, which takes longer than the hashing.
    """

    def __init__(self, key: bytes) -> None:
        block = key.ljust(64, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def of(self, message: bytes) -> str:
        """Return the code of a message in hex."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()


def _may_need_trimming(values: str) -> bool:
    """Return whether a value may have spaces that its canonical form has not. `values` are lines of `name:value`."""
    if not values.isascii() or "\t" in values:
        return True
    # Most have no space at all, which is checked ten times as fast.
    return " " in values and ("  " in values or ": " in values or " \n" in values)


def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key

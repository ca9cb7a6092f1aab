"""AWS Signature Version 4 for S3, in the `Authorization` header, and the encoding of keys that it rests on.

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

_ORDERS_KEPT = 256
"""Sets of header names; user metadata may bring new ones with every object."""


_needs_no_escape = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch


def encode_key(key: str) -> str:
    """A key as it stands in a request's path: each UTF-8 byte escaped unless unreserved; `/` stays."""
    # Most keys are plain, and to see that takes a fifth of the time that `quote` takes to leave them as they are.
    return key if _needs_no_escape(key) else quote(key, safe="/~")


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
        self._mac = _Mac(b"")
        self._string_head = ""
        self._authorization_head = ""
        self._orders: dict[tuple[str, ...], _Order] = {}
        self.signed_with: Credentials | None = None
        """The credentials of the latest signature."""

    def sign(self, method: str, path: str, query: str, headers: Mapping[str, str], payload_sha256: str) -> str:
        """The header lines to send: those given (`host` among them, names in lower case) and the signature's own.

        path, query: encoded, as they are sent
        Raises ValueError where a value holds a line break.
        """
        second = int(self._clock())
        if second != self._second:
            self._begin_second(second)
        signed = {**headers, "x-amz-content-sha256": payload_sha256, "x-amz-date": self._stamp}
        if self._token is not None:
            signed["x-amz-security-token"] = self._token
        listed, pick, canonical, lines = self._order(tuple(signed))
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

    def begin_anew(self) -> None:
        """Ask for the credentials and the time again before the next signature."""
        self._second = -1

    def _order(self, names: tuple[str, ...]) -> _Order:
        """What there is to know of a set of names; few sets are used, again and again."""
        known = self._orders.get(names)
        if known is None:
            if len(self._orders) >= _ORDERS_KEPT:
                self._orders.clear()
            ordered = sorted(names)
            escaped = [name.replace("%", "%%") for name in ordered]
            canonical = "".join([f"{name}:%s\n" for name in escaped])
            # in the signature's order too: one look at the headers does for both
            lines = "".join([f"{name}: %s\r\n" for name in escaped])
            known = self._orders[names] = _Order(";".join(ordered), itemgetter(*ordered), canonical, lines)
        return known

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


class _Order(NamedTuple):
    """Header names in the order of a signature.

    listed: as the signature lists them
    pick: takes the values out of the headers
    canonical, lines: templates of the lines as they are signed and as they are sent; they take the values
    """

    listed: str
    pick: Callable[[Mapping[str, str]], tuple[str, ...]]
    canonical: str
    lines: str


class _Mac:
    """HMAC-SHA256 (RFC 2104) under one key of at most 64 bytes, whose two blocks are hashed once.

    `hmac.digest` has OpenSSL look up its algorithm each time, which takes longer than the hashing.
    """

    def __init__(self, key: bytes) -> None:
        block = key.ljust(64, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def of(self, message: bytes) -> str:
        """The code of a message, in hexadecimal."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()


def _may_need_trimming(values: str) -> bool:
    """Whether a value may have spaces that the canonical form lacks; `values` are lines of `name:value`."""
    if not values.isascii() or "\t" in values:
        return True
    # most have no space at all, which is seen ten times as fast
    return " " in values and ("  " in values or ": " in values or " \n" in values)


def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key

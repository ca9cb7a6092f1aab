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
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

from .endpoint import Credentials

EMPTY_SHA256 = sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
"""In place of a payload's digest: the signature does not hold for the payload."""

_HEADER_SETS_KEPT = 256
"""Sets of header names that are cached; with user metadata, every object may have another one."""

_GAP = "\0"
"""Where a template takes a value. No header has it."""


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
    constant: headers of every request, names in lower case
    """

    def __init__(
        self,
        region: str,
        credentials: Callable[[], Credentials],
        clock: Callable[[], float] = time.time,
        constant: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._region = region
        self._credentials = credentials
        self._clock = clock
        self._constant = constant
        self._second = -1
        self._key_of: tuple[str, str] | None = None
        self._key = b""
        self._constant_now: dict[str, str] = {}
        self._mac = _Mac(b"")
        self._credential = ""
        self._templates: dict[tuple[str, ...], _Templates] = {}
        self.signed_with: Credentials | None = None
        """The credentials of the latest signature."""

    def sign(self, method: str, path: str, query: str, headers: Mapping[str, str], payload_sha256: str) -> str:
        """Return the header lines to send: the constant ones, those of `headers` and those of the signature.

        path, query: encoded, as they are sent
        headers: with `host` if it is not constant, names in lower case
        payload_sha256: in hex, or UNSIGNED

        Raises ValueError if a value has a line break.
        """
        second = int(self._clock())
        if second != self._second:
            self._begin_second(second)
        names = tuple(headers)
        in_order, canonical, lines = self._templates.get(names) or self._make_templates(names)
        signed = sent = in_order((*headers.values(), payload_sha256))
        text = "".join(sent)
        if "\n" in text or "\r" in text:
            raise ValueError("a header value holds a line break")
        # Most have no space at all, which is found in no time.
        if " " in text or "\t" in text or not text.isascii():
            signed = tuple([_canonical(value) for value in sent])
        request = f"{method}\n{path}\n{query}\n{canonical.filled(signed)}{payload_sha256}"
        signature = self._mac.of(sha256(request.encode()).hexdigest().encode())
        return lines.filled((*sent, signature))

    def refresh(self) -> None:
        """Get the credentials and the time anew for the next signature."""
        self._second = -1

    def _begin_second(self, second: int) -> None:
        credentials = self._credentials()
        self._second = second
        self.signed_with = credentials
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        day = stamp[:8]
        if self._key_of != (day, credentials.secret_key):
            self._key_of = (day, credentials.secret_key)
            self._key = _signing_key(credentials.secret_key, day, self._region)
        scope = f"{day}/{self._region}/s3/aws4_request"
        self._mac = _Mac(self._key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n".encode())
        self._credential = f"{credentials.access_key}/{scope}"
        self._constant_now = {**self._constant, "x-amz-date": stamp}
        if credentials.session_token is not None:
            self._constant_now["x-amz-security-token"] = credentials.session_token
        self._templates.clear()

    def _make_templates(self, names: tuple[str, ...]) -> _Templates:
        """Make and keep the templates for the names of a request's headers, in their order.

        There are few such sets, used again and again.
        """
        if len(self._templates) >= _HEADER_SETS_KEPT:
            self._templates.clear()
        position = {name: index for index, name in enumerate((*names, "x-amz-content-sha256"))}
        constant = {name: value for name, value in self._constant_now.items() if name not in position}
        if "\n" in (text := "".join([*names, *constant.values()])) or "\r" in text:
            raise ValueError("a header holds a line break")
        ordered = sorted([*position, *constant])
        given = [position[name] for name in ordered if name in position]
        listed = ";".join(ordered)
        canonical = "".join([f"{name}:{_canonical(constant.get(name, _GAP))}\n" for name in ordered])
        lines = "".join([f"{name}: {constant.get(name, _GAP)}\r\n" for name in ordered])
        authorization = f"AWS4-HMAC-SHA256 Credential={self._credential}, SignedHeaders={listed}, Signature={_GAP}"
        made = self._templates[names] = _Templates(
            # `itemgetter` returns a value alone if it is the only one
            itemgetter(*given) if len(given) > 1 else tuple,
            _Template(f"{canonical}\n{listed}\n"),
            _Template(f"{lines}authorization: {authorization}\r\n"),
        )
        return made


class _Template:
    """A text with gaps: to fill them takes a third of the time of a format with `%s`.

    text: with `_GAP` where a gap is
    """

    __slots__ = ("_parts",)

    def __init__(self, text: str) -> None:
        self._parts = [part for fixed in text.split(_GAP) for part in (fixed, "")][:-1]

    def filled(self, values: Sequence[str]) -> str:
        """Return the text with a value in each gap."""
        self._parts[1::2] = values
        return "".join(self._parts)


class _Templates(NamedTuple):
    """Templates for one set of header names, with the values that are the same for a second.

    in_order: returns the values of the headers and of `x-amz-content-sha256` in the order of the signature
    canonical: of what is signed, from the headers on to the hash of the payload, for these values
    lines: of what is sent, for these values and the signature
    """

    in_order: Callable[[tuple[str, ...]], tuple[str, ...]]
    canonical: _Template
    lines: _Template


class _Mac:
    """HMAC-SHA256 (RFC 2104) of messages with the same beginning, which is hashed once, like the key's two blocks.

    `hmac.digest` fetches the algorithm from OpenSSL each time, which takes longer than the hashing.

    key: at most 64 bytes
    """

    def __init__(self, key: bytes, beginning: bytes = b"") -> None:
        block = key.ljust(64, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block) + beginning)
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def of(self, ending: bytes) -> str:
        """Return the code of the message with this ending in hex."""
        inner = self._inner.copy()
        inner.update(ending)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()


def _canonical(value: str) -> str:
    """Return a header's value as it is signed."""
    return " ".join(value.split())


def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key

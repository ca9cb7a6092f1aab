"""The route of requests to one bucket: how their bytes are built, and the connections they are sent on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from hashlib import sha256

from .addresses import HostResolver, resolve_host
from .connection import Body
from .dialer import Dialer
from .endpoint import Endpoint
from .pool import Pool
from .sigv4 import EMPTY_SHA256, UNSIGNED, Signer, encode_key, encode_query

_WITHOUT_BODY = dict.fromkeys(("PUT", "POST"), "content-length: 0\r\n")
"""What requests say of an empty body, by method; the others say nothing."""


class Route:
    """The route to one endpoint. What is the same in every request is prepared once.

    skew: seconds by which the server's clock is ahead of ours
    """

    def __init__(
        self,
        endpoint: Endpoint,
        max_connections: int,
        connect_timeout: float,
        resolver: HostResolver = resolve_host,
        skew: float = 0.0,
    ) -> None:
        self.endpoint = endpoint
        self.skew = skew
        self.pool = Pool(Dialer(endpoint, connect_timeout, resolver), max_connections)
        constant = {"host": endpoint.host_header}
        if endpoint.requester_pays:
            constant["x-amz-request-payer"] = "requester"
        if endpoint.expected_owner is not None:
            constant["x-amz-expected-bucket-owner"] = endpoint.expected_owner
        self.signer = Signer(endpoint.region, endpoint.credentials, self._time, constant)
        # Not signed, as proxies change it. Without it, some compress what they pass on.
        self._ending = b"accept-encoding: identity\r\nuser-agent: rehome\r\n\r\n"
        self._origin = ""
        if endpoint.proxy is not None and endpoint.tls is None:
            # A proxy gets the whole URL (absolute-form, RFC 9112), but only the path is signed.
            self._origin = endpoint.url
            if endpoint.proxy.authorization is not None:
                self._ending = f"proxy-authorization: {endpoint.proxy.authorization}\r\n".encode() + self._ending

    def build(
        self,
        method: str,
        key: str | None,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        body: Body = b"",
        *,
        signs_body: bool = True,
    ) -> bytes:
        """Return the head of a signed request. Raises ValueError if a header value has a line break.

        key: None for the bucket
        headers: names in lower case
        signs_body: whether the signature holds for the body, too; never for a producer's
        """
        base = self.endpoint.base_path
        path = base or "/" if key is None else f"{base}/{encode_key(key)}"
        encoded_query = encode_query(query) if query else ""
        signed = self.signer.sign(
            method,
            path,
            encoded_query,
            headers,
            _payload_digest(body, signs_body=signs_body) if body else EMPTY_SHA256,
        )
        target = f"{path}?{encoded_query}" if encoded_query else path
        length = f"content-length: {_length(body)}\r\n" if body else _WITHOUT_BODY.get(method, "")
        return f"{method} {self._origin}{target} HTTP/1.1\r\n{signed}{length}".encode() + self._ending

    def close(self) -> None:
        """Close the connections."""
        self.pool.close()

    def _time(self) -> float:
        return time.time() + self.skew


def _payload_digest(body: Body, *, signs_body: bool) -> str:
    if signs_body and isinstance(body, bytes | bytearray):
        return sha256(body).hexdigest()
    return UNSIGNED


def _length(body: Body) -> int:
    return len(body) if isinstance(body, bytes | bytearray) else body.length

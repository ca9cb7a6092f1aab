"""How requests get to one bucket: the bytes they are made of, and the connections they take."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from hashlib import sha256

from .addresses import LookUp, look_up
from .dialer import Dialer
from .endpoint import Endpoint
from .pool import Pool
from .sigv4 import EMPTY_SHA256, Signer, encode_key, encode_query


class Route:
    """The way to one endpoint: what is the same in every request is prepared once.

    skew: seconds that the server's clock is ahead of ours
    """

    def __init__(
        self,
        endpoint: Endpoint,
        max_connections: int,
        connect_timeout: float,
        find: LookUp = look_up,
        skew: float = 0.0,
    ) -> None:
        self.endpoint = endpoint
        self.skew = skew
        self.pool = Pool(Dialer(endpoint, connect_timeout, find), max_connections)
        self.signer = Signer(endpoint.region, endpoint.credentials, self._time)
        self._signed_always = {"host": endpoint.host_header}
        if endpoint.requester_pays:
            self._signed_always["x-amz-request-payer"] = "requester"
        if endpoint.expected_owner is not None:
            self._signed_always["x-amz-expected-bucket-owner"] = endpoint.expected_owner
        self._ending = b"user-agent: rehome\r\n\r\n"
        self._origin = ""
        if endpoint.proxy is not None and endpoint.tls is None:
            # A proxy is told the whole URL (absolute-form, RFC 9112); the signature knows only the path.
            self._origin = endpoint.url
            if endpoint.proxy.authorization is not None:
                self._ending = f"proxy-authorization: {endpoint.proxy.authorization}\r\n".encode() + self._ending

    def build(
        self,
        method: str,
        key: str | None,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes,
    ) -> bytes:
        """The request as it goes over the wire. Raises ValueError where a header value holds a line break."""
        base = self.endpoint.base_path
        path = base or "/" if key is None else f"{base}/{encode_key(key)}"
        encoded_query = encode_query(query) if query else ""
        signed = self.signer.sign(
            method,
            path,
            encoded_query,
            {**self._signed_always, **headers},
            sha256(body).hexdigest() if body else EMPTY_SHA256,
        )
        target = f"{path}?{encoded_query}" if encoded_query else path
        length = f"content-length: {len(body)}\r\n" if body or method in ("PUT", "POST") else ""
        return f"{method} {self._origin}{target} HTTP/1.1\r\n{signed}{length}".encode() + self._ending + body

    def close(self) -> None:
        """Let go of the connections."""
        self.pool.close()

    def _time(self) -> float:
        return time.time() + self.skew

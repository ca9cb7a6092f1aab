"""Requests to one bucket: signed, paced, retried, and their replies told apart."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType, TracebackType
from typing import Self

from .connection import Fault, Pool, Response, Sink, TransportError
from .endpoint import Endpoint
from .errors import RETRY_CODES, STOP_CODES, THROTTLE_CODES, S3Error, S3StopError, read_error
from .pacing import Pace, Retry
from .sigv4 import EMPTY_SHA256, Signer, encode_key, encode_query

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Failure:
    """An attempt that brought no answer.

    status, code, message: as in S3Error
    final: another attempt would not help, or must not be made
    stops: every other request would fail as well
    throttled: the server has too much to do
    patient: wait longer before the next attempt
    repeated: the attempt may have taken effect all the same
    """

    status: int
    code: str
    message: str
    final: bool
    stops: bool
    throttled: bool
    patient: bool
    repeated: bool


class Client:
    """Talks to one bucket. Use it as an async context manager, on uvloop where speed counts.

    max_connections: requests under way at once, at most
    retry: how often and when a request is repeated
    connect_timeout, read_timeout: seconds
    """

    def __init__(
        self,
        endpoint: Endpoint,
        max_connections: int = 64,
        *,
        retry: Retry | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 60.0,
    ) -> None:
        self.endpoint = endpoint
        self.max_connections = max_connections
        self.pace = Pace(max_connections)
        self._retry = retry or Retry()
        self._read_timeout = read_timeout
        self._pool = Pool(endpoint, max_connections, connect_timeout)
        self._signer = Signer(endpoint.region, endpoint.credentials, time.time)
        self._host = endpoint.host_header
        self._authenticated = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()

    async def request(
        self,
        method: str,
        key: str | None,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] = _NO_HEADERS,
        body: bytes = b"",
        sink: Sink | None = None,
        read_timeout: float | None = None,
    ) -> Response:
        """Send one request about `key` (None: about the bucket) until it is answered.

        headers: names in lower case, values without line breaks
        sink: receives the body of a 2xx reply in chunks. A reply that breaks after the first chunk is not
            asked for again (the sink would get the beginning twice) but raises S3Error ConnectionBroken.
        read_timeout: seconds for the reply, where the client's own do not fit

        Returns the reply if its status is 2xx, 304, 404 or 412. Raises S3StopError for what every request
        would meet, S3Error for the rest, once `retry.attempts` are used up.
        """
        attempt = 0
        repeated = False
        while True:
            attempt += 1
            answer = await self._attempt(method, key, query, headers, body, sink, read_timeout or self._read_timeout)
            repeated = repeated or answer.repeated
            if isinstance(answer, Response):
                return answer if attempt == 1 else answer._replace(attempts=attempt, repeated=repeated)
            if answer.final or attempt >= self._retry.attempts:
                kind = S3StopError if answer.stops else S3Error
                raise kind(
                    answer.status,
                    answer.code,
                    answer.message,
                    key,
                    verb=method,
                    attempts=attempt,
                    repeated=repeated,
                )
            await self._retry.wait(attempt, throttled=answer.patient)

    async def put_object(self, key: str, body: bytes, headers: Mapping[str, str] = _NO_HEADERS) -> Response:
        """Store an object in one request. Raises as `request`."""
        return await self.request("PUT", key, headers=headers, body=body)

    async def _attempt(
        self,
        method: str,
        key: str | None,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes,
        sink: Sink | None,
        read_timeout: float,
    ) -> Response | _Failure:
        entered_at = await self.pace.enter()
        try:
            response = await self._pool.exchange(
                # Signed only now: the wait for a place may outlast a signature.
                self._build(method, key, query, headers, body),
                head_only=method == "HEAD",
                read_timeout=read_timeout,
                sink=sink,
            )
        except TransportError as error:
            failure = self._broken(error)
        else:
            refusal = _refusal(method, key, headers, response)
            if refusal is None:
                self._authenticated = True
                self.pace.succeeded()
                return response
            failure = self._refused(response, *refusal)
        finally:
            self.pace.leave()
        if failure.throttled:
            self.pace.throttled(entered_at)
        return failure

    def _build(
        self,
        method: str,
        key: str | None,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes,
    ) -> bytes:
        """The request as it goes over the wire."""
        base = self.endpoint.base_path
        path = base or "/" if key is None else f"{base}/{encode_key(key)}"
        encoded_query = encode_query(query) if query else ""
        signed = self._signer.sign(
            method,
            path,
            encoded_query,
            {"host": self._host, **headers},
            sha256(body).hexdigest() if body else EMPTY_SHA256,
        )
        target = f"{path}?{encoded_query}" if encoded_query else path
        lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in signed.items()]]
        if body or method in ("PUT", "POST"):
            lines.append(f"content-length: {len(body)}")
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
            raise ValueError("a header value holds a line break")
        return head.encode() + b"\r\nuser-agent: rehome\r\n\r\n" + body

    def _broken(self, error: TransportError) -> _Failure:
        """What follows from no reply, or half of one."""
        unreachable = error.fault is Fault.UNREACHABLE
        untrusted = error.fault is Fault.UNTRUSTED
        timeout = error.fault is Fault.TIMEOUT
        return _Failure(
            status=0,
            code=error.fault,
            message=f"{self.endpoint.scheme}://{self._host}: {error}",
            final=error.delivered or untrusted,
            stops=unreachable or untrusted,
            throttled=timeout,
            patient=timeout or unreachable,
            repeated=error.sent,
        )

    def _refused(self, response: Response, code: str, message: str) -> _Failure:
        """What follows from a reply that says no."""
        throttled = response.status in (429, 503) or code in THROTTLE_CODES
        transient = response.status in (408, 500, 502, 504) or code in RETRY_CODES
        # Once a signature was accepted the secret is right: what fails then is one odd key, which some
        # proxies and servers rewrite before they check.
        one_odd_key = code == "SignatureDoesNotMatch" and self._authenticated
        return _Failure(
            status=response.status,
            code=code,
            message=message,
            final=not (throttled or transient),
            stops=code in STOP_CODES and not one_odd_key,
            throttled=throttled,
            patient=throttled,
            repeated=response.repeated or (transient and not throttled),
        )


def _refusal(  # noqa: PLR0911 - a table of cases
    method: str, key: str | None, headers: Mapping[str, str], response: Response
) -> tuple[str, str] | None:
    """Code and message of a reply that says no, or None where the caller decides."""
    status, body = response.status, response.body
    if status == 200:
        if key is not None and method not in ("PUT", "POST"):
            return None
        # CopyObject and its kin begin a 200 before they know how it ends (CopyObject, S3 API reference).
        if b"<Error" in body[:512]:
            return read_error(status, body)
        if "x-amz-copy-source" in headers and not body.rstrip().endswith(b"Result>"):
            return "InternalError", "the reply says 200, but its result is missing or cut short"
        return None
    if 200 < status < 300 or status in (304, 412):
        return None
    if status == 404:
        code, message = read_error(status, body)
        return (code, message) if code in STOP_CODES else None
    return read_error(status, body)

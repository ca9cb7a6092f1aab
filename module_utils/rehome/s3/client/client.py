"""Send requests to one bucket: signed, limited in number, retried, and with their replies classified."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import NamedTuple, Self

from ..errors import (
    DIGEST_CODES,
    ENDPOINT_DEAD,
    STOP_CODES,
    Meaning,
    S3Error,
    S3RequestError,
    S3StopError,
    meaning_of,
    read_error,
)
from ..transport.addresses import HostResolver, resolve_host
from ..transport.connection import Body, Fault, Response, Sink, TransportError
from ..transport.endpoint import Credentials, Endpoint
from ..transport.route import Route
from .circuit_breaker import CircuitBreaker, DeadEndpointError
from .meter import Meter
from .pacing import ConcurrencyLimiter, Retry
from .recovery import Recovery, is_recoverable
from .spare_headers import SpareHeaders

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

_DOWNLOAD_ATTEMPTS = 4

_ERROR_DOCUMENT = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<Error[\s>]")
"""Only as the root: the result of DeleteObjects has an `Error` element for each key that was not deleted."""

_RECOVERIES_PER_REQUEST = 3
"""Token, clock and region may each be wrong once."""


_Parameters = tuple[str, str | None, Sequence[tuple[str, str]], Mapping[str, str], Body, Sink | None, float, bool]
"""Of a request, as `_Request` names them: to make one for each of millions would take as long as to read a reply."""


class _Request(NamedTuple):
    """The parameters of `Client.request`."""

    method: str
    key: str | None
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body: Body
    sink: Sink | None
    read_timeout: float
    proven: bool


@dataclass(frozen=True, slots=True)
class _Sent:
    """How an attempt was sent."""

    route: Route
    signed_with: Credentials | None
    skew: float


@dataclass(frozen=True, slots=True)
class _Failure:
    """An attempt without a usable reply.

    status, code, message: as in S3Error
    final: another attempt would not help, or must not be made
    stops: every other request would fail, too
    overloaded: the server is throttling, or too slow to reply in time
    throttled: the server asked for fewer requests
    connected: something replied at the address
    alive: the endpoint works, although it refused this request
    repeated: the attempt may have taken effect nevertheless
    response: the error reply, None if no reply arrived
    """

    status: int
    code: str
    message: str
    final: bool
    stops: bool
    overloaded: bool
    throttled: bool
    connected: bool
    alive: bool
    repeated: bool
    response: Response | None
    sent: _Sent


class Client:
    """A client of one bucket. Use it as an async context manager, on uvloop if speed matters.

    max_connections: maximum number of requests in flight
    retry: how often and when a request is repeated
    connect_timeout, read_timeout: seconds
    breaker: decides when the endpoint is dead
    resolver: resolves host names
    """

    def __init__(
        self,
        endpoint: Endpoint,
        max_connections: int = 64,
        *,
        retry: Retry | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 60.0,
        breaker: CircuitBreaker | None = None,
        resolver: HostResolver = resolve_host,
    ) -> None:
        self.endpoint = endpoint
        """The bucket's current address; a redirect changes it."""
        self.max_connections = max_connections
        self.limiter = ConcurrencyLimiter(max_connections)
        self.meter = Meter()
        self._retry = retry or Retry()
        self._read_timeout = read_timeout
        self._breaker = breaker or CircuitBreaker()

        def make_route(endpoint: Endpoint, skew: float = 0.0) -> Route:
            return Route(endpoint, max_connections, connect_timeout, resolver, skew)

        self._recovery = Recovery(make_route(endpoint), make_route)
        self._spare = SpareHeaders()
        self._authenticated = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recovery.route.close()

    async def request(
        self,
        method: str,
        key: str | None,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] = _NO_HEADERS,
        body: Body = b"",
        sink: Sink | None = None,
        read_timeout: float | None = None,
        proven: bool = False,
    ) -> Response:
        """Send a request about `key` (None: about the bucket), again until there is a reply.

        headers: names in lower case, values without line breaks
        sink: receives the body of a 2xx reply in chunks. If the connection breaks after the first chunk, the request
            is not repeated (the sink would get the beginning twice) but raises S3Error ConnectionBroken.
        read_timeout: seconds of silence in place of the client's (`Connection.exchange`)
        body: a producer begins anew with each attempt, and needs `proven`
        proven: the service compares the body with a digest in `headers`, on which the caller relies: the body is not
            signed, no header is left out, and a body that differs is not sent again

        Headers that the request can do without are left out where the service rejects them (`SpareHeaders`).

        Returns the reply if its status is 2xx, 304, 404 or 412. Raises S3StopError if every further request would
        fail, too, else S3RequestError, once `retry` gives up.
        """
        if not proven:
            headers = self._spare.kept(method, headers)
        parameters = method, key, query, headers, body, sink, read_timeout or self._read_timeout, proven
        try:
            result = await self._attempt(parameters)
            if isinstance(result, Response):
                return result
            request = _Request(*parameters)
            if (reply := await self._without_spare(request, result)) is not None:
                return reply
        except DeadEndpointError as error:
            raise self._dead(_Request(*parameters), error, attempts=0, repeated=False) from None
        return await self._retried(request, result)

    async def put_object(self, key: str, body: bytes, headers: Mapping[str, str] = _NO_HEADERS) -> Response:
        """Store an object in one request. Raises the same as `request`."""
        return await self.request("PUT", key, headers=headers, body=body)

    async def download(self, key: str, headers: Mapping[str, str], begin: Callable[[], Sink]) -> Response:
        """GET an object, again from its start if the reply breaks off, up to 4 times.

        begin: returns an empty sink; called before each GET

        Returns the reply of the GET whose whole body is in the latest sink. Raises the same as `request`, and what
        `begin` raises.
        """
        for _ in range(_DOWNLOAD_ATTEMPTS - 1):
            try:
                return await self.request("GET", key, headers=headers, sink=begin())
            except S3RequestError as error:
                if error.status:
                    raise
        return await self.request("GET", key, headers=headers, sink=begin())

    async def _without_spare(self, request: _Request, failure: _Failure) -> Response | None:
        """Send a refused request again without headers that it can do without; None if that is not what it is about.

        Raises DeadEndpointError.
        """
        method, headers = request.method, request.headers
        if request.proven:
            return None
        for taken in self._spare.trials(method, headers, failure.status, failure.code, failure.message):
            result = await self._attempt(request._replace(headers=taken))
            if isinstance(result, Response):
                self._spare.learn(method, headers, taken)
                return result
        return None

    async def _retried(self, request: _Request, failure: _Failure) -> Response:
        """Send a request again whose first attempt failed. Raises the same as `request`."""
        attempts = _Attempts(self._retry)
        while True:
            self._note(failure, first_failure=attempts.sent == 1)
            recovered = await self._recovered(request, failure, attempts)
            attempts.repeated = attempts.repeated or failure.repeated
            try:
                if not recovered:
                    if not failure.alive:
                        self._breaker.check()
                    final = failure.final or (request.proven and failure.code in DIGEST_CODES)
                    if final or not attempts.may_retry(failure, self._breaker.broken):
                        self.meter.failed += 1
                        raise _error(request, failure, attempts)
                    await attempts.wait(failure, self._breaker.broken)
                result = await self._attempt(request)
                self.meter.retries += 1
            except DeadEndpointError as error:
                raise self._dead(request, error, attempts=attempts.sent, repeated=attempts.repeated) from None
            attempts.sent += 1
            if isinstance(result, Response):
                return result._replace(attempts=attempts.sent, repeated=attempts.repeated or result.repeated)
            failure = result

    def _note(self, failure: _Failure, *, first_failure: bool) -> None:
        """Report a failure to the circuit breaker."""
        if failure.alive:
            if self._breaker.failing:
                self._breaker.succeeded()
            return
        self._breaker.failed(
            failure.code,
            failure.message,
            connected=failure.connected,
            throttled=failure.throttled,
            first_failure=first_failure,
        )

    def _dead(self, request: _Request, error: DeadEndpointError, *, attempts: int, repeated: bool) -> S3StopError:
        self.meter.failed += 1
        return S3StopError(
            0,
            ENDPOINT_DEAD,
            f"{self.endpoint.url}: {error}",
            request.key,
            verb=request.method,
            attempts=attempts,
            repeated=repeated,
        )

    async def _recovered(self, request: _Request, failure: _Failure, attempts: _Attempts) -> bool:
        """Return whether the cause of the failure was resolved; otherwise the error's message will say why not."""
        head_only = request.method == "HEAD"
        response = failure.response
        if response is None or not is_recoverable(failure.code, response.status, head_only):
            return False
        if attempts.recoveries >= _RECOVERIES_PER_REQUEST:
            return False
        attempts.recoveries += 1
        sent = failure.sent
        obstacle = await self._recovery.apply(
            failure.code, response, sent.route, sent.signed_with, sent.skew, head_only
        )
        self.endpoint = self._recovery.route.endpoint
        attempts.obstacle = obstacle or ""
        return obstacle is None

    def _attempt(self, request: _Parameters) -> Awaitable[Response | _Failure]:
        """Send a request once, as soon as the limits allow it. The result is to be awaited at once.

        Raises DeadEndpointError if the endpoint is found dead while this request waits to probe it.
        """
        if self._breaker.broken or (started_at := self.limiter.acquire_now()) is None:
            return self._send_in_turn(request)
        return self._send(request, started_at)

    async def _send_in_turn(self, request: _Parameters) -> Response | _Failure:
        started_at = await self.limiter.acquire()
        if not self._breaker.broken:
            return await self._send(request, started_at)
        self.limiter.release()
        async with self._breaker.turn():
            return await self._send(request, await self.limiter.acquire())

    async def _send(self, request: _Parameters, started_at: float) -> Response | _Failure:
        limiter, meter = self.limiter, self.meter
        route = self._recovery.route
        meter.sent += 1
        method, key, query, headers, body, sink, read_timeout, proven = request
        try:
            # Signed only now: the wait for a free slot may outlast a signature.
            head = route.build(method, key, query, headers, body, signs_body=not proven)
            signed_with, skew = route.signer.signed_with, route.skew
            response = await route.pool.exchange(
                head, head_only=method == "HEAD", read_timeout=read_timeout, sink=sink, body=body
            )
        except TransportError as error:
            failure = _no_reply(error, _Sent(route, signed_with, skew))
        else:
            refusal = _refusal(method, key, headers, response)
            if refusal is None:
                self._authenticated = True
                limiter.succeeded(started_at)
                meter.took.append(time.monotonic() - started_at)
                if self._breaker.failing:
                    self._breaker.succeeded()
                return response
            failure = _refused(response, *refusal, _Sent(route, signed_with, skew), self._authenticated)
        finally:
            limiter.release()
        meter.throttled += failure.throttled
        if failure.overloaded:
            limiter.throttled(started_at)
        return failure


class _Attempts:
    """Counts the attempts of one request, and decides whether there may be another.

    sent: attempts so far
    recoveries: how often a recovery was attempted for it
    obstacle: why the latest recovery failed
    repeated: an attempt may have taken effect although its reply was lost
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._failed = 0
        self._throttled = 0
        self._waited = 0.0
        self.sent = 1
        self.recoveries = 0
        self.obstacle = ""
        self.repeated = False

    def may_retry(self, failure: _Failure, endpoint_is_broken: bool) -> bool:
        """Return whether there are attempts left. A broken endpoint is no fault of this request and costs none."""
        if endpoint_is_broken:
            return True
        if failure.throttled:
            self._throttled += 1
            return self._waited < self._retry.patience
        self._failed += 1
        return self._failed < self._retry.attempts

    async def wait(self, failure: _Failure, endpoint_is_broken: bool) -> None:
        """Wait before the next attempt. If the endpoint is broken, the circuit breaker does the waiting."""
        if endpoint_is_broken:
            return
        if failure.throttled:
            self._waited += await self._retry.wait(self._throttled, throttled=True)
        else:
            await self._retry.wait(self._failed, throttled=False)


def _error(request: _Request, failure: _Failure, attempts: _Attempts) -> S3Error:
    kind = S3StopError if failure.stops else S3RequestError
    return kind(
        failure.status,
        failure.code,
        f"{failure.message}; {attempts.obstacle}" if attempts.obstacle else failure.message,
        request.key,
        verb=request.method,
        attempts=attempts.sent,
        repeated=attempts.repeated,
    )


def _no_reply(error: TransportError, sent: _Sent) -> _Failure:
    """Classify an attempt without a complete reply."""
    hopeless = error.fault in (Fault.UNTRUSTED, Fault.PROXY)
    return _Failure(
        status=0,
        code=error.fault,
        message=f"{sent.route.endpoint.url}: {error}",
        final=error.delivered or hopeless,
        stops=error.fault is Fault.UNREACHABLE or hopeless,
        overloaded=error.fault is Fault.TIMEOUT,
        throttled=False,
        connected=error.fault is not Fault.UNREACHABLE,
        alive=error.begun,
        repeated=error.sent,
        response=None,
        sent=sent,
    )


def _refused(response: Response, code: str, message: str, sent: _Sent, authenticated: bool) -> _Failure:
    """Classify an error reply."""
    meaning = meaning_of(response.status, code)
    # Once a signature was accepted, the secret is right. What fails then is one unusual key, which some proxies and
    # servers rewrite before they check the signature.
    unusual_key = code == "SignatureDoesNotMatch" and authenticated
    return _Failure(
        status=response.status,
        code=code,
        message=message,
        final=meaning in (Meaning.SKIP, Meaning.STOP),
        stops=meaning is Meaning.STOP and not unusual_key,
        overloaded=meaning is Meaning.WAIT,
        throttled=meaning is Meaning.WAIT,
        connected=True,
        alive=response.status < 500 and meaning is not Meaning.WAIT,
        repeated=response.repeated or meaning is Meaning.RETRY,
        response=response,
        sent=sent,
    )


def _refusal(  # noqa: PLR0911 - a table of cases
    method: str, key: str | None, headers: Mapping[str, str], response: Response
) -> tuple[str, str] | None:
    """Return code and message of an error reply, or None if the reply is for the caller to judge."""
    status, body = response.status, response.body
    if status == 200:
        if key is not None and method not in ("PUT", "POST"):
            return None
        # CopyObject and the like may send a 200 before they fail (CopyObject, S3 API reference).
        if b"<Error" in body and _ERROR_DOCUMENT.match(body):
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

"""Requests to one bucket: signed, paced, retried, and their replies told apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import NamedTuple, Self

from ..errors import STOP_CODES, Meaning, S3Error, S3StopError, meaning_of, read_error
from ..transport.addresses import LookUp, look_up
from ..transport.connection import Fault, Response, Sink, TransportError
from ..transport.endpoint import Credentials, Endpoint
from ..transport.route import Route
from .circuit_breaker import DEAD, Breaker, DeadEndpointError
from .pacing import Pace, Retry
from .recovery import Remedies, may_have_remedy

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

_ERROR_DOCUMENT = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<Error[\s>]")
"""Only as the root: the result of DeleteObjects has an element of that name for each key that stays."""

_REMEDIES_PER_REQUEST = 3
"""A token, a clock and a region may all be wrong, each once."""


class _Request(NamedTuple):
    """What the caller asks, as in `Client.request`."""

    method: str
    key: str | None
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes
    sink: Sink | None
    read_timeout: float


@dataclass(frozen=True, slots=True)
class _Sent:
    """How an attempt went out."""

    route: Route
    signed_with: Credentials | None
    skew: float


@dataclass(frozen=True, slots=True)
class _Failure:
    """An attempt that brought no answer.

    status, code, message: as in S3Error
    final: another attempt would not help, or must not be made
    stops: every other request would fail as well
    throttled: the server has too much to do
    asked_for_less: it said so itself
    connected: something answered at the address
    alive: the answer is an answer, though not the one that was hoped for
    repeated: the attempt may have taken effect all the same
    response: the refusal, None where no reply came
    sent: how the request went out
    """

    status: int
    code: str
    message: str
    final: bool
    stops: bool
    throttled: bool
    asked_for_less: bool
    connected: bool
    alive: bool
    repeated: bool
    response: Response | None
    sent: _Sent


class Client:
    """Talks to one bucket. Use it as an async context manager, on uvloop where speed counts.

    max_connections: requests under way at once, at most
    retry: how often and when a request is repeated
    connect_timeout, read_timeout: seconds
    breaker: decides when the endpoint is dead
    find: looks up addresses
    """

    def __init__(
        self,
        endpoint: Endpoint,
        max_connections: int = 64,
        *,
        retry: Retry | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 60.0,
        breaker: Breaker | None = None,
        find: LookUp = look_up,
    ) -> None:
        self.endpoint = endpoint
        """The bucket's address, as far as it is known by now: a redirect changes it."""
        self.max_connections = max_connections
        self.pace = Pace(max_connections)
        self._retry = retry or Retry()
        self._read_timeout = read_timeout
        self._breaker = breaker or Breaker()

        def make_route(endpoint: Endpoint, skew: float = 0.0) -> Route:
            return Route(endpoint, max_connections, connect_timeout, find, skew)

        self._remedies = Remedies(make_route(endpoint), make_route)
        self._authenticated = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remedies.route.close()

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
        read_timeout: seconds of silence, where the client's own do not fit (`Connection.exchange`)

        Returns the reply if its status is 2xx, 304, 404 or 412. Raises S3StopError for what every request
        would meet, S3Error for the rest, once `retry` gives up.
        """
        request = _Request(method, key, query, headers, body, sink, read_timeout or self._read_timeout)
        try:
            answer = await self._attempt(request)
        except DeadEndpointError as error:
            raise self._dead(request, error, attempts=0, repeated=False) from None
        if isinstance(answer, Response):
            return answer
        return await self._persist(request, answer)

    async def put_object(self, key: str, body: bytes, headers: Mapping[str, str] = _NO_HEADERS) -> Response:
        """Store an object in one request. Raises as `request`."""
        return await self.request("PUT", key, headers=headers, body=body)

    async def _persist(self, request: _Request, failure: _Failure) -> Response:
        """Go on after a first attempt that failed."""
        trial = _Trial(self._retry)
        while True:
            self._note(failure, another=trial.sent == 1)
            remedied = await self._remedied(request, failure, trial)
            trial.repeated = trial.repeated or failure.repeated
            try:
                if not remedied:
                    if not failure.alive:
                        self._breaker.check()
                    if failure.final or not trial.goes_on(failure, self._breaker.broken):
                        raise _error(request, failure, trial)
                    await trial.wait(failure, self._breaker.broken)
                answer = await self._attempt(request)
            except DeadEndpointError as error:
                raise self._dead(request, error, attempts=trial.sent, repeated=trial.repeated) from None
            trial.sent += 1
            if isinstance(answer, Response):
                return answer._replace(attempts=trial.sent, repeated=trial.repeated or answer.repeated)
            failure = answer

    def _note(self, failure: _Failure, *, another: bool) -> None:
        if failure.alive:
            if self._breaker.failing:
                self._breaker.succeeded()
            return
        self._breaker.failed(
            failure.code,
            failure.message,
            connected=failure.connected,
            throttled=failure.asked_for_less,
            another=another,
        )

    def _dead(self, request: _Request, error: DeadEndpointError, *, attempts: int, repeated: bool) -> S3StopError:
        return S3StopError(
            0,
            DEAD,
            f"{self.endpoint.url}: {error}",
            request.key,
            verb=request.method,
            attempts=attempts,
            repeated=repeated,
        )

    async def _remedied(self, request: _Request, failure: _Failure, trial: _Trial) -> bool:
        """Whether what the server complains about is put right; else the failure's message says why not."""
        head_only = request.method == "HEAD"
        response = failure.response
        if response is None or not may_have_remedy(failure.code, response.status, head_only):
            return False
        if trial.remedies >= _REMEDIES_PER_REQUEST:
            return False
        trial.remedies += 1
        sent = failure.sent
        obstacle = await self._remedies.apply(
            failure.code, response, sent.route, sent.signed_with, sent.skew, head_only
        )
        self.endpoint = self._remedies.route.endpoint
        trial.obstacle = obstacle or ""
        return obstacle is None

    async def _attempt(self, request: _Request) -> Response | _Failure:
        """Raises DeadEndpointError where the wait for a turn ends with the endpoint's death."""
        entered_at = await self.pace.enter()
        if not self._breaker.broken:
            return await self._send(request, entered_at)
        self.pace.leave()
        async with self._breaker.turn():
            return await self._send(request, await self.pace.enter())

    async def _send(self, request: _Request, entered_at: float) -> Response | _Failure:
        pace = self.pace
        route = self._remedies.route
        method, key, query, headers, body, sink, read_timeout = request
        try:
            # Signed only now: the wait for a place may outlast a signature.
            data = route.build(method, key, query, headers, body)
            signed_with, skew = route.signer.signed_with, route.skew
            response = await route.pool.exchange(data, head_only=method == "HEAD", read_timeout=read_timeout, sink=sink)
        except TransportError as error:
            failure = _broken(error, _Sent(route, signed_with, skew))
        else:
            refusal = _refusal(method, key, headers, response)
            if refusal is None:
                self._authenticated = True
                pace.succeeded(entered_at)
                if self._breaker.failing:
                    self._breaker.succeeded()
                return response
            failure = _refused(response, *refusal, _Sent(route, signed_with, skew), self._authenticated)
        finally:
            pace.leave()
        if failure.throttled:
            pace.throttled(entered_at)
        return failure


class _Trial:
    """How often a request was sent, and whether it may be again.

    sent: requests that went out
    remedies: how often something was put right for it
    obstacle: why it was not
    repeated: one of them may have taken effect although its reply was lost
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._failed = 0
        self._throttled = 0
        self._waited = 0.0
        self.sent = 1
        self.remedies = 0
        self.obstacle = ""
        self.repeated = False

    def goes_on(self, failure: _Failure, endpoint_is_broken: bool) -> bool:
        """Whether there is budget left after `failure`. An endpoint that is broken is not this request's fault."""
        if endpoint_is_broken:
            return True
        if failure.asked_for_less:
            self._throttled += 1
            return self._waited < self._retry.patience
        self._failed += 1
        return self._failed < self._retry.attempts

    async def wait(self, failure: _Failure, endpoint_is_broken: bool) -> None:
        """Wait before the next attempt; where the endpoint is broken, the turn to probe it is what is waited for."""
        if endpoint_is_broken:
            return
        if failure.asked_for_less:
            self._waited += await self._retry.wait(self._throttled, throttled=True)
        else:
            await self._retry.wait(self._failed, throttled=False)


def _error(request: _Request, failure: _Failure, trial: _Trial) -> S3Error:
    kind = S3StopError if failure.stops else S3Error
    return kind(
        failure.status,
        failure.code,
        f"{failure.message}; {trial.obstacle}" if trial.obstacle else failure.message,
        request.key,
        verb=request.method,
        attempts=trial.sent,
        repeated=trial.repeated,
    )


def _broken(error: TransportError, sent: _Sent) -> _Failure:
    """What follows from no reply, or half of one."""
    hopeless = error.fault in (Fault.UNTRUSTED, Fault.PROXY)
    return _Failure(
        status=0,
        code=error.fault,
        message=f"{sent.route.endpoint.url}: {error}",
        final=error.delivered or hopeless,
        stops=error.fault is Fault.UNREACHABLE or hopeless,
        throttled=error.fault is Fault.TIMEOUT,
        asked_for_less=False,
        connected=error.fault is not Fault.UNREACHABLE,
        alive=error.begun,
        repeated=error.sent,
        response=None,
        sent=sent,
    )


def _refused(response: Response, code: str, message: str, sent: _Sent, authenticated: bool) -> _Failure:
    """What follows from a reply that says no."""
    meaning = meaning_of(response.status, code)
    # Once a signature was accepted the secret is right: what fails then is one odd key, which some
    # proxies and servers rewrite before they check.
    one_odd_key = code == "SignatureDoesNotMatch" and authenticated
    return _Failure(
        status=response.status,
        code=code,
        message=message,
        final=meaning in (Meaning.SKIP, Meaning.STOP),
        stops=meaning is Meaning.STOP and not one_odd_key,
        throttled=meaning is Meaning.WAIT,
        asked_for_less=meaning is Meaning.WAIT,
        connected=True,
        alive=response.status < 500 and meaning is not Meaning.WAIT,
        repeated=response.repeated or meaning is Meaning.RETRY,
        response=response,
        sent=sent,
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

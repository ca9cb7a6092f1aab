"""Recover from what one request reveals for all: expired credentials, a wrong clock, a wrong region."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from math import inf

from ...errors import RefusedError
from ..documents import http_time_of
from ..errors import CREDENTIAL_CODES, REGION_CODES, SKEW_CODE, read_region
from ..transport.connection import Response
from ..transport.endpoint import Credentials, Endpoint
from ..transport.route import Route

_SKEW_ALLOWED = 15 * 60
"""Seconds by which S3 lets a clock differ ("RequestTimeTooSkewed", S3 API reference)."""

_LEAST_CORRECTION = 60
"""Seconds by which a clock correction must differ from the current one to change anything."""

_GUESS_PAUSE = 60.0
"""Seconds between two renewals of credentials that are only suspected to have expired."""


class Recovery:
    """Resolves the cause of an error reply, for all further requests.

    route: the initial route of requests
    make_route: makes a route to another endpoint, given the clock skew in seconds
    """

    def __init__(self, route: Route, make_route: Callable[[Endpoint, float], Route]) -> None:
        self.route = route
        self._make_route = make_route
        self._regions = {route.endpoint.region}
        self._lock = asyncio.Lock()
        self._guessed_at = -inf

    async def apply(
        self, code: str, response: Response, route: Route, signed_with: Credentials | None, skew: float, head_only: bool
    ) -> str | None:
        """Try to resolve what `response` complains about.

        code: the error code, or one derived from the status
        route, signed_with, skew: how the refused request was sent
        head_only: it was a HEAD, whose reply has no error document

        Returns None if the request may be sent again, else why not (empty: nothing to add to the server's message).
        Raises S3StopError if credentials cannot be renewed.
        """
        # Many requests fail at once; the first one resolves it for all.
        async with self._lock:
            if route is not self.route or signed_with != self._signed_with() or skew != route.skew:
                return None
            if code in REGION_CODES or _names_region(response, head_only):
                return await self._go_to(read_region(response.headers, response.body))
            if code == SKEW_CODE or (head_only and response.status == 403 and self._is_skewed(response)):
                return self._set_clock(response)
            if code in CREDENTIAL_CODES:
                return await self._renew(signed_with)
            if self._may_have_expired(response, head_only):
                return None if await self._renew(signed_with) is None else ""
        return ""

    def _signed_with(self) -> Credentials | None:
        return self.route.signer.signed_with

    async def _renew(self, used: Credentials | None) -> str | None:
        renew = self.route.endpoint.renew
        if self.route.endpoint.credentials() != used:
            self.route.signer.refresh()
            return None
        if renew is None:
            return "these credentials are in the settings and cannot be renewed: set new ones and run again"
        fresh = await asyncio.to_thread(renew)
        if fresh == used:
            return "and AWS's credential chain has no newer credentials: log in again, or renew what the chain reads"
        self.route.signer.refresh()
        return None

    def _may_have_expired(self, response: Response, head_only: bool) -> bool:
        """Return whether a HEAD may have failed for an expired token, which S3 reports as 400 without a code."""
        temporary = (used := self._signed_with()) is not None and used.session_token is not None
        if not (head_only and response.status == 400 and temporary and self.route.endpoint.renew is not None):
            return False
        # It may as well be about the object (with SSE-C, for one), and renewing credentials takes long.
        now = time.monotonic()
        if now - self._guessed_at < _GUESS_PAUSE:
            return False
        self._guessed_at = now
        return True

    def _set_clock(self, response: Response) -> str | None:
        server = _server_time(response)
        if server is None:
            return "and the reply has no Date: set this machine's clock"
        skew = server - time.time()
        if abs(skew - self.route.skew) < _LEAST_CORRECTION:
            return "although the request had the time of the server's Date"
        self.route.skew = skew
        self.route.signer.refresh()
        return None

    def _is_skewed(self, response: Response) -> bool:
        server = _server_time(response)
        return server is not None and abs(server - time.time() - self.route.skew) >= _SKEW_ALLOWED

    async def _go_to(self, region: str | None) -> str | None:
        current = self.route.endpoint
        if region is None:
            return ""
        if region in self._regions:
            return "" if region == current.region else f"and region {region}, which it names, was tried before"
        self._regions.add(region)
        self._follow(await self._endpoint_in(region, current))
        return None

    async def _endpoint_in(self, region: str, current: Endpoint) -> Endpoint:
        """Return the bucket's endpoint in `region`. Its host never comes from a reply: it will get credentials."""
        same_host = replace(current, region=region)
        if current.relocate is None:
            return same_host
        try:
            moved = await asyncio.to_thread(current.relocate, region)
        except RefusedError:
            return same_host
        return moved if moved.is_aws else same_host

    def _follow(self, endpoint: Endpoint) -> None:
        previous = self.route
        self.route = self._make_route(endpoint, previous.skew)
        previous.close()


def _names_region(response: Response, head_only: bool) -> bool:
    """Return whether the reply to a HEAD names the bucket's region, as for a request to another one."""
    return head_only and response.status in (301, 307, 400) and b"x-amz-bucket-region" in response.headers


def _server_time(response: Response) -> float | None:
    try:
        return http_time_of(response.headers.get(b"date", b"").decode("latin-1")).timestamp()
    except ValueError:
        return None


def is_recoverable(code: str, status: int, head_only: bool) -> bool:
    """Return whether `Recovery.apply` may resolve an error. The reply to a HEAD has only its status."""
    if head_only:
        return status in (301, 307, 400, 403)
    return code == SKEW_CODE or code in CREDENTIAL_CODES or code in REGION_CODES

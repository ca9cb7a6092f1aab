"""What can be put right while requests are under way: credentials that expired, a wrong clock, a wrong region."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import parsedate_to_datetime
from math import inf

from ...errors import RefusedError
from ..errors import CREDENTIAL_CODES, REGION_CODES, SKEW_CODE, read_region
from ..transport.connection import Response
from ..transport.endpoint import Credentials, Endpoint
from ..transport.route import Route

_SKEW_ALLOWED = 15 * 60
"""Seconds that S3 lets a clock be off ("RequestTimeTooSkewed", S3 API reference)."""

_NOT_ALIKE = 60
"""Seconds between two clocks from which a correction can change anything."""

_GUESS_PAUSE = 60.0
"""Seconds between two requests for credentials on the mere suspicion that they have expired."""


class Remedies:
    """Puts right what a refusal complains about; what was learned holds for all further requests.

    route: the way that requests take at first
    make_route: makes the way to another endpoint, with a known skew
    """

    def __init__(self, route: Route, make_route: Callable[[Endpoint, float], Route]) -> None:
        self.route = route
        self._make_route = make_route
        self._regions = {route.endpoint.region}
        self._one_at_a_time = asyncio.Lock()
        self._guessed_at = -inf

    async def apply(
        self, code: str, response: Response, route: Route, signed_with: Credentials | None, skew: float, head_only: bool
    ) -> str | None:
        """Try to put right what `response` refuses.

        code: the error code, or one guessed from the status
        route, signed_with, skew: how the refused request went out
        head_only: the reply could not say more than its status

        Returns None where the request may be sent again, or what stands against it (empty: nothing to add).
        Raises S3StopError where asking for credentials fails.
        """
        # Many requests fail at once, and the first of them puts it right for all.
        async with self._one_at_a_time:
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
            self.route.signer.begin_anew()
            return None
        if renew is None:
            return "these are set by hand, so there are no newer ones: set new ones and run again"
        fresh = await asyncio.to_thread(renew)
        if fresh == used:
            return "and asking AWS's chain again brought the same credentials: log in again, or renew what it reads"
        self.route.signer.begin_anew()
        return None

    def _may_have_expired(self, response: Response, head_only: bool) -> bool:
        """Whether a reply without a body may be about a token: S3 answers those with a bare 400."""
        temporary = (used := self._signed_with()) is not None and used.session_token is not None
        if not (head_only and response.status == 400 and temporary and self.route.endpoint.renew is not None):
            return False
        # It may as well be about the object (as with SSE-C), and asking for credentials is dear.
        now = time.monotonic()
        if now - self._guessed_at < _GUESS_PAUSE:
            return False
        self._guessed_at = now
        return True

    def _set_clock(self, response: Response) -> str | None:
        server = _server_time(response)
        if server is None:
            return "and the reply does not say what time it is there: set this machine's clock"
        skew = server - time.time()
        if abs(skew - self.route.skew) < _NOT_ALIKE:
            return "though the request had the time that the server says it is"
        self.route.skew = skew
        self.route.signer.begin_anew()
        return None

    def _is_skewed(self, response: Response) -> bool:
        server = _server_time(response)
        return server is not None and abs(server - time.time() - self.route.skew) >= _SKEW_ALLOWED

    async def _go_to(self, region: str | None) -> str | None:
        here = self.route.endpoint
        if region is None:
            return ""
        if region in self._regions:
            return "" if region == here.region else f"and region {region}, which it names, was asked before"
        self._regions.add(region)
        self._follow(await self._find(here, region))
        return None

    async def _find(self, here: Endpoint, region: str) -> Endpoint:
        """Where the bucket is in `region`: a reply never names the host, so credentials go to no stranger."""
        same_host = replace(here, region=region)
        if here.relocate is None:
            return same_host
        try:
            there = await asyncio.to_thread(here.relocate, region)
        except RefusedError:
            return same_host
        return there if there.is_aws else same_host

    def _follow(self, endpoint: Endpoint) -> None:
        left = self.route
        self.route = self._make_route(endpoint, left.skew)
        left.close()


def _names_region(response: Response, head_only: bool) -> bool:
    """Whether a reply without a body says that its region is the trouble."""
    return head_only and response.status in (301, 307, 400) and b"x-amz-bucket-region" in response.headers


def _server_time(response: Response) -> float | None:
    try:
        return parsedate_to_datetime(response.headers.get(b"date", b"").decode("latin-1")).timestamp()
    except ValueError:
        return None


def may_have_remedy(code: str, status: int, head_only: bool) -> bool:
    """Whether `Remedies.apply` may help; a reply to HEAD has only its status to tell."""
    if head_only:
        return status in (301, 307, 400, 403)
    return code == SKEW_CODE or code in CREDENTIAL_CODES or code in REGION_CODES

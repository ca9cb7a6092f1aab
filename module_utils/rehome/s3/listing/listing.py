"""List a prefix by ListObjectsV2: page by page, and several ranges of keys in parallel if there is enough to list.

A listing can be left after some pages, and be continued by others, who each list some of the ranges.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..client.client import Client
from ..errors import S3RequestError
from .key_order import KeyOrder, OrderName
from .page import Page, parse_page
from .split_points import after_all_with, split_point

DISORDERED = "ListingDisordered"
"""The code of the error that only a listing with `parallel=1` avoids."""

_PAGE_ATTEMPTS = 3
_WAITING_PAGES = 4
_PAGES_BEFORE_SPLIT = 2
_FREE_PROBES = 24
_PAGES_PER_PROBE = 8
"""A probe ahead may find nothing new: each one beyond the free ones requires this many listed pages."""

ORDERS: tuple[OrderName, ...] = ("code_point", "utf_16", "folder")
ORDERS_OF_AWS: tuple[OrderName, ...] = ("code_point",)

_DIRECTORY_BUCKET = "--x-s3"
"""The suffix of their names. They list in no order and have no `StartAfter` (ListObjectsV2, S3 API reference)."""


class Remainder(NamedTuple):
    """What is left to list of a range of keys.

    token: the continuation token of its next page; None: it begins with the prefix
    end: the first key of the next range; None: there is no next range
    cursor: the last listed key
    seen, empty_from: hints of where to divide it (`_Range`)
    """

    token: str | None = None
    end: str | None = None
    cursor: str | None = None
    seen: str | None = None
    empty_from: str | None = None


class Left(NamedTuple):
    """What is left of a listing, as plain values. Each remainder can be continued by anybody, once.

    orders: those that the keys may be in, by what was listed (`KeyOrder.names`); () if it is not known: an AWS bucket
        or another one
    """

    remainders: tuple[Remainder, ...] = (Remainder(),)
    orders: tuple[OrderName, ...] = ()


WHOLE = Left()
"""Of a listing that has not begun."""


def list_objects(
    client: Client, prefix: str, page_size: int = 1000, *, parallel: int = 16
) -> AsyncGenerator[Page, None]:
    """Yield every object under `prefix` once, in pages. See `Listing`."""
    return Listing(client, prefix, page_size, parallel=parallel).pages()


class Listing:
    """A listing of every object under a prefix, or of those that another one has left.

    page_size: maximum number of keys in a reply; a server may return fewer
    parallel: maximum number of ranges that are listed at once. With 1, the pages are in the server's order.
    begun: what another listing has left. It has at most `parallel` remainders.
    left: what this one has left, once its pages are exhausted
    """

    def __init__(
        self,
        client: Client,
        prefix: str,
        page_size: int = 1000,
        *,
        parallel: int = 16,
        begun: Left = WHOLE,
    ) -> None:
        self._work = _Listing(client, prefix, page_size, parallel, begun)
        self.left = Left(())

    def leave(self) -> None:
        """Leave what is left after the next pages of each range, which are being listed, to others.

        A listing in which `start-after` was not found to work goes on to its end.
        """
        self._work.leaving = True

    @property
    def is_divided(self) -> bool:
        """Whether it was found to work to list from a key on, so that there are several ranges."""
        return self._work.divided

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Yield every object once, in pages. Each range of keys is in order, the pages as a whole are not.

        At AWS, the pages also have the restore status of archived objects. A few pages are listed in advance.
        Close the generator (`aclose`) unless it is exhausted. Raises S3Error and S3StopError.
        """
        running = asyncio.create_task(self._work.run())
        try:
            while (page := await self._work.pages.get()) is not None:
                yield page
            await running
            self.left = self._work.left()
        finally:
            running.cancel()
            await asyncio.wait([running])
            # Its error, if any, was raised above, or the listing is no longer wanted.
            _ = running.cancelled() or running.exception()


@dataclass(slots=True)
class _Range:
    """A range of keys in the server's order, up to but excluding `end`.

    end: the first key of the next range; None: there is no next range
    seen: a key that comes before all unlisted ones
    cursor: the last listed key
    empty_from: nothing was found above this text; a hint for the next split, not a bound
    token: of its next page, if it was left
    """

    end: str | None = None
    seen: str | None = None
    cursor: str | None = None
    empty_from: str | None = None
    pages: int = 0
    pages_before_split: int = 1
    probed: bool = False
    ended: bool = False
    token: str | None = None


class _Listing:
    """A listing in progress. `pages` has the listed pages, then None.

    How it is divided: while a range is listed by its continuation tokens, a second listing begins further ahead by
    `start-after`. Its first key becomes the end of the first range. So nothing depends on what `start-after` means to
    a server: one that skips keys (as SeaweedFS 4.48 does with those in a folder of that name) only makes the first
    range longer. What the ranges do depend on is that the keys are in one known order, and that is checked page by
    page.
    """

    def __init__(self, client: Client, prefix: str, page_size: int, parallel: int, begun: Left) -> None:
        self.leaving = False
        self.pages: asyncio.Queue[Page | None] = asyncio.Queue(_WAITING_PAGES)
        self._client = client
        self._ceiling = after_all_with(prefix)
        self._query = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", str(page_size)), ("prefix", prefix)]
        self._headers = {"x-amz-optional-object-attributes": "RestoreStatus"} if client.endpoint.is_aws else {}
        self._order = KeyOrder.named(begun.orders or (ORDERS_OF_AWS if client.endpoint.is_aws else ORDERS))
        self._parallel = parallel
        self._splits = parallel > 1 and not client.endpoint.bucket.endswith(_DIRECTORY_BUCKET)
        self._begun = begun.remainders
        self.divided = any(remainder.token is not None for remainder in begun.remainders)
        self._left: list[_Range] = []
        self._running = 0
        self._probe_count = 0
        self._page_count = 0

    async def run(self) -> None:
        """List everything into `pages`. Raises S3Error and S3StopError."""
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                await self._list_all(group)
        except* Exception as failures:
            failure = _first(failures)
        await self.pages.put(None)
        if failure is not None:
            raise failure

    def left(self) -> Left:
        """Return what is left, after `run`: what a probe has found meanwhile has shortened the ranges before it."""
        left = (Remainder(keys.token, keys.end, keys.cursor, keys.seen, keys.empty_from) for keys in self._left)
        return Left(tuple(left), self._order.names)

    async def _list_all(self, group: asyncio.TaskGroup) -> None:
        self._running = len(self._begun)
        for remainder in self._begun:
            group.create_task(self._continue(group, remainder))

    async def _continue(self, group: asyncio.TaskGroup, begun: Remainder) -> None:
        if begun.token is None:
            await self._list(group, _Range(pages_before_split=_PAGES_BEFORE_SPLIT), await self._page())
            return
        keys = _Range(begun.end, begun.seen, begun.cursor, begun.empty_from)
        await self._list(group, keys, await self._page(("continuation-token", begun.token)))

    async def _list(self, group: asyncio.TaskGroup, keys: _Range, page: Page) -> None:
        """List a range to its end. `page` is its first page."""
        while True:
            listed = self._within(keys, page)
            if not keys.ended:
                self._split(group, keys)
            if listed:
                await self.pages.put(listed)
            if keys.ended or page.next_token is None:
                break
            token = page.next_token
            if self._is_left:
                keys.token = token
                self._left.append(keys)
                break
            page = await self._page(("continuation-token", token))
            if page.next_token == token:
                raise S3RequestError(
                    200, "ListingStuck", "the server sends the same continuation token again", None, verb="GET"
                )
        self._running -= 1

    @property
    def _is_left(self) -> bool:
        return self.leaving and self.divided

    def _within(self, keys: _Range, page: Page) -> Page:
        """Return the objects of a page that are in the range, which ends here if the next key is in another one.

        Raises S3Error if the keys are in no known order after the listing was divided.
        """
        if self._splits or self.divided:
            self._order.observe(keys.cursor, page.keys)
            if not self._order.is_known:
                self._splits = False
                if self.divided:
                    raise S3RequestError(
                        200,
                        DISORDERED,
                        "the keys are listed in no known order, so that a parallel listing may miss some",
                        None,
                        verb="GET",
                    )
        stop = self._stop(keys, page.keys)
        keys.ended = stop < len(page) or page.next_token is None
        if stop:
            keys.cursor = page.keys[stop - 1]
            keys.seen = keys.seen or page.keys[0]
        keys.pages += 1
        self._page_count += 1
        return page.slice(0, stop)

    def _stop(self, keys: _Range, listed: Sequence[str]) -> int:
        """Return how many of the listed keys come before the next range."""
        end = keys.end
        if end is None or not listed:
            return len(listed)
        if end in listed:
            return listed.index(end)
        if self._order.surely_below(listed[-1], end):
            return len(listed)
        # The object may be deleted by now: then the first key beyond it marks the end.
        return next((at for at, key in enumerate(listed) if self._order.surely_below(end, key)), len(listed))

    def _split(self, group: asyncio.TaskGroup, keys: _Range) -> None:
        """Probe further ahead, if the keys that are left may be listed sooner in two ranges."""
        if not self._may_split(keys) or keys.cursor is None or keys.seen is None:
            return
        bounds = [bound for bound in (keys.empty_from, keys.end, self._ceiling) if bound and bound > keys.cursor]
        point = split_point(keys.seen, keys.cursor, min(bounds, default=None))
        if point is not None:
            self._running += 1
            self._probe_count += 1
            keys.probed = True
            group.create_task(self._list_from(group, keys, point))

    def _may_split(self, keys: _Range) -> bool:
        return (
            self._splits
            and not keys.probed
            and not self._is_left
            and self._running < self._parallel
            and keys.pages >= keys.pages_before_split
            and self._probe_count < _FREE_PROBES + self._page_count // _PAGES_PER_PROBE
            # If pages wait to be read, the server is not the bottleneck.
            and not self.pages.full()
        )

    async def _list_from(self, group: asyncio.TaskGroup, lower: _Range, point: str) -> None:
        """List what comes after `point`, if `lower` has it ahead."""
        try:
            page = await self._page(("start-after", point))
        except S3RequestError:
            # The server may refuse `start-after`, which a listing without splits does not need.
            self._splits = False
            page = None
        lower.probed = False
        empty_from = lower.empty_from
        if page is None or not self._is_ahead(lower, page, point):
            self._running -= 1
            return
        self.divided = True
        upper = _Range(end=lower.end, seen=lower.cursor, empty_from=empty_from)
        lower.end = page.keys[0]
        await self._list(group, upper, page)

    def _is_ahead(self, lower: _Range, page: Page, point: str) -> bool:
        """Return whether it is certain that `lower` has the keys of a page still ahead."""
        if lower.cursor is None or not self._splits:
            return False
        if not page:
            lower.empty_from = point
            return False
        first = page.keys[0]
        if self._order.never_below(point, first):
            self._splits = False
            return False
        lower.empty_from = point
        return self._order.surely_below(lower.cursor, first) and (
            lower.end is None or self._order.surely_below(first, lower.end)
        )

    async def _page(self, *position: tuple[str, str]) -> Page:
        problem = ""
        # S3 may reply 200 with XML that is cut short ("Listing object keys", S3 user guide).
        for _ in range(_PAGE_ATTEMPTS):
            response = await self._client.request("GET", None, query=[*self._query, *position], headers=self._headers)
            if response.status != 200:
                raise S3RequestError(response.status, "InvalidListing", "the bucket cannot be listed", None, verb="GET")
            try:
                return parse_page(response.body)
            except ValueError as error:
                problem = str(error)
        raise S3RequestError(
            200, "InvalidListing", f"the reply cannot be read as a listing ({problem})", None, verb="GET"
        )


def _first(failures: BaseExceptionGroup[Exception]) -> Exception:
    """Return the first error. (Errors from while the others are cancelled are in the group, too.)"""
    failure = failures.exceptions[0]
    return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure

"""Listing a prefix: ListObjectsV2, page by page, several ranges of keys at once where there is enough to list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from ..client.client import Client
from ..errors import S3Error, S3StopError
from .key_order import KeyOrder, by_code_point, by_folder, by_utf_16
from .page import Page, parse_page
from .split_points import after_all_with, split_point

DISORDERED = "ListingDisordered"
"""The code of the error that only a listing with `parallel=1` gets around."""

_PAGE_ATTEMPTS = 3
_WAITING_PAGES = 4
_PAGES_BEFORE_SPLIT = 2
_FREE_PROBES = 24
_PAGES_PER_PROBE = 8
"""A look ahead may bring nothing new: this many pages must have come for each one beyond the free ones."""

_DIRECTORY_BUCKET = "--x-s3"
"""How their names end; they list in no order and know no `StartAfter` (ListObjectsV2, S3 API reference)."""


async def list_objects(
    client: Client, prefix: str, page_size: int = 1000, *, parallel: int = 16
) -> AsyncGenerator[Page, None]:
    """Every object under `prefix`, each once. One range after the other has its order; the pages as a whole have none.

    page_size: keys that a request asks for; a server may give fewer
    parallel: ranges of keys that are listed at once, at most. 1 keeps to the server's own order, whatever that is

    Of objects at AWS it also asks whether an archived one is restored. At most a few pages wait to be used.
    Close it (`aclose`) where it is not run to its end. Raises S3Error and S3StopError.
    """
    listing = _Listing(client, prefix, page_size, parallel)
    running = asyncio.create_task(listing.run())
    try:
        while (page := await listing.pages.get()) is not None:
            yield page
        await running
    finally:
        running.cancel()
        await asyncio.wait([running])
        # Its error, if any, was raised above or belongs to a listing that nobody wants any more.
        _ = running.cancelled() or running.exception()


@dataclass(slots=True)
class _Range:
    """A run of keys as the server lists them: all that follow its first one, up to and without `end`.

    end: the first key of the range that follows; None: none follows
    seen: a key that comes before all that are ahead
    cursor: the last key that came
    empty_from: nothing was found above this text; a hint for the next split, not a bound
    """

    end: str | None = None
    seen: str | None = None
    cursor: str | None = None
    empty_from: str | None = None
    pages: int = 0
    pages_before_split: int = 1
    probed: bool = False
    ended: bool = False


class _Listing:
    """One listing on its way. `pages` are the ones that came, None at the end.

    How it is divided: while a range is listed by its continuation tokens, a second listing begins further ahead by
    `start-after`. Its first key is where the first one will end, when it gets there. So nothing depends on what
    `start-after` means to a server: one that passes over keys (as SeaweedFS 4.48 does with those in a folder of that
    name) only makes the first range longer. What the ranges do rest on is that the keys are in one known order, and
    that is checked, page by page.
    """

    def __init__(self, client: Client, prefix: str, page_size: int, parallel: int) -> None:
        self.pages: asyncio.Queue[Page | None] = asyncio.Queue(_WAITING_PAGES)
        self._client = client
        self._ceiling = after_all_with(prefix)
        self._query = [
            ("list-type", "2"),
            ("encoding-type", "url"),
            ("max-keys", str(page_size)),
            ("prefix", prefix),
        ]
        self._headers = {"x-amz-optional-object-attributes": "RestoreStatus"} if client.endpoint.is_aws else {}
        self._order = (
            KeyOrder(by_code_point) if client.endpoint.is_aws else KeyOrder(by_code_point, by_utf_16, by_folder)
        )
        self._parallel = parallel
        self._splits = parallel > 1 and not client.endpoint.bucket.endswith(_DIRECTORY_BUCKET)
        self._divided = False
        self._running = 0
        self._probe_count = 0
        self._page_count = 0

    async def run(self) -> None:
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                await self._list_all(group)
        except* Exception as failures:
            failure = _first(failures)
        await self.pages.put(None)
        if failure is not None:
            raise failure

    async def _list_all(self, group: asyncio.TaskGroup) -> None:
        self._running = 1
        await self._list(group, _Range(pages_before_split=_PAGES_BEFORE_SPLIT), await self._page())

    async def _list(self, group: asyncio.TaskGroup, keys: _Range, page: Page) -> None:
        """List a range to its end, `page` being its first one."""
        while True:
            part = self._share(keys, page)
            if not keys.ended:
                self._split(group, keys)
            if part:
                await self.pages.put(part)
            if keys.ended or page.next_token is None:
                break
            token = page.next_token
            page = await self._page(("continuation-token", token))
            if page.next_token == token:
                raise S3Error(
                    200, "ListingStuck", "the server sends the same continuation token again", None, verb="GET"
                )
        self._running -= 1

    def _share(self, keys: _Range, page: Page) -> Page:
        """What of a page belongs to the range, which ends with it if another one has the next key.

        Raises S3Error where the keys are in no known order, and it is too late to do without one.
        """
        if self._splits or self._divided:
            self._order.observe(keys.cursor, page.keys)
            if not self._order.is_known:
                self._splits = False
                if self._divided:
                    raise S3Error(
                        200,
                        DISORDERED,
                        "the keys are listed in no order that is known, so that several listings at once may miss some",
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
        """How many of the listed keys come before the next range."""
        end = keys.end
        if end is None or not listed:
            return len(listed)
        if end in listed:
            return listed.index(end)
        if self._order.surely_below(listed[-1], end):
            return len(listed)
        # The object may be gone by now: then the first one that is beyond it tells.
        return next((at for at, key in enumerate(listed) if self._order.surely_below(end, key)), len(listed))

    def _split(self, group: asyncio.TaskGroup, keys: _Range) -> None:
        """Have someone look further ahead, where the rest may be listed sooner by two."""
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
            and self._running < self._parallel
            and keys.pages >= keys.pages_before_split
            and self._probe_count < _FREE_PROBES + self._page_count // _PAGES_PER_PROBE
            # where pages wait, it is not the server that takes the time
            and not self.pages.full()
        )

    async def _list_from(self, group: asyncio.TaskGroup, lower: _Range, point: str) -> None:
        """List what comes after `point`, if that is a part of what `lower` has ahead."""
        try:
            page = await self._page(("start-after", point))
        except S3StopError:
            raise
        except S3Error:
            # What needs no split needs no `start-after` either.
            self._splits = False
            page = None
        lower.probed = False
        empty_from = lower.empty_from
        if page is None or not self._is_ahead(lower, page, point):
            self._running -= 1
            return
        self._divided = True
        upper = _Range(end=lower.end, seen=lower.cursor, empty_from=empty_from)
        lower.end = page.keys[0]
        await self._list(group, upper, page)

    def _is_ahead(self, lower: _Range, page: Page, point: str) -> bool:
        """Whether the keys of a page are surely ones that `lower` would come to, and has not."""
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

    async def _page(self, *where: tuple[str, str]) -> Page:
        problem = ""
        # S3 may answer 200 with XML that is cut short ("Listing object keys", S3 user guide).
        for _ in range(_PAGE_ATTEMPTS):
            response = await self._client.request("GET", None, query=[*self._query, *where], headers=self._headers)
            if response.status != 200:
                raise S3Error(response.status, "InvalidListing", "the bucket cannot be listed", None, verb="GET")
            try:
                return parse_page(response.body)
            except ValueError as error:
                problem = str(error)
        raise S3Error(200, "InvalidListing", f"the reply cannot be read as a listing ({problem})", None, verb="GET")


def _first(failures: BaseExceptionGroup[Exception]) -> Exception:
    """What went wrong first. (What goes wrong while the others are being cancelled is in the group as well.)"""
    failure = failures.exceptions[0]
    return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure

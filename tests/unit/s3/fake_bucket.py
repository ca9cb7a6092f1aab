"""An in-memory bucket that lists its keys exactly as ListObjectsV2 does, or as some other servers do."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

from rehome.s3.client.client import Client
from rehome.s3.errors import S3RequestError
from rehome.s3.transport.connection import Response

Order = Callable[[str], Any]


def by_utf8(key: str) -> bytes:
    return key.encode()


def by_utf16(key: str) -> bytes:
    return key.encode("utf-16-be")


def by_folders(key: str) -> list[bytes]:
    return [name.encode() for name in key.split("/")]


class FakeBucket(Client):
    """Takes the place of a client and replies to its requests.

    order: how it sorts keys
    honours: whether it supports `start-after`, for each request with it
    skips_folders: it skips what is in the folder that `start-after` names
    most: maximum number of keys in a page, whatever is requested
    """

    def __init__(
        self,
        keys: Iterable[str],
        *,
        name: str = "bucket",
        is_aws: bool = False,
        order: Order = by_utf8,
        honours: Callable[[int], bool] = lambda time: True,
        most: int = 1000,
        refuses: bool = False,
        skips_folders: bool = False,
    ) -> None:
        self._order = order
        self._keys = sorted(keys, key=order)
        self._places = [order(key) for key in self._keys]
        self._honours = honours
        self._most = most
        self._refuses = refuses
        self._skips_folders = skips_folders
        self._address = SimpleNamespace(bucket=name, is_aws=is_aws)
        self._gone: set[str] = set()
        self.requests: list[dict[str, str]] = []
        self.headers: list[Mapping[str, str]] = []
        self.splits = 0
        self.in_flight = 0
        self.peak = 0

    @property
    def endpoint(self) -> Any:
        return self._address

    async def request(  # type: ignore[override] # what a listing asks for
        self, method: str, key: str | None, *, query: Sequence[tuple[str, str]], headers: Mapping[str, str]
    ) -> Response:
        given = dict(query)
        self.requests.append(given)
        self.headers.append(headers)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return Response(200, {}, self._page(given))
        finally:
            self.in_flight -= 1

    def remove(self, keys: set[str]) -> None:
        """Delete objects."""
        self._gone |= keys

    def _page(self, given: dict[str, str]) -> bytes:
        place = self._place(given)
        count = min(int(given["max-keys"]), self._most)
        shown = (at for at in range(place, len(self._keys)) if self._shows(at, given["prefix"]))
        places = list(islice(shown, count + 1))
        shown, left = [self._keys[at] for at in places[:count]], places[count:]
        token = f"<NextContinuationToken>{left[0]}</NextContinuationToken>" if left else ""
        entries = "".join(
            f"<Contents><Key>{escape(quote_plus(key, safe='/'))}</Key><LastModified>now</LastModified>"
            f"<ETag>&quot;e&quot;</ETag><Size>{len(key)}</Size></Contents>"
            for key in shown
        )
        return (
            f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{'true' if left else 'false'}"
            f"</IsTruncated>{token}{entries}</ListBucketResult>"
        ).encode()

    def _shows(self, at: int, prefix: str) -> bool:
        return self._keys[at].startswith(prefix) and self._keys[at] not in self._gone

    def _place(self, given: dict[str, str]) -> int:
        if "continuation-token" in given:
            return int(given["continuation-token"])
        if "start-after" not in given:
            return 0
        self.splits += 1
        if self._refuses:
            raise S3RequestError(501, "NotImplemented", "start-after", None, verb="GET")
        if not self._honours(self.splits):
            return 0
        after = given["start-after"]
        place: int = bisect_right(self._places, self._order(after))
        while self._skips_folders and place < len(self._keys) and self._keys[place].startswith(after + "/"):
            place += 1
        return place

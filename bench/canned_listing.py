"""`python -m bench.canned_listing BUCKET/PREFIX=COUNT…`: a server that lists invented objects as fast as it can send.

Under each prefix are `avatar-0000000.png` and so on, with more digits if it takes more. All entries have the same
length, so any page is a slice of prepared bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs, unquote, urlsplit

from .canned import reply, serve

BLOCK = 1_000
SIZE = 600
LEAST_DIGITS = 7
_LAST = "\U0010ffff"
_MARK = b"@"
"""Placeholder, once for each digit, for the thousands of an entry's number, in its key and in its ETag."""


def name(number: int, digits: int) -> str:
    """Return the name of the object with this number."""
    return f"avatar-{number:0{digits}d}.png"


@dataclass(frozen=True, slots=True)
class Shelf:
    """The objects under one prefix. All numbers have as many digits, so keys and numbers have the same order."""

    prefix: str
    count: int

    @property
    def digits(self) -> int:
        """How many digits each number has."""
        return max(LEAST_DIGITS, len(str(self.count - 1)))

    def key(self, number: int) -> str:
        """Return the key of the object with this number."""
        return f"{self.prefix}{name(number, self.digits)}"

    def first_after(self, key: str) -> int:
        """Return the number of the first object whose key comes after this one."""
        return bisect_right(range(self.count), key, key=self.key)

    def under(self, prefix: str) -> tuple[int, int]:
        """Return the range of numbers under a prefix: the first, and the one after the last."""
        begin = bisect_left(range(self.count), prefix, key=self.key)
        return begin, bisect_left(range(self.count), prefix + _LAST, key=self.key)

    def entries(self, begin: int, end: int) -> bytes:
        """Return the listing's entries of these numbers."""
        template, length = _template(self.prefix, self.digits)
        mark = _MARK * (self.digits - 3)
        cut = []
        while begin < end:
            block, offset = divmod(begin, BLOCK)
            take = min(end - begin, BLOCK - offset)
            cut.append(template[offset * length : (offset + take) * length].replace(mark, b"%0*d" % (len(mark), block)))
            begin += take
        return b"".join(cut)

    def page(self, prefix: str, after: str, max_keys: int) -> bytes:
        """Return a ListBucketResult of ListObjectsV2."""
        begin, stop = self.under(prefix)
        begin = max(begin, self.first_after(after) if after else 0)
        end = min(begin + max_keys, stop)
        more = end < stop
        token = f"<NextContinuationToken>{self.key(end - 1)}</NextContinuationToken>" if more else ""
        head = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>bench</Name><Prefix>{prefix}</Prefix><KeyCount>{max(end - begin, 0)}</KeyCount>"
            f"<MaxKeys>{max_keys}</MaxKeys><EncodingType>url</EncodingType>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}"
        )
        return head.encode() + self.entries(begin, end) + b"</ListBucketResult>"


@lru_cache
def _template(prefix: str, digits: int) -> tuple[bytes, int]:
    """Return a thousand entries with placeholders for their thousands, and the length of each."""
    mark = _MARK * (digits - 3)
    entries = [
        b"<Contents><Key>%savatar-%s%03d.png</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        b"<ETag>&quot;%s%s%03d&quot;</ETag><Size>%d</Size><StorageClass>STANDARD</StorageClass></Contents>"
        % (prefix.encode(), mark, number, b"5eed".ljust(32 - digits, b"0"), mark, number, SIZE)
        for number in range(BLOCK)
    ]
    return b"".join(entries), len(entries[0])


def answer(shelves: dict[str, Shelf], line: bytes) -> bytes:
    """Return the response to a request, of which only the first line counts."""
    method, target, _ = line.decode().split(" ", 2)
    url = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
    shelf = shelves.get(unquote(url.path).strip("/"))
    if shelf is None or method != "GET" or query.get("list-type") != "2" or "delimiter" in query:
        return reply(b"501 Not Implemented", b"<Error><Code>NotImplemented</Code></Error>")
    after = max(query.get("continuation-token", ""), query.get("start-after", ""))
    body = shelf.page(query.get("prefix", ""), after, min(int(query.get("max-keys", BLOCK)), BLOCK))
    return reply(b"200 OK", body)


def main() -> int:
    """Serve. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.canned_listing")
    parser.add_argument("shelves", nargs="+", metavar="BUCKET/PREFIX=COUNT")
    shelves = {}
    for text in parser.parse_args().shelves:
        place, _, count = text.rpartition("=")
        bucket, _, prefix = place.partition("/")
        shelves[bucket] = Shelf(prefix, int(count))

    def send(line: bytes, transport: asyncio.Transport) -> None:
        transport.write(answer(shelves, line))

    serve(send)
    return 0


if __name__ == "__main__":
    sys.exit(main())

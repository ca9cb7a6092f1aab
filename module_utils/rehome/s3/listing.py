"""Listing a prefix: ListObjectsV2, page by page, the next one on its way while one is being used."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import AsyncGenerator
from typing import NamedTuple
from urllib.parse import unquote_plus

from .client import Client
from .errors import S3Error

_PAGE_ATTEMPTS = 3


class Listed(NamedTuple):
    """An object as the listing shows it.

    etag: without its quotes
    last_modified: ISO 8601, as listed
    """

    key: str
    size: int
    etag: str
    last_modified: str
    storage_class: str


class Page(NamedTuple):
    """One page. next_token: None on the last one."""

    objects: list[Listed]
    next_token: str | None


async def list_objects(client: Client, prefix: str, page_size: int = 1000) -> AsyncGenerator[list[Listed], None]:
    """Every object under `prefix`, in the order of the server (UTF-8 bytes, for general-purpose buckets).

    Close it (`aclose`) where it is not run to its end. Raises S3Error and S3StopError.
    """
    seen_token: str | None = None
    page = await _page(client, prefix, page_size, None)
    while page.next_token is not None:
        if page.next_token == seen_token:
            raise S3Error(200, "ListingStuck", "the server sends the same continuation token again", None, verb="GET")
        seen_token = page.next_token
        ahead = asyncio.create_task(_page(client, prefix, page_size, seen_token))
        try:
            yield page.objects
            page = await ahead
        finally:
            if not ahead.done():
                ahead.cancel()
            await asyncio.wait([ahead])
            # Its error, if any, was raised above or belongs to a listing that nobody wants any more.
            _ = ahead.cancelled() or ahead.exception()
    if page.objects:
        yield page.objects


def parse_page(body: bytes) -> Page:
    """Read a ListBucketResult. Raises ValueError where it is not a whole one.

    Under `EncodingType` url a space is written `+` and a plus `%2B` (SeaweedFS 4.48 does; botocore decodes
    AWS likewise). A server that ignores `encoding-type` leaves `EncodingType` out, and its keys are plain.
    """
    try:
        # Expat limits entity expansion itself since 2.4.1, so a hostile document costs nothing.
        root = ET.fromstring(body)  # noqa: S314
    except ET.ParseError as error:
        raise ValueError(f"not XML: {error}") from None
    namespace = root.tag.removesuffix("ListBucketResult")
    if namespace == root.tag:
        raise ValueError(f"a {root.tag}, not a ListBucketResult")
    key_tag, size_tag, etag_tag, modified_tag, class_tag, entry_tag = (
        namespace + name for name in ("Key", "Size", "ETag", "LastModified", "StorageClass", "Contents")
    )
    encoded = root.findtext(f"{namespace}EncodingType") == "url"
    objects = []
    for entry in root.iterfind(entry_tag):
        fields = {child.tag: child.text or "" for child in entry}
        try:
            key = fields[key_tag]
            objects.append(
                Listed(
                    unquote_plus(key, errors="strict") if encoded else key,
                    int(fields[size_tag]),
                    fields[etag_tag].strip('"'),
                    fields[modified_tag],
                    fields.get(class_tag) or "STANDARD",
                )
            )
        except KeyError as error:
            raise ValueError(f"an entry without {error}") from None
    truncated = root.findtext(f"{namespace}IsTruncated") == "true"
    token = root.findtext(f"{namespace}NextContinuationToken") if truncated else None
    if truncated and not token:
        raise ValueError("truncated, but without a continuation token")
    return Page(objects, token)


async def _page(client: Client, prefix: str, page_size: int, token: str | None) -> Page:
    query = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", str(page_size)), ("prefix", prefix)]
    if token is not None:
        query.append(("continuation-token", token))
    problem = ""
    # S3 may answer 200 with XML that is cut short ("Listing object keys", S3 user guide).
    for _ in range(_PAGE_ATTEMPTS):
        response = await client.request("GET", None, query=query)
        if response.status != 200:
            raise S3Error(response.status, "InvalidListing", "the bucket cannot be listed", None, verb="GET")
        try:
            return parse_page(response.body)
        except ValueError as error:
            problem = str(error)
    raise S3Error(200, "InvalidListing", f"the reply cannot be read as a listing ({problem})", None, verb="GET")

"""Pages of a listing, as servers write them."""

from __future__ import annotations

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def entry(key: str, size: int = 1, etag: str = "&quot;e&quot;", more: str = "") -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>"
        f"<ETag>{etag}</ETag>{more}<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def page(*entries: str, token: str | None = None, encoding: str = "url", namespace: str = NAMESPACE) -> bytes:
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult {namespace}><Name>b</Name><Prefix/>'
        f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>{more}"
        f"{f'<EncodingType>{encoding}</EncodingType>' if encoding else ''}{''.join(entries)}</ListBucketResult>"
    ).encode()

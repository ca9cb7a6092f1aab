"""The response of a server without objects to a copy: success, with the ETag that every job here expects."""

from __future__ import annotations

from collections.abc import Iterator

from rehome.s3.objects.job import CopyJob

ETAG = "5eed00000000000000000000000000ed"
SIZE = 600
COPIED = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<CopyObjectResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    f"<ETag>&quot;{ETAG}&quot;</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></CopyObjectResult>"
).encode()


def jobs(count: int) -> Iterator[CopyJob]:
    """Return so many objects to copy."""
    for number in range(count):
        yield CopyJob(f"image/avatar-{number}.png", ETAG, SIZE, f"avatar/avatar-{number}.png")


def listing(count: int) -> bytes:
    """Return the reply to a listing of `image/`: all sources of so many jobs on one page."""
    keys = [
        f"<Contents><Key>{job.source_key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{ETAG}&quot;</ETag><Size>{SIZE}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for job in jobs(count)
    ]
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>legacy</Name><Prefix>image/</Prefix><KeyCount>{count}</KeyCount><MaxKeys>{count}</MaxKeys>"
        f"<IsTruncated>false</IsTruncated>{''.join(keys)}</ListBucketResult>"
    ).encode()

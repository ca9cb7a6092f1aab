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

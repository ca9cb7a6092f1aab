"""Whether these credentials may remove delete markers, which is the way back of a delete. Changes nothing."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from ..client.client import Client
from ..deletion.versions import NO_VERSION_ID
from ..support import Support, is_rejection
from .scratch import try_request


class MarkerRight(NamedTuple):
    """Whether delete markers may be removed, and the service's words if not."""

    support: Support
    answer: str = ""


async def marker_right(client: Client, prefix: str) -> MarkerRight:
    """Delete a version of a key that no object has ever had, by its id, and see whether that is denied.

    S3 has one right for markers and all other versions (s3:DeleteObjectVersion), and asks for it before it looks for
    the version; deleting one that does not exist succeeds, and leaves no marker (DeleteObject, S3 API reference).
    Raises S3Error if the service does not reply or throttles, and S3StopError.
    """
    # Not among the scratch objects, on which there may be a right of its own.
    key = f"{prefix}rehome-no-object-{secrets.token_hex(16)}"
    response = await try_request(client, "DELETE", key, query=[("versionId", NO_VERSION_ID)])
    if response.ok or response.status == 404:
        return MarkerRight(Support.HAS)
    if response.denied:
        return MarkerRight(Support.DENIED, response.answer)
    rejects = is_rejection(response.status, response.code, response.message)
    return MarkerRight(Support.REJECTS if rejects else Support.UNKNOWN, response.answer)

"""Whether two prefixes show the same objects, as access points and aliases of one bucket do."""

from __future__ import annotations

from ..client.client import Client
from ..errors import S3Error
from ..objects.compare import head
from .scratch import Scratch, try_request


async def may_be_same_object(source: Client, key: str, target: Client, target_key: str) -> bool:
    """Whether two names may be those of one object, by what both sides tell of it.

    No two objects have one version id. Without ids, two may have been stored in the same second.
    """
    sides = [(await head(source, key)).headers, (await head(target, target_key)).headers]
    ids = {side.get(b"x-amz-version-id", b"null") for side in sides}
    if len(ids) > 1:
        return False
    return ids != {b"null"} or sides[0].get(b"last-modified") == sides[1].get(b"last-modified")


async def is_same_place(source: Client, prefix: str, target: Client, target_prefix: str) -> bool:
    """Whether a scratch object that is stored under one prefix shows under the other.

    Raises S3Error where it may not be stored or looked for, and S3StopError.
    """
    scratch = Scratch(source, prefix, {})
    key = scratch.folder + "place"
    try:
        stored = await scratch.put("place", {})
        if not stored.ok:
            raise S3Error(stored.status, stored.code, stored.message, key, verb="PUT")
        shown = await try_request(target, "HEAD", target_prefix + key.removeprefix(prefix))
        if not shown.ok and shown.status != 404:
            raise S3Error(shown.status, shown.code, shown.message, key, verb="HEAD")
        return shown.ok
    finally:
        await scratch.clean()

"""Whether two prefixes show the same objects, as access points and aliases of one bucket do."""

from __future__ import annotations

from ..client.client import Client
from ..objects.compare import head
from .scratch import Scratch, try_request


async def may_be_same_object(source: Client, key: str, target: Client, target_key: str) -> bool:
    """Return whether two keys may name the same object, by what HeadObject says about both.

    Two objects never have the same version id. Without ids, two may have been stored in the same second.
    """
    heads = [(await head(source, key)).headers, (await head(target, target_key)).headers]
    ids = {headers.get(b"x-amz-version-id", b"null") for headers in heads}
    if len(ids) > 1:
        return False
    return ids != {b"null"} or heads[0].get(b"last-modified") == heads[1].get(b"last-modified")


async def is_same_place(source: Client, prefix: str, target: Client, target_prefix: str) -> bool:
    """Return whether a scratch object stored under one prefix shows under the other.

    Raises S3Error if it cannot be stored or read, and S3StopError.
    """
    scratch = Scratch(source, prefix, {})
    key = scratch.folder + "place"
    try:
        stored = await scratch.put("place", {})
        if not stored.ok:
            raise stored.error(key, "PUT")
        shown = await try_request(target, "HEAD", target_prefix + key.removeprefix(prefix))
        if not shown.ok and shown.status != 404:
            raise shown.error(key, "HEAD")
        return shown.ok
    finally:
        await scratch.clean()

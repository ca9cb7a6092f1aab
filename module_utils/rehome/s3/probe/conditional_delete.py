"""How a service can be made to delete only what was judged: found out by trying on scratch objects."""

from __future__ import annotations

from ..client.client import Client
from ..deletion.delete import DeleteJob, DeleteMethod, delete_objects
from ..errors import S3Error
from .scratch import Scratch, try_request

_WRONG = "0" * 32


async def delete_method(source: Client, prefix: str) -> DeleteMethod | None:
    """The fastest way in which this service keeps a delete's condition; None where it keeps it in none.

    Amazon's S3 keeps both ("How to perform conditional deletes", S3 user guide), and is not tried. Elsewhere scratch
    objects `<prefix>.rehome-probe-…` are stored in the bucket and removed again, because a service that ignores the
    condition deletes what it was tried on. Raises S3Error, with status 403 where they may not be stored, and
    S3StopError.
    """
    if source.endpoint.is_aws:
        return "together"
    scratch = Scratch(source, prefix, {})
    try:
        methods: tuple[DeleteMethod, ...] = ("together", "singly")
        for method in methods:
            if await _keeps_condition(source, scratch, method):
                return method
        return None
    finally:
        await scratch.clean()


async def _keeps_condition(source: Client, scratch: Scratch, method: DeleteMethod) -> bool:
    """Whether an object stays under a wrong ETag and goes under its own."""
    stored = await scratch.put(method, {})
    if not stored.ok:
        raise S3Error(stored.status, stored.code, stored.message, scratch.folder + method, verb="PUT")
    key, etag = scratch.folder + method, stored.headers.get(b"etag", b"").decode().strip('"')
    if method == "together":
        (wrong,) = await delete_objects(source, [DeleteJob(key, _WRONG)], method)
        marker = wrong.marker
    else:
        # without the look that comes before it: the condition alone is on trial
        answer = await try_request(source, "DELETE", key, headers={"if-match": f'"{_WRONG}"'})
        marker = answer.headers.get(b"x-amz-version-id", b"").decode() or None
    stays = (await try_request(source, "HEAD", key)).ok
    if stays:
        (right,) = await delete_objects(source, [DeleteJob(key, etag)], method)
        marker = right.marker
        stays = right.result == "deleted" and not (await try_request(source, "HEAD", key)).ok
    if marker:
        # the scratch object's own version is removed with the others; nothing shall stay on top of it
        await try_request(source, "DELETE", key, query=[("versionId", marker)])
    return stays

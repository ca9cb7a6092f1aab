"""Find out on scratch objects how a service can be made to delete an object only under a condition."""

from __future__ import annotations

from ..client.client import Client
from ..deletion.delete import DeleteJob, DeleteMethod, delete_objects
from ..errors import DENIED_CODES, S3RequestError
from .scratch import Scratch, try_request

_WRONG = "0" * 32


async def delete_method(source: Client, prefix: str) -> DeleteMethod | None:
    """Return the fastest method whose condition this service honours, or None if it ignores all.

    Amazon's S3 honours all ("How to perform conditional deletes", S3 user guide), and is not tried. Elsewhere scratch
    objects `<prefix>.rehome-probe-…` are stored in the bucket and removed again, because a service that ignores the
    condition deletes the object that it is tried on. Raises S3Error, with status 403 if they may not be stored or
    deleted, and S3StopError.
    """
    if source.endpoint.is_aws:
        return "together"
    scratch = Scratch(source, prefix, {})
    try:
        methods: tuple[DeleteMethod, ...] = ("together", "singly")
        for method in methods:
            if await _honours_condition(source, scratch, method):
                return method
        return None
    finally:
        await scratch.clean()


async def _honours_condition(source: Client, scratch: Scratch, method: DeleteMethod) -> bool:
    """Return whether an object stays if the condition names a wrong ETag, and is deleted if it names its own."""
    key = scratch.folder + method
    stored = await scratch.put(method, {})
    if not stored.ok:
        raise stored.error(key, "PUT")
    if method == "together":
        (wrong,) = await delete_objects(source, [DeleteJob(key, _WRONG)], method)
        marker = wrong.marker
    else:
        # Without the HEAD that `delete_objects` sends first: only the condition is tried.
        response = await try_request(source, "DELETE", key, headers={"if-match": f'"{_WRONG}"'})
        marker = response.headers.get(b"x-amz-version-id", b"").decode() or None
    honoured = (await try_request(source, "HEAD", key)).ok
    if honoured:
        (right,) = await delete_objects(source, [DeleteJob(key, stored.etag().strip('"'))], method)
        if right.error in DENIED_CODES:
            raise S3RequestError(403, right.error or "", right.message or "", key, verb="DELETE")
        marker = right.marker
        honoured = right.result == "deleted" and not (await try_request(source, "HEAD", key)).ok
    if marker:
        # `clean` removes the scratch object's own version; no delete marker should stay on top of it.
        await try_request(source, "DELETE", key, query=[("versionId", marker)])
    return honoured

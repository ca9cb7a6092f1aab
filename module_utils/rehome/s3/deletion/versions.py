"""A bucket's versioning, object lock and lifecycle, and the versions of an object."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from urllib.parse import unquote_plus

from ..client.client import Client
from ..client.replies import document_of
from ..documents import fields_of, http_time_of, local_name, root_of, time_of
from ..errors import S3RequestError, read_error
from ..support import is_rejection

Versioning = Literal["enabled", "suspended", "off"]
"""While versioning is suspended, a delete removes the version that was stored without an id ("Deleting objects from
versioning-suspended buckets", S3 user guide), so that it cannot be undone."""

NO_VERSION_ID = "null"
"""S3's id of the version that was stored while the bucket kept no versions."""

_NO_LOCK_CODES = frozenset({"ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration"})

_WINDOW = timedelta(hours=1)
"""How far a marker's time may be from the moment that a delete was intended, by two clocks: no request lives longer."""


class Version(NamedTuple):
    """A version of an object.

    etag: without quotes; "" for a delete marker
    last_modified: ISO 8601, as listed
    """

    key: str
    version_id: str
    is_marker: bool = True
    etag: str = ""
    last_modified: str = ""


class VersioningState(NamedTuple):
    """Whether a bucket keeps versions, and the service's time when it said so (None: it named no time)."""

    state: Versioning
    reported_at: datetime | None


async def versioning_of(client: Client) -> VersioningState:
    """Return whether the bucket keeps versions (GetBucketVersioning). Raises S3Error and S3StopError.

    A service that does not know the request keeps none.
    """
    try:
        reply = await client.request("GET", None, query=[("versioning", "")])
    except S3RequestError as error:
        if is_rejection(error.status, error.code, error.message):
            return VersioningState("off", None)
        raise
    document = root_of(reply.body)
    # Some services give the document another name.
    if reply.status != 200 or document is None or "Versioning" not in local_name(document):
        code, message = read_error(reply.status, reply.body)
        raise S3RequestError(reply.status, code, message, None, verb="GET")
    status = fields_of(document).get("Status", "")
    state: Versioning = "enabled" if status == "Enabled" else "suspended" if status == "Suspended" else "off"
    date = reply.headers.get(b"date")
    return VersioningState(state, http_time_of(date.decode()) if date else None)


async def has_object_lock(client: Client) -> bool:
    """Return whether the bucket's objects may be under retention or legal hold (GetObjectLockConfiguration).

    Raises S3Error if the service has such locks and refuses to say, and S3StopError.
    """
    try:
        reply = await client.request("GET", None, query=[("object-lock", "")])
    except S3RequestError as error:
        if error.code in _NO_LOCK_CODES or is_rejection(error.status, error.code, error.message):
            return False
        raise
    document = root_of(reply.body) if reply.status == 200 else None
    return document is not None and fields_of(document).get("ObjectLockEnabled") == "Enabled"


async def noncurrent_days(client: Client) -> int | None:
    """Return after how many days the bucket's lifecycle rules start to remove the versions under delete markers.

    None: never, or these credentials may not read the rules (s3:GetLifecycleConfiguration). Raises S3StopError.
    """
    try:
        reply = await client.request("GET", None, query=[("lifecycle", "")])
    except S3RequestError:
        return None
    document = root_of(reply.body) if reply.status == 200 else None
    found = []
    for rule in [] if document is None else document:
        for part in rule if fields_of(rule).get("Status") == "Enabled" else []:
            days = fields_of(part).get("NoncurrentDays", "")
            if local_name(part) == "NoncurrentVersionExpiration" and days.isdecimal():
                found.append(int(days))
    return min(found, default=None)


async def newest_versions(client: Client, key: str, limit: int = 10) -> list[Version]:
    """Return the newest versions of `key`, newest first (ListObjectVersions; needs s3:ListBucketVersions).

    A key is listed before all others that begin with it, so that its versions are on the first page. Raises S3Error and
    S3StopError.
    """
    query = [("versions", ""), ("encoding-type", "url"), ("max-keys", str(limit)), ("prefix", key)]
    document = document_of(await client.request("GET", None, query=query), "ListVersionsResult", key)
    encoded = fields_of(document).get("EncodingType") == "url"
    found: list[tuple[bool, Version]] = []
    for element in document:
        if local_name(element) in ("Version", "DeleteMarker"):
            fields = fields_of(element)
            listed_key = fields.get("Key", "")
            version = Version(
                unquote_plus(listed_key) if encoded else listed_key,
                fields.get("VersionId", ""),
                local_name(element) == "DeleteMarker",
                fields.get("ETag", "").strip('"'),
                fields.get("LastModified", ""),
            )
            found.append((fields.get("IsLatest") == "true", version))
    # Some services list markers after all versions, whatever their time.
    found.sort(key=lambda one: (one[0], one[1].last_modified), reverse=True)
    return [version for _, version in found if version.key == key]


async def find_delete_marker(client: Client, key: str, etag: str, intended_at: datetime) -> str | None:
    """Return the id of the delete marker that covers the version with this ETag, or None.

    For a delete whose reply was lost: the marker counts only if it was made about when the delete was intended. Raises
    S3Error and S3StopError.
    """
    newest = await newest_versions(client, key)
    if len(newest) < 2 or not newest[0].is_marker or newest[1].is_marker or newest[1].etag != etag:
        return None
    if newest[0].version_id == NO_VERSION_ID:
        return None
    made_at = time_of(newest[0].last_modified)
    return newest[0].version_id if abs(made_at - intended_at) <= _WINDOW else None

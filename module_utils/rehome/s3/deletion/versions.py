"""Which versions a bucket keeps, and which one of an object is on top."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple
from urllib.parse import unquote_plus

from ..client.client import Client
from ..documents import fields_of, local_name, root_of
from ..errors import S3Error, S3StopError, read_error

Versioning = Literal["enabled", "suspended", "off"]
"""While it is suspended a delete takes the version away that was stored without an id ("Deleting objects from
versioning-suspended buckets", S3 user guide), so that it is no way back."""

NO_VERSION_ID = "null"
"""What S3 calls the version that was stored while the bucket kept none."""

_NO_LOCK_CODES = frozenset({"ObjectLockConfigurationNotFoundError", "NotImplemented", "NoSuchObjectLockConfiguration"})

_WINDOW = timedelta(hours=1)
"""How far a marker's time may be from the moment that a delete was meant, by two clocks: no request lives longer."""


class Version(NamedTuple):
    """A version of an object. etag: without quotes, empty for a delete marker; last_modified: as listed"""

    key: str
    version_id: str
    is_marker: bool = True
    etag: str = ""
    last_modified: str = ""


class VersioningState(NamedTuple):
    """What a bucket keeps, and the service's time when it said so; None where it told no time."""

    state: Versioning
    reported_at: datetime | None


async def versioning_of(client: Client) -> VersioningState:
    """Whether the bucket keeps versions (GetBucketVersioning). Raises S3Error and S3StopError."""
    reply = await client.request("GET", None, query=[("versioning", "")])
    document = root_of(reply.body)
    # some services name the document otherwise
    if reply.status != 200 or document is None or "Versioning" not in local_name(document):
        code, message = read_error(reply.status, reply.body)
        raise S3Error(reply.status, code, message, None, verb="GET")
    status = fields_of(document).get("Status", "")
    state: Versioning = "enabled" if status == "Enabled" else "suspended" if status == "Suspended" else "off"
    date = reply.headers.get(b"date")
    return VersioningState(state, parsedate_to_datetime(date.decode()) if date else None)


async def has_object_lock(client: Client) -> bool:
    """Whether objects of the bucket may be under retention or legal hold (GetObjectLockConfiguration).

    Raises S3Error where the service has such locks and does not tell, and S3StopError.
    """
    try:
        reply = await client.request("GET", None, query=[("object-lock", "")])
    except S3StopError:
        raise
    except S3Error as error:
        if error.code in _NO_LOCK_CODES or error.status == 501:
            return False
        raise
    document = root_of(reply.body) if reply.status == 200 else None
    return document is not None and fields_of(document).get("ObjectLockEnabled") == "Enabled"


async def noncurrent_days(client: Client) -> int | None:
    """After how many days the bucket's lifecycle rules begin to remove what lies under a delete marker.

    None: they do not, or these credentials may not see them (s3:GetLifecycleConfiguration). Raises S3StopError.
    """
    try:
        reply = await client.request("GET", None, query=[("lifecycle", "")])
    except S3StopError:
        raise
    except S3Error:
        return None
    document = root_of(reply.body) if reply.status == 200 else None
    found = []
    for rule in [] if document is None else document:
        for part in rule if fields_of(rule).get("Status") == "Enabled" else []:
            days = fields_of(part).get("NoncurrentDays", "")
            if local_name(part) == "NoncurrentVersionExpiration" and days.isdecimal():
                found.append(int(days))
    return min(found, default=None)


async def newest_versions(client: Client, key: str, most: int = 10) -> list[Version]:
    """The newest versions of `key`, newest first (ListObjectVersions; needs s3:ListBucketVersions).

    A key comes before all others that begin with it, so that they are on the first page. Raises S3Error and
    S3StopError.
    """
    query = [("versions", ""), ("encoding-type", "url"), ("max-keys", str(most)), ("prefix", key)]
    reply = await client.request("GET", None, query=query)
    document = root_of(reply.body)
    if reply.status != 200 or document is None or local_name(document) != "ListVersionsResult":
        code, message = read_error(reply.status, reply.body)
        raise S3Error(reply.status, code, message, key, verb="GET")
    encoded = fields_of(document).get("EncodingType") == "url"
    found: list[tuple[bool, Version]] = []
    for element in document:
        if local_name(element) in ("Version", "DeleteMarker"):
            fields = fields_of(element)
            listed = fields.get("Key", "")
            version = Version(
                unquote_plus(listed) if encoded else listed,
                fields.get("VersionId", ""),
                local_name(element) == "DeleteMarker",
                fields.get("ETag", "").strip('"'),
                fields.get("LastModified", ""),
            )
            found.append((fields.get("IsLatest") == "true", version))
    # some services list markers after all versions, whatever their time
    found.sort(key=lambda one: (one[0], one[1].last_modified), reverse=True)
    return [version for _, version in found if version.key == key]


async def find_delete_marker(client: Client, key: str, etag: str, intended_at: datetime) -> str | None:
    """The id of the delete marker that now lies right on the version with this ETag, made about when it was meant.

    For a delete whose reply was lost. Raises S3Error and S3StopError.
    """
    newest = await newest_versions(client, key)
    if len(newest) < 2 or not newest[0].is_marker or newest[1].is_marker or newest[1].etag != etag:
        return None
    if newest[0].version_id == NO_VERSION_ID:
        return None
    made_at = datetime.fromisoformat(newest[0].last_modified)
    made_at = made_at if made_at.tzinfo else made_at.replace(tzinfo=UTC)
    return newest[0].version_id if abs(made_at - intended_at) <= _WINDOW else None

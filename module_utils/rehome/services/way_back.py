"""The way back of deletes: whether it exists, told before the first one."""

from __future__ import annotations

import uvloop

from ..checks import Check, unknown, warn
from ..codes import Code
from ..config.settings import Settings, Side
from ..s3.client.client import Client
from ..s3.deletion.versions import versioning_of
from ..s3.errors import S3Error, S3RequestError
from ..s3.probe.marker_right import MarkerRight, marker_right
from ..s3.support import Support
from .clients import open_client

_NAME = "way back"


def check_way_back(settings: Settings, side: Side) -> list[Check]:
    """Return whether what is deleted from `side` can be brought back; nothing if the bucket keeps no versions."""
    return uvloop.run(_check(settings, side))


async def _check(settings: Settings, side: Side) -> list[Check]:
    try:
        async with open_client(settings, side, probing=True) as client:
            if (await versioning_of(client)).state != "enabled":
                return []  # `inspect_bucket` says so, and the deletion itself refuses it
            return [await way_back(client, side)]
    except S3Error as error:
        return [unknown(f"{side.label} bucket", _NAME, str(error))]


async def way_back(client: Client, side: Side) -> Check:
    """Return whether these credentials may remove the delete markers of a bucket that keeps versions."""
    subject = f"{side.label} bucket"
    try:
        right = await marker_right(client, side.prefix)
    except S3RequestError as error:
        right = MarkerRight(Support.UNKNOWN, str(error))
    if right.support:
        return Check(subject, _NAME, "pass", "these credentials may remove the delete markers that a delete leaves")
    if right.support is Support.DENIED:
        found = (
            "these credentials may not remove the delete markers that a delete leaves "
            f"({right.answer}): nothing that is deleted can be brought back with them, not even an object that a row "
            "names by then"
        )
        return warn(subject, _NAME, found, grant_markers(side), code=Code.NO_WAY_BACK)
    if right.support is Support.REJECTS:
        found = f"the service rejects the removal of a version by its id ({right.answer})"
        return warn(
            subject, _NAME, found, "Find out how this service brings deleted objects back", code=Code.NO_WAY_BACK
        )
    return unknown(subject, _NAME, f"whether these credentials may remove delete markers ({right.answer})")


def grant_markers(side: Side) -> str:
    """Return how the right to remove delete markers is given."""
    return (
        f"Grant s3:DeleteObjectVersion on arn:aws:s3:::{side.bucket}/{side.prefix}*: rehome_grants_undelete: true "
        "and playbooks/grants.yml do"
    )

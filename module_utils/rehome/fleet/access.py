"""What a worker can do with its own keys, found as the controller's preflight finds what it can do itself."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import uvloop

from ..codes import Code
from ..config.settings import Side
from ..errors import Finding, RefusedError
from ..s3.client.client import Client
from ..s3.endpoint.resolve import resolve
from ..s3.errors import S3Error
from ..s3.objects.target_headers import TargetHeaders
from ..s3.probe.probe import Rights, probe_rights
from ..s3.probe.reachable import check_bucket
from ..s3.probe.scratch import RETRY
from .orders import Orders

REQUESTS = 4
"""In flight to a bucket: a trial sends few, and every worker sends them at once."""


class Access(NamedTuple):
    """What a worker found at the buckets.

    unreachable: what keeps it from them; with it, no right was tried
    lacking: what its keys may not do
    unread, unwritten: as of `Rights`
    """

    unreachable: tuple[Finding, ...] = ()
    lacking: tuple[Finding, ...] = ()
    unread: str | None = None
    unwritten: str | None = None


def find_access(orders: Orders, *, writes: bool) -> Access:
    """Return what this machine's own keys are good for.

    writes: try also to begin an upload, which is aborted
    Raises nothing for what a setting, a server or a network can cause.
    """
    unreachable = [_told(finding, side) for side in (orders.source, orders.target) for finding in check_bucket(side)]
    if unreachable:
        return Access(tuple(unreachable))
    try:
        rights = uvloop.run(_rights(orders, writes=writes))
    except RefusedError as refusal:
        return Access(refusal.findings)
    except S3Error as error:
        place = f"s3://{orders.target.bucket}/{orders.target.prefix}"
        problem = f"what its keys may do cannot be tried: {error}"
        return Access((), (Finding("rehome_target", place, problem, "Correct what S3 names", Code.S3_ANSWERED),))
    return Access((), *rights)


def _told(finding: Finding, side: Side) -> Finding:
    """Return the finding with a way out that a worker has: keys in the settings are not sent to it."""
    if finding.code is not Code.NO_S3_CREDENTIALS:
        return finding
    return replace(
        finding,
        setting=f"{side.setting}.profile",
        problem="no credentials were found in its chain (environment, profile, role)",
        way_out="Give the worker's machine a role, variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), or a profile "
        f"(cluster_member_profiles) that {side.setting}.profile names, and start the worker again",
    )


async def _rights(orders: Orders, *, writes: bool) -> Rights:
    options = orders.options
    async with (
        Client(resolve(orders.source), REQUESTS, retry=RETRY) as source,
        Client(resolve(orders.target), REQUESTS, retry=RETRY) as target,
    ):
        return await probe_rights(
            source,
            target,
            orders.target.prefix,
            source_prefix=orders.source.prefix,
            method=options.method,
            storage_headers=TargetHeaders(source, target, options).constant,
            acl=options.acl == "copy",
            tags=options.tags,
            writes=writes,
        )

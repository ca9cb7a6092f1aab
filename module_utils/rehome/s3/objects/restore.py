"""Request readable copies of archived objects (RestoreObject). S3 takes minutes to days to make them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from ...config.settings import RestoreTier
from ..client.client import Client
from ..concurrency import run_all
from ..errors import S3RequestError, S3StopError, read_error
from ..support import is_rejection

RestoreState = Literal["requested", "restored", "in_progress", "failed"]

_NO_DAYS_CLASS = "INTELLIGENT_TIERING"


class ArchivedObject(NamedTuple):
    """An object to restore, as listed."""

    key: str
    storage_class: str = "GLACIER"


class RestoreResult(NamedTuple):
    """The outcome of one request.

    state: `requested`: S3 has begun · `restored`: a readable copy exists already, and its time starts again ·
        `in_progress`: S3 is working on an earlier request · `failed`
    error, message: S3's code and message, if it failed
    """

    key: str
    state: RestoreState
    error: str | None = None
    message: str | None = None


async def request_restores(
    client: Client,
    objects: Iterator[ArchivedObject],
    days: int,
    tier: RestoreTier,
    on_result: Callable[[RestoreResult], None],
) -> Counter[RestoreState]:
    """Request the restore of every object that `objects` yields, and call `on_result` exactly once for each.

    days: how long the readable copy stays, at least 1. Objects of the class INTELLIGENT_TIERING become readable for
        good instead ("Restoring an archived object", S3 user guide)
    tier: how fast: Expedited 1 to 5 minutes (not for DEEP_ARCHIVE), Standard 3 to 12 hours, Bulk 5 to 48, at falling
        prices ("Archive retrieval options", S3 user guide)

    Needs s3:RestoreObject. Sends as many requests at once as the client has connections; objects are taken one by one.
    Returns how many ended in each state. Raises S3StopError if no further request can succeed, once the results of
    those in flight are reported; errors of `objects` and `on_result` end it at once.
    """
    if days < 1:
        raise ValueError(f"{days} days: a restored copy stays for at least one")
    counts: Counter[RestoreState] = Counter()
    stop: S3StopError | None = None

    async def work() -> None:
        nonlocal stop
        while stop is None and (item := next(objects, None)) is not None:
            try:
                result = await _request(client, item, days, tier)
            except S3StopError as error:
                stop = stop or error
                result = RestoreResult(item.key, "failed", error.code, error.message)
            counts[result.state] += 1
            on_result(result)

    await run_all(*(work() for _ in range(client.max_connections)))
    if stop is not None:
        raise stop
    return counts


async def _request(client: Client, item: ArchivedObject, days: int, tier: RestoreTier) -> RestoreResult:
    # S3 refuses Days for this class (RestoreObject, S3 API reference).
    stay = "" if item.storage_class == _NO_DAYS_CLASS else f"<Days>{days}</Days>"
    body = (
        f'<RestoreRequest xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{stay}'
        f"<GlacierJobParameters><Tier>{tier}</Tier></GlacierJobParameters></RestoreRequest>"
    ).encode()
    try:
        reply = await client.request("POST", item.key, query=[("restore", "")], body=body)
    except S3RequestError as error:
        if error.code == "RestoreAlreadyInProgress":
            return RestoreResult(item.key, "in_progress")
        if is_rejection(error.status, error.code, error.message):
            # every other object would get the same
            raise S3StopError(error.status, error.code, error.message, item.key, verb="POST") from None
        return RestoreResult(item.key, "failed", error.code, error.message)
    if reply.status == 202:
        return RestoreResult(item.key, "requested")
    if reply.status == 200:
        return RestoreResult(item.key, "restored")
    return RestoreResult(item.key, "failed", *read_error(reply.status, reply.body))

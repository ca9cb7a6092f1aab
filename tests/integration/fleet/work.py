"""What the tests of a cluster do to a migration."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from rehome.config.cluster import Cluster
from rehome.config.settings import Settings
from rehome.fleet.comparing import Pair
from rehome.fleet.connect import connected

from sandbox.authority import Member
from sandbox.s3_server import S3Server
from tests.integration.fleet.cluster import FleetOfTest
from tests.integration.migration import Migration
from tests.integration.s3.opening import access_of

MEBIBYTE = 1024**2
Ended = tuple[str, str, str | None, str | None]


def settings_of(
    migration: Migration,
    store: S3Server,
    fleet: FleetOfTest | None,
    *,
    workers: int = 1,
    wait_s: float = 60.0,
    member: Member | None = None,
    with_keys: bool = False,
    endpoint_url: str = "",
    **more: Any,
) -> Settings:
    """The settings; without a cluster if `fleet` is None.

    with_keys: the sides have keys, and a profile for the workers
    endpoint_url: the store's, in place of its own
    """
    access = access_of(store)
    if endpoint_url:
        access["endpoint_url"] = endpoint_url
    if with_keys:
        access["profile"] = "mover"
    else:
        access = {name: value for name, value in access.items() if "key" not in name}
    sides = {
        "source": {"bucket": migration.source, "prefix": "image/", **access},
        "target": {"bucket": migration.target, "prefix": "avatar/", **access},
    }
    cluster = None if fleet is None else fleet.settings(member, workers=workers, wait_s=wait_s)
    return migration.settings(**sides, cluster=cluster, **more)


def fill(migration: Migration, count: int, body: Callable[[int], bytes] = lambda number: b"%d" % number) -> None:
    """Store objects in the source."""

    def put(number: int) -> None:
        migration.s3.put_object(
            Bucket=migration.source, Key=f"image/avatar-{number:05}.png", Body=body(number), ContentType="image/png"
        )

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(put, range(count)))


def outcomes_of(migration: Migration) -> list[Ended]:
    """What is recorded of each object."""
    found = migration.catalog.query("SELECT suffix, result, target_etag, evidence FROM outcomes ORDER BY suffix")
    return [(suffix, result, etag, evidence) for suffix, result, etag, evidence in found]


@contextmanager
def once_copied(migration: Migration, least: int, do: Callable[[], object]) -> Iterator[None]:
    """Do something once the target has so many objects, while the block is at work."""
    with once(lambda: len(migration.target_keys()) >= least, do):
        yield


@contextmanager
def once(is_reached: Callable[[], bool], do: Callable[[], object]) -> Iterator[None]:
    """Do something once a moment is reached, while the block is at work."""
    failures = list[BaseException]()

    def watch() -> None:
        deadline = time.monotonic() + 60
        try:
            while not is_reached():
                assert time.monotonic() < deadline, "nothing is done"
                time.sleep(0.02)
            do()
        except BaseException as error:  # raised again in the test's thread
            failures.append(error)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failures:
        raise failures[0]


def fill_target_in_parts(migration: Migration, count: int, body: Callable[[int], bytes]) -> None:
    """Store objects in the target whose ETags are no digests, as other programs upload them."""

    def put(number: int) -> None:
        where = {"Bucket": migration.target, "Key": f"avatar/avatar-{number:05}.png"}
        upload = {**where, "UploadId": migration.target_s3.create_multipart_upload(**where)["UploadId"]}
        part = migration.target_s3.upload_part(**upload, PartNumber=1, Body=body(number))
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        migration.target_s3.complete_multipart_upload(**upload, MultipartUpload=parts)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(put, range(count)))


def pairs_of(migration: Migration) -> list[Pair]:
    """Every object in the source, with the one of its name in the target."""
    found = [
        s3.list_objects_v2(Bucket=bucket)["Contents"]
        for s3, bucket in ((migration.s3, migration.source), (migration.target_s3, migration.target))
    ]
    there, moved = (
        {item["Key"].partition("/")[2]: (item["Size"], item["ETag"].strip('"')) for item in items} for items in found
    )
    return [(suffix, size, etag, moved[suffix][1]) for suffix, (size, etag) in there.items()]


def left_in(cluster: Cluster) -> dict[str, object]:
    """The plugins of scheduler and workers that are ours, and how many tasks there are."""
    return asyncio.run(_left(cluster))


async def _left(cluster: Cluster) -> dict[str, object]:
    async with connected(cluster) as client:
        ours = await client.run_on_scheduler(
            lambda dask_scheduler: {
                "scheduler": [name for name in dask_scheduler.plugins if name.startswith("rehome")],
                "tasks": len(dask_scheduler.tasks),
            }
        )
        workers = await client.run(
            lambda dask_worker: (dask_worker.name, [name for name in dask_worker.plugins if name.startswith("rehome")])
        )
        return ours | dict(workers.values())

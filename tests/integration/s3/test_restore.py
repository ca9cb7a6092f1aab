"""Restoring archived objects, on moto, which supports it."""

from __future__ import annotations

from rehome.s3.objects.restore import ArchivedObject, RestoreResult, request_restores

from matrix.servers.moto import Moto
from tests.integration.s3.opening import new_buckets, opened, witness
from tests.unit.s3.wire import on_uvloop


@on_uvloop
async def test_archived_objects_become_readable_and_others_are_reported(moto: Moto) -> None:
    buckets = new_buckets(moto)
    client = witness(moto)
    keys = [f"image/a + {number}.png" for number in range(5)]
    for key in keys:
        client.put_object(Bucket=buckets.source, Key=key, Body=b"png", StorageClass="GLACIER")
    client.put_object(Bucket=buckets.source, Key="plain", Body=b"png")
    results: list[RestoreResult] = []
    async with opened(moto, buckets) as (source, _):

        async def restore(names: list[str]) -> dict[str, int]:
            objects = (ArchivedObject(name) for name in names)
            return await request_restores(source, objects, 7, "Bulk", results.append)

        assert await restore(keys) == {"requested": 5}
        for key in keys:
            assert "expiry-date" in client.head_object(Bucket=buckets.source, Key=key)["Restore"]
        assert await restore(keys) == {"restored": 5}
        results.clear()
        assert await restore(["plain", "nothing"]) == {"failed": 2}
    assert {one.key: one.error for one in results} == {"plain": "InvalidObjectState", "nothing": "NoSuchKey"}

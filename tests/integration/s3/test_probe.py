"""What real servers lack according to the probe, and that it leaves nothing in them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from rehome.mapping.key_shapes import KeyShape
from rehome.s3.capabilities import AMAZON
from rehome.s3.errors import S3Error
from rehome.s3.probe.probe import ProbeResult, probe
from rehome.s3.probe.scratch import SCRATCH_NAME
from rehome.s3.support import Support

from matrix.servers.moto import Moto
from sandbox.s3_server import S3Server
from tests.conftest import Buckets
from tests.integration.s3.opening import new_buckets, opened, witness
from tests.unit.s3.wire import on_uvloop

SEAWEEDFS = replace(
    AMAZON,
    refused_keys=frozenset(
        {
            KeyShape.DOT_SEGMENT,
            KeyShape.EMPTY_SEGMENT,
            KeyShape.FOLDER,
            KeyShape.BACKSLASH,
            KeyShape.NUL,
            KeyShape.LONG_SEGMENT,
        }
    ),
)
CEPH = replace(
    AMAZON,
    target_condition=Support.IGNORES,
    target_match=Support.IGNORES,
    part_condition=Support.IGNORES,
    refused_keys=frozenset({KeyShape.NUL}),
)
MOTO = replace(
    AMAZON,
    source_condition=Support.IGNORES,
    target_condition=Support.IGNORES,
    target_match=Support.IGNORES,
    complete_match=Support.IGNORES,
    part_condition=Support.IGNORES,
    refused_keys=frozenset({KeyShape.LINE_BREAK}),
)


KNOWN = {"seaweedfs": SEAWEEDFS, "ceph": CEPH, "moto": MOTO}
"""What each store lacks of what Amazon's S3 does."""


async def probed(server: S3Server, buckets: Buckets, user: str = "migrate") -> ProbeResult:
    async with opened(server, buckets, user) as (source, target):
        return await probe(source, target, "avatar/", source_prefix="image/")


def left_in(server: S3Server, buckets: Buckets) -> list[str]:
    """Return the keys of all scratch objects, with their versions, delete markers and uploads."""
    client = witness(server)
    found = []
    for bucket in (buckets.source, buckets.target):
        versions = client.list_object_versions(Bucket=bucket)
        uploads = client.list_multipart_uploads(Bucket=bucket)
        found += [
            entry["Key"]
            for entry in (
                *versions.get("Versions", []),
                *versions.get("DeleteMarkers", []),
                *uploads.get("Uploads", []),
            )
        ]
    return [key for key in found if SCRATCH_NAME in key]


@pytest.mark.parametrize("versioned", [False, True])
@on_uvloop
async def test_the_object_store_lacks_what_is_known_of_it_and_nothing_is_left(
    object_store: S3Server, versioned: bool
) -> None:
    buckets = new_buckets(object_store)
    client = witness(object_store)
    client.put_object(Bucket=buckets.source, Key="image/a.png", Body=b"png", Tagging="a=b")
    if versioned:
        client.put_bucket_versioning(Bucket=buckets.target, VersioningConfiguration={"Status": "Enabled"})
    result = await probed(object_store, buckets)
    assert result.findings == ()
    known = KNOWN[object_store.name]
    assert replace(result.capabilities, refused_keys=known.refused_keys) == known
    # SeaweedFS does not keep an object in a versioned bucket as a file of its name, which may be no longer than 255.
    spared = {KeyShape.LONG_SEGMENT} if versioned else set()
    assert result.capabilities.refused_keys - spared == known.refused_keys - spared
    assert left_in(object_store, buckets) == []


@pytest.mark.parametrize("versioned", [False, True])
@on_uvloop
async def test_moto_lacks_the_conditions_on_copies(moto: Moto, versioned: bool) -> None:
    buckets = new_buckets(moto)
    if versioned:
        witness(moto).put_bucket_versioning(Bucket=buckets.target, VersioningConfiguration={"Status": "Enabled"})
    assert await probed(moto, buckets) == ProbeResult(MOTO)
    assert left_in(moto, buckets) == []


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize("user", ["migrate", "admin"])
@on_uvloop
async def test_the_trial_of_content_that_is_refused_leaves_nothing(
    object_store: S3Server, user: str, versioned: bool
) -> None:
    buckets = new_buckets(object_store)
    if versioned:
        witness(object_store).put_bucket_versioning(
            Bucket=buckets.target, VersioningConfiguration={"Status": "Enabled"}
        )
    async with opened(object_store, buckets, user) as (source, target):
        found = await probe(source, target, "avatar/", source_prefix="image/", method="stream")
        assert found.findings == ()
        if object_store.name == "seaweedfs":
            assert found.capabilities.content_md5 is Support.HAS
        for steps in (20, 60, 100):
            running = asyncio.create_task(probe(source, target, "avatar/", method="stream"))
            for _ in range(steps):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait([running])
    assert left_in(object_store, buckets) == []


@pytest.mark.needs("rights")
@on_uvloop
async def test_credentials_that_may_not_write_are_reported(object_store: S3Server, buckets: Buckets) -> None:
    (finding,) = (await probed(object_store, buckets, "reader")).findings
    assert finding.setting == "rehome_target"
    assert "s3:PutObject" in finding.way_out
    assert left_in(object_store, buckets) == []


@pytest.mark.needs("rights")
@on_uvloop
async def test_a_source_that_the_targets_credentials_cannot_read_is_reported(object_store: S3Server) -> None:
    """The admin lists a bucket in which `migrate` has no rights at all."""
    client = witness(object_store)
    buckets = new_buckets(object_store)
    hidden = Buckets(f"hidden-{buckets.source}", buckets.target)
    client.create_bucket(Bucket=hidden.source)
    client.put_object(Bucket=hidden.source, Key="image/a.png", Body=b"png")
    async with opened(object_store, hidden, "admin") as (source, _), opened(object_store, hidden) as (_, target):
        (finding,) = (await probe(source, target, "avatar/", source_prefix="image/")).findings
        assert finding.setting == "rehome_target"
        assert f"s3:GetObject on arn:aws:s3:::{hidden.source}/image/*" in finding.way_out
        streamed = await probe(source, target, "avatar/", source_prefix="image/", method="stream")
        assert streamed.findings == ()


@on_uvloop
async def test_a_cancelled_probe_leaves_nothing(object_store: S3Server, buckets: Buckets) -> None:
    async with opened(object_store, buckets) as (source, target):
        for steps in (5, 20, 40, 80):
            running = asyncio.create_task(probe(source, target, "avatar/"))
            for _ in range(steps):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait([running])
        assert left_in(object_store, buckets) == []


@on_uvloop
async def test_probes_at_the_same_time_do_not_disturb_each_other(moto: Moto) -> None:
    buckets = new_buckets(moto)
    async with opened(moto, buckets) as (source, target):
        results = await asyncio.gather(*(probe(source, target, "avatar/") for _ in range(3)))
    assert results == [ProbeResult(MOTO)] * 3
    assert left_in(moto, buckets) == []


@on_uvloop
async def test_a_missing_bucket_ends_the_probe(object_store: S3Server) -> None:
    nowhere = Buckets("legacy-s3-nowhere", "production-s3-nowhere")
    async with opened(object_store, nowhere) as (source, target):
        with pytest.raises(S3Error, match="NoSuchBucket"):
            await probe(source, target, "avatar/")

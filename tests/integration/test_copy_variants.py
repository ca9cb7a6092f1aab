"""Migrations between two services, from archived sources, with an inventory, and of a slice."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rehome.catalog import catalog
from rehome.checks import refusals
from rehome.errors import RehomeError
from rehome.fleet import comparing
from rehome.mapping.key_shapes import KeyShape
from rehome.preflight.preflight import preflight
from rehome.progress import Progress
from rehome.run import Run
from rehome.s3.capabilities import UNTRIED
from rehome.s3.client.client import Client
from rehome.s3.endpoint.resolve import resolve
from rehome.s3.errors import S3RequestError
from rehome.s3.listing.listing import DISORDERED, Left, Listing
from rehome.s3.listing.page import Listed, Page
from rehome.services.capabilities import known_capabilities
from rehome.stages.restore_archived import restore_archived
from rehome.stages.verify_sample import compare_sample

from matrix.servers.moto import Moto
from sandbox.s3_server import S3Server
from sandbox.sqlite import SQLite
from tests.conftest import Buckets
from tests.integration.migration import Migration
from tests.integration.s3.opening import capabilities


@pytest.fixture
def migration(object_store: S3Server, buckets: Buckets, sqlite: SQLite, tmp_path: Path) -> Iterator[Migration]:
    made = Migration(object_store, buckets, sqlite, tmp_path)
    yield made
    made.close()


@pytest.fixture
def from_moto(
    moto: Moto, object_store: S3Server, buckets: Buckets, sqlite: SQLite, tmp_path: Path
) -> Iterator[Migration]:
    """A migration from moto to SeaweedFS."""
    moto.client().create_bucket(Bucket=buckets.source)
    made = Migration(moto, buckets, sqlite, tmp_path, target_store=object_store)
    yield made
    made.close()


@pytest.fixture
def in_moto(moto: Moto, buckets: Buckets, sqlite: SQLite, tmp_path: Path) -> Iterator[Migration]:
    """A migration within moto, which supports archived objects."""
    for bucket in (buckets.source, buckets.target):
        moto.client().create_bucket(Bucket=bucket)
    made = Migration(moto, buckets, sqlite, tmp_path)
    yield made
    made.close()


def test_between_two_services_objects_are_streamed_and_rows_follow(from_moto: Migration) -> None:
    migration, settings = from_moto, from_moto.settings()
    for number in range(5):
        migration.put(f"avatar-{number}.png", b"x" * number, ContentType="image/png", Metadata={"owner": str(number)})
    migration.plan(settings)
    counts = migration.copy(settings)
    assert (counts.method, counts.copied) == ("stream", 5)
    assert migration.rewrite(settings).rewritten == 5
    assert migration.verify(settings).complete
    copied = migration.target_s3.head_object(Bucket=migration.target, Key="avatar/avatar-3.png")
    assert (copied["ContentType"], copied["Metadata"]) == ("image/png", {"owner": "3"})
    assert migration.plan(settings).objects["present"] == 5


def test_a_copy_inside_the_service_is_refused_between_two(from_moto: Migration, tmp_path: Path) -> None:
    found = preflight(from_moto.settings(copy_method="server_side"), dry_run=True, progress=Progress(tmp_path))
    (refusal,) = refusals(found.checks)
    assert refusal.setting == "rehome_copy_method"
    assert "which are two services" in str(refusal)


def test_preflight_tries_the_services_and_leaves_nothing(
    migration: Migration, object_store: S3Server, tmp_path: Path
) -> None:
    settings = migration.settings()
    migration.put("avatar-1.png")
    ends = resolve(settings.source), resolve(settings.target)
    preflight(settings, dry_run=True, progress=Progress(tmp_path))
    assert known_capabilities(settings, *ends) == UNTRIED
    preflight(settings, dry_run=False, progress=Progress(tmp_path))
    assert known_capabilities(settings, *ends) == capabilities(object_store)
    assert migration.target_keys() == []


@pytest.mark.needs("refused keys")
def test_keys_that_the_target_does_not_take_are_unroutable_before_the_first_copy(
    from_moto: Migration, object_store: S3Server, tmp_path: Path
) -> None:
    migration, settings = from_moto, from_moto.settings()
    # a target that does not keep objects as files takes it, but never NUL
    odd = "avatar-1/../2.png" if KeyShape.DOT_SEGMENT in capabilities(object_store).refused_keys else "avatar-\0.png"
    migration.put(odd)
    migration.put("avatar-3.png")
    preflight(settings, dry_run=False, progress=Progress(tmp_path))
    plan = migration.plan(settings)
    assert (plan.objects["to_copy"], plan.objects["unroutable"]) == (1, 1)
    assert migration.catalog.query("SELECT suffix FROM objects WHERE class = 'unroutable'") == [(odd,)]


def test_archived_objects_are_restored_on_request_and_copied_by_a_later_pass(in_moto: Migration) -> None:
    migration = in_moto
    migration.put("avatar-cold.png", StorageClass="GLACIER")
    migration.put("avatar-warm.png")
    settings = migration.settings()
    plan = migration.plan(settings)
    assert (plan.objects["archived"], plan.objects["to_copy"], plan.rows["blocked"]) == (1, 1, 1)
    unrequested = restore_archived(Run(settings, migration.catalog, Progress(settings.state_dir)))
    assert unrequested.requested == 0
    restoring = migration.settings(restore={"days": 3, "tier": "Bulk"})
    assert restore_archived(Run(restoring, migration.catalog, Progress(settings.state_dir))).requested == 1
    # moto restores immediately
    plan = migration.plan(restoring)
    assert (plan.objects["archived"], plan.objects["to_copy"]) == (0, 2)


def test_objects_that_differ_although_they_were_judged_the_same_are_found_in_the_sample(migration: Migration) -> None:
    settings = migration.settings(verify_sample=10)
    for number in range(3):
        migration.put(f"avatar-{number}.png", bytes([number]))
    migration.plan(settings)
    migration.copy(settings)
    verdict = migration.verify(settings)
    assert (verdict.sample.sampled, verdict.sample.differing) == (3, 0)
    migration.plan(settings)
    migration.target_s3.put_object(Bucket=migration.target, Key="avatar/avatar-1.png", Body=b"!")
    counts = compare_sample(Run(settings, migration.catalog, Progress(settings.state_dir)))
    assert (counts.sampled, counts.differing) == (3, 1)
    assert [row[0] for row in migration.catalog.query("SELECT suffix FROM differing")] == ["avatar-1.png"]


def test_only_the_listed_keys_and_their_rows_are_selected(migration: Migration, tmp_path: Path) -> None:
    for number in range(3):
        migration.put(f"avatar-{number}.png")
    file = tmp_path / "slice.jsonl"
    file.write_text('{"key": "image/avatar-1.png"}\n')
    settings = migration.settings(only_keys=str(file))
    plan = migration.plan(settings)
    assert (plan.objects["to_copy"], plan.objects["foreign"], plan.rows["foreign"]) == (1, 2, 2)
    migration.copy(settings)
    migration.rewrite(settings)
    assert migration.paths() == ["image/avatar-0.png", "avatar/avatar-1.png", "image/avatar-2.png"]
    assert migration.plan(migration.settings()).objects["to_copy"] == 2


def inventory_of(migration: Migration, folder: Path) -> str:
    """Store an S3 Inventory report of the source bucket in that bucket. Return the URL of its manifest."""
    objects = [
        (migration.source, item["Key"], item["Size"], item["LastModified"], item["ETag"].strip('"'), "STANDARD")
        for item in migration.s3.list_objects_v2(Bucket=migration.source).get("Contents", [])
    ]
    data = folder / "report.parquet"
    schema = (
        "bucket VARCHAR, key VARCHAR, size BIGINT, last_modified_date TIMESTAMP, e_tag VARCHAR, storage_class VARCHAR"
    )
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE report ({schema})")
        connection.executemany("INSERT INTO report VALUES (?, ?, ?, ?, ?, ?)", objects)
        connection.execute(f"COPY report TO '{data}' (FORMAT parquet)")
    manifest = json.dumps(
        {
            "sourceBucket": migration.source,
            "version": "2016-11-30",
            "creationTimestamp": "1798761600000",
            "fileFormat": "Parquet",
            "fileSchema": "message s3.inventory { required binary bucket (STRING); required binary key (STRING); "
            "optional int64 size; optional int64 last_modified_date (TIMESTAMP(MILLIS,true)); "
            "optional binary e_tag (STRING); optional binary storage_class (STRING); }",
            "files": [
                {
                    "key": "reports/data/1.parquet",
                    "size": data.stat().st_size,
                    "MD5checksum": hashlib.md5(data.read_bytes(), usedforsecurity=False).hexdigest(),
                }
            ],
        }
    ).encode()
    files = {
        "reports/data/1.parquet": data.read_bytes(),
        "reports/now/manifest.json": manifest,
        "reports/now/manifest.checksum": hashlib.md5(manifest, usedforsecurity=False).hexdigest().encode(),
    }
    for key, body in files.items():
        migration.s3.put_object(Bucket=migration.source, Key=key, Body=body)
    return f"s3://{migration.source}/reports/now/manifest.json"


def test_an_inventory_stands_in_for_the_listing_and_what_came_later_is_found(
    migration: Migration, tmp_path: Path
) -> None:
    migration.put("avatar-1.png")
    migration.put("avatar-gone.png")
    access: dict[str, Any] = {"bucket": migration.source, "prefix": "image/", **migration._access("source")}
    settings = migration.settings(source=access | {"inventory": inventory_of(migration, tmp_path)})
    migration.s3.delete_object(Bucket=migration.source, Key="image/avatar-gone.png")
    migration.put("avatar-named-later.png")
    migration.s3.put_object(Bucket=migration.source, Key="image/avatar-later.png", Body=b"nobody names it")
    plan = migration.plan(settings)
    assert plan.rows["dangling"] == 0
    assert migration.catalog.query("SELECT suffix FROM objects ORDER BY suffix") == [
        ("avatar-1.png",),
        ("avatar-gone.png",),
        ("avatar-named-later.png",),
    ]
    counts = migration.copy(settings)
    assert (counts.copied, counts.changed) == (2, 1)
    assert migration.rewrite(settings).rewritten == 2
    assert migration.verify(settings).problems == [
        "1 objects under the source prefix are not in the target [RH-601]",
        "1 rows name an object that is in neither bucket [RH-605]",
    ]


def test_a_row_never_follows_an_object_that_changed_after_the_inventory(migration: Migration, tmp_path: Path) -> None:
    access: dict[str, Any] = {"bucket": migration.source, "prefix": "image/", **migration._access("source")}
    migration.put("avatar-1.png", b"as reported")
    migration.put("avatar-2.png", b"as reported")
    settings = migration.settings(source=access | {"inventory": inventory_of(migration, tmp_path)}, on_conflict="skip")
    migration.plan(settings)
    assert migration.copy(settings).copied == 2
    # as if killed before the rewrite, while the application goes on
    migration.s3.put_object(Bucket=migration.source, Key="image/avatar-1.png", Body=b"newer")
    migration.put("avatar-3.png", b"stored after the report")
    migration.target_s3.put_object(Bucket=migration.target, Key="avatar/avatar-3.png", Body=b"somebody else's")
    plan = migration.plan(settings)
    assert (plan.objects["present"], plan.objects["outdated"], plan.objects["conflict"]) == (1, 1, 1)
    assert plan.rows["blocked"] == 1
    assert migration.rewrite(settings).rewritten == 1
    assert migration.paths() == ["image/avatar-1.png", "avatar/avatar-2.png", "image/avatar-3.png"]
    migration.copy(settings)
    assert migration.content("avatar/avatar-1.png") == b"newer"
    assert migration.rewrite(settings).rewritten == 1
    assert migration.paths() == ["avatar/avatar-1.png", "avatar/avatar-2.png", "image/avatar-3.png"]


def test_what_is_archived_is_left_out_of_the_sample(in_moto: Migration) -> None:
    migration, settings = in_moto, in_moto.settings(verify_sample=10)
    for number in range(3):
        migration.put(f"avatar-{number}.png")
    migration.plan(settings)
    migration.copy(settings)
    migration.target_s3.put_object(
        Bucket=migration.target, Key="avatar/avatar-1.png", Body=b"content", StorageClass="GLACIER"
    )
    verdict = migration.verify(settings)
    assert (verdict.sample.sampled, verdict.sample.differing) == (2, 0)


def test_a_sample_that_cannot_be_read_is_an_error_with_a_message(
    migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = migration.settings(verify_sample=1)
    migration.put("avatar-1.png")
    migration.plan(settings)
    migration.copy(settings)
    migration.plan(settings)

    async def refused(*_: object) -> None:
        raise S3RequestError(403, "AccessDenied", "no", "image/avatar-1.png", verb="GET")

    monkeypatch.setattr(comparing, "compare_bytes", refused)
    with pytest.raises(RehomeError, match="AccessDenied"):
        compare_sample(Run(settings, migration.catalog, Progress(settings.state_dir)))


def test_the_sample_is_taken_of_what_is_present_however_little_that_is(migration: Migration) -> None:
    settings = migration.settings(verify_sample=2)
    migration.put("avatar-1.png")
    migration.plan(settings)
    migration.copy(settings)
    migration.plan(settings)
    migration.catalog.run("INSERT INTO source_objects (suffix) SELECT i FROM range(1000) n(i)")
    migration.catalog.run("INSERT INTO object_verdicts (class) SELECT 'to_copy' FROM range(1000) n(i)")
    assert compare_sample(Run(settings, migration.catalog, Progress(settings.state_dir))).sampled == 1


def test_a_listing_that_is_begun_anew_leaves_nothing_of_the_first_attempt(
    migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = {migration.source: 0, migration.target: 0}

    class DisorderedOnce(Listing):
        def __init__(self, client: Client, prefix: str, _page_size: int, *, parallel: int) -> None:
            self._bucket = client.endpoint.bucket
            self._prefix = prefix
            self.left = Left(())

        async def pages(self) -> AsyncGenerator[Page, None]:
            attempts[self._bucket] += 1
            if self._bucket == migration.source:
                if attempts[self._bucket] == 1:
                    raise S3RequestError(200, DISORDERED, "no order", None, verb="GET")
                # the first attempt's listing of the target must have ended by now
                await asyncio.sleep(0.05)
                return
            for number in range(3):
                await asyncio.sleep(0.005)
                yield Page.of([Listed(f"{self._prefix}avatar-{number}.png", 1, "e", "", "STANDARD")])

    monkeypatch.setattr("rehome.scan.buckets.Listing", DisorderedOnce)
    monkeypatch.setattr(catalog, "FILL_ROWS", 1)
    migration.plan(migration.settings())
    assert attempts == {migration.source: 2, migration.target: 2}
    assert migration.catalog.query("SELECT suffix FROM target_objects ORDER BY suffix") == [
        (f"avatar-{number}.png",) for number in range(3)
    ]

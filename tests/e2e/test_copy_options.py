"""The operator's options for copying: between two services, in parts, and only some of the objects."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox.seaweedfs import SeaweedFS
from sandbox.seed import manifest
from tests.e2e.conftest import World, kill_when
from tests.e2e.test_bad_input import refused, source

pytestmark = pytest.mark.e2e

MANY_MB = 20 * 1024**2


@pytest.fixture(scope="module")
def other_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    store = SeaweedFS(tmp_path_factory.mktemp("other") / "seaweedfs")
    store.up()
    yield store
    store.destroy()


def target_in(store: SeaweedFS, user: str) -> dict[str, Any]:
    keys = store.users[user]
    return {
        "bucket": "production-s3",
        "prefix": "avatar/",
        "endpoint_url": store.endpoint_url,
        "region": store.region,
        "access_key": keys.access_key,
        "secret_key": keys.secret_key,
    }


def test_between_two_services_objects_are_streamed_and_a_dry_run_by_readers_says_so_and_writes_nothing(
    world: World, other_store: SeaweedFS
) -> None:
    world.seed(12)
    client = other_store.client()
    before = world.everything()
    checked = world.play("--check", sandbox_user="reader", rehome_target=target_in(other_store, "reader"))
    assert checked.code == 0, checked.output
    assert ", through this machine" in checked.output
    assert world.everything() == before
    assert "Contents" not in client.list_objects_v2(Bucket="production-s3")
    refused(
        world,
        *("S3 does not let its credentials store objects there", "Grant s3:PutObject"),
        rehome_target=target_in(other_store, "reader"),
    )
    assert "Contents" not in client.list_objects_v2(Bucket="production-s3")

    some = world.folder / "some.jsonl"
    some.write_text("".join(json.dumps({"key": f"image/avatar-{number}.png"}) + "\n" for number in (3, 5)))
    sliced = world.play(rehome_target=target_in(other_store, "migrate"), rehome_only_keys=str(some))
    assert sliced.code == 0, sliced.output
    assert "migrate of 2 keys (rehome_only_keys)" in sliced.output
    assert (world.summary["objects_copied"], world.summary["rows_rewritten"]) == (2, 2)

    moved = world.play(rehome_target=target_in(other_store, "migrate"), rehome_verify_sample=5)
    assert moved.code == 0, moved.output
    summary = world.summary
    assert (summary["objects_copied"], summary["objects_present"], summary["objects_sampled"]) == (10, 2, 5)
    assert summary["copy_method"] == "stream"
    assert world.rows() == list(manifest.rows(12, with_oddities=False, after_migration=True))
    assert {item["Key"] for item in client.list_objects_v2(Bucket="production-s3")["Contents"]} == set(
        manifest.target_keys(12, with_oddities=False, after_migration=True)
    ), "no scratch object is left"
    outcomes = duckdb.sql(f"SELECT result, count(*) FROM '{world.state}/outcomes/*.parquet' GROUP BY ALL").fetchall()
    assert outcomes == [("copied", 12)]
    modes = {oct(path.stat().st_mode & 0o777) for path in world.state.rglob("*") if path.is_file()}
    assert modes == {"0o600"}, "keys and rows are for the operator's eyes"


def test_killed_while_objects_are_copied_in_parts_and_run_again_it_leaves_no_upload_open(world: World) -> None:
    world.seed(10)
    client = world.sandbox.store.client()
    bodies = {f"avatar-large-{number}.png": os.urandom(MANY_MB) for number in range(3)}
    for name, body in bodies.items():
        client.put_object(Bucket="legacy-s3", Key=f"image/{name}", Body=body)

    def uploads() -> list[str]:
        found = client.list_multipart_uploads(Bucket="production-s3").get("Uploads", [])
        return [one["Key"] for one in found if "probe" not in one["Key"]]

    in_parts = {"rehome_multipart_threshold": "5MB", "rehome_copy_method": "stream"}
    kill_when(world, lambda: bool(uploads()), **in_parts)
    assert uploads()

    finished = world.play(**in_parts)
    assert finished.code == 0, finished.output
    assert uploads() == []
    with sqlite3.connect(world.state / "uploads.sqlite") as kept:
        assert kept.execute("SELECT count(*) FROM uploads").fetchone() == (0,)
    for name, body in bodies.items():
        assert client.get_object(Bucket="production-s3", Key=f"avatar/{name}")["Body"].read() == body


def test_invalid_options_are_reported_together_before_anything_is_written(world: World, tmp_path: Path) -> None:
    world.seed(5)
    listed = tmp_path / "rows.jsonl"
    listed.write_text('{"key": [139]}\n')
    refused(
        world,
        *("rehome_max_requests (0)", "rehome_kms_key_id (k)", "rehome_multipart_threshold (1048576)"),
        *("rehome_objects_per_second (inf)", "rehome_restore.days (0)", "rehome_verify_sample (-1)"),
        *(f"rehome_only_keys ({listed}): is not a list of source keys (line 1 names no object)",),
        "rehome_source.inventory (s3://inventories/today/)",
        rehome_max_requests=0,
        rehome_kms_key_id="k",
        rehome_multipart_threshold="1MB",
        rehome_objects_per_second="inf",
        rehome_restore={"days": 0},
        rehome_verify_sample=-1,
        rehome_only_keys=str(listed),
        rehome_source=source(world, inventory="s3://inventories/today/"),
    )
    refused(world, "rehome_restore (True): is no mapping", "{days: 7, tier: Bulk}", rehome_restore=True)

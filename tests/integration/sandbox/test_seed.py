"""The seed creates exactly what its manifest lists, however often it runs or is interrupted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sandbox.database import DatabaseServer
from sandbox.lifecycle import DATABASES, Sandbox
from sandbox.seed import avatars, manifest, oddities, planting
from sandbox.seed.planting import Planted, plant
from sandbox.sqlite import SQLite
from tests.statements import execute_as

PROJECT = Path(__file__).parents[3]


class Garden:
    """A sandbox and its data."""

    def __init__(self, sandbox: Sandbox, db: str) -> None:
        self.sandbox = sandbox
        self.database: DatabaseServer | SQLite = sandbox.database(db)
        self.client: Any = sandbox.store.client()

    def plant(self, objects: int, *, with_oddities: bool = False, reset: bool = False) -> Planted:
        return uvloop.run(
            plant(self.sandbox.store, self.database, objects=objects, with_oddities=with_oddities, reset=reset)
        )

    def keys(self, bucket: str) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))

    def rows(self) -> list[tuple[int, str]]:
        return sorted(self.run("SELECT user_id, path FROM avatars"))

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        return execute_as(self.database, "admin", statement)

    def body(self, key: str, bucket: str = "legacy-s3") -> bytes:
        body: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("seed") / ".sandbox")
    try:
        yield sandbox
    finally:
        sandbox.down()


@pytest.fixture
def garden(sandbox: Sandbox) -> Garden:
    sandbox.up("sqlite")
    return Garden(sandbox, "sqlite")


@pytest.mark.parametrize("db", DATABASES)
def test_a_seed_is_what_its_manifest_says(sandbox: Sandbox, db: str) -> None:
    sandbox.up(db)
    garden = Garden(sandbox, db)

    made = garden.plant(30, with_oddities=True, reset=True)

    counts = manifest.expected(30, with_oddities=True)
    assert made == Planted(counts.source_objects + counts.target_objects, counts.rows)
    assert garden.keys("legacy-s3") == sorted(manifest.source_keys(30, with_oddities=True))
    assert garden.keys("production-s3") == sorted(manifest.target_keys(30, with_oddities=True))
    assert garden.rows() == sorted(manifest.rows(30, with_oddities=True))
    assert garden.plant(30, with_oddities=True) == Planted(0, 0)


def test_objects_have_their_content_and_all_that_is_stored_beside_it(garden: Garden) -> None:
    garden.plant(10, with_oddities=True, reset=True)

    assert [garden.body(avatars.path(n)) for n in (1, 10)] == [avatars.draw(1), avatars.draw(10)]
    head = garden.client.head_object(Bucket="legacy-s3", Key=avatars.path(10))
    assert (head["ContentType"], head["CacheControl"]) == ("image/png", "public, max-age=31536000")
    assert head["Metadata"] == {"user-id": "10", "drawn-by": "rehome sandbox"}
    tags = garden.client.get_object_tagging(Bucket="legacy-s3", Key=avatars.path(10))["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"origin": "seed", "shard": "3"}
    for odd in oddities.OBJECTS:
        assert garden.body(odd.key) == odd.body(), odd.key
        if odd.moved:
            assert garden.body(avatars.migrated(odd.key), "production-s3") == odd.body()
    large = garden.client.head_object(Bucket="legacy-s3", Key="image/avatar-large.png")
    assert large["ContentLength"] == oddities.LARGE_BYTES
    assert large["ETag"].endswith('-3"')


def test_a_seed_that_was_interrupted_goes_on(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planting, "BATCH", 10)
    garden.plant(25, reset=True)
    # the state after a kill between the objects of a batch and its rows
    garden.run("DELETE FROM avatars WHERE user_id > 20")

    assert garden.plant(40) == Planted(20, 20)

    assert garden.rows() == sorted(manifest.rows(40, with_oddities=False))
    assert garden.keys("legacy-s3") == sorted(manifest.source_keys(40, with_oddities=False))


def test_a_migrated_sandbox_is_kept(garden: Garden) -> None:
    garden.plant(5, with_oddities=True, reset=True)
    garden.run("UPDATE avatars SET path = replace(path, 'image/avatar-', 'avatar/avatar-')")
    before = garden.rows()

    assert garden.plant(5, with_oddities=True) == Planted(0, 0)
    assert garden.rows() == before


@pytest.mark.parametrize("db", DATABASES)
def test_a_reset_begins_anew_also_after_a_migration(sandbox: Sandbox, db: str) -> None:
    sandbox.up(db)
    garden = Garden(sandbox, db)
    garden.plant(5, reset=True)
    made = [f"rehome_{name}" if db == "sqlite" else f"rehome.{name}" for name in ("journal", "control")]
    with closing(garden.database.connect("migrate")) as connection, closing(connection.cursor()) as cursor:
        if db != "sqlite":
            cursor.execute("CREATE SCHEMA rehome")
        for table in made:
            cursor.execute(f"CREATE TABLE {table} (id INTEGER)")
        connection.commit()
    garden.client.put_object(Bucket="production-s3", Key="avatar/avatar-1.png", Body=b"copied")
    garden.client.create_multipart_upload(Bucket="production-s3", Key="avatar/unfinished.png")

    garden.plant(3, reset=True)

    assert garden.keys("production-s3") == []
    assert garden.keys("legacy-s3") == sorted(manifest.source_keys(3, with_oddities=False))
    assert "Uploads" not in garden.client.list_multipart_uploads(Bucket="production-s3")
    assert garden.run("SELECT id, user_id, path FROM avatars ORDER BY id") == [
        (number, number, avatars.path(number)) for number in (1, 2, 3)
    ]
    tables = "sqlite_master" if db == "sqlite" else "information_schema.tables"
    column = "name" if db == "sqlite" else "table_name"
    own = "'journal', 'control', 'rehome_journal', 'rehome_control'"
    assert garden.run(f"SELECT {column} FROM {tables} WHERE {column} IN ({own})") == []


def test_the_command_line_says_what_it_made(garden: Garden) -> None:
    result = _seed(garden.sandbox, "--objects", "12", "--oddities", "--reset")
    counts = manifest.expected(12, with_oddities=True)
    assert result.returncode == 0, result.stderr
    assert f"{counts.source_objects} objects and {counts.rows} rows" in result.stdout
    assert "seeding: 12 of 12" in result.stderr


def test_without_a_sandbox_the_command_line_says_how_to_start_one(tmp_path: Path) -> None:
    result = _seed(Sandbox(tmp_path), "--objects", "1")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "no sandbox is running; start it with: make sandbox-up\n"


def _seed(sandbox: Sandbox, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sandbox.seed", "--folder", str(sandbox.folder), *words]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)

"""What progress.json says of requests, bytes and chunks while a migration between real servers goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rehome.progress import FILE, Progress
from rehome.run import Run
from rehome.services.copy_method import copy_options
from rehome.stages.copy_objects import CopyCounts, copy_planned
from rehome.stages.rewrite_rows import RewriteCounts, rewrite_planned
from rehome.timeline import read_timeline

from sandbox.s3_server import S3Server
from sandbox.sqlite import SQLite
from tests.conftest import Buckets
from tests.integration.migration import Migration

OBJECTS = 120


@pytest.fixture
def migration(object_store: S3Server, buckets: Buckets, sqlite: SQLite, tmp_path: Path) -> Iterator[Migration]:
    migration = Migration(object_store, buckets, sqlite, tmp_path)
    for number in range(OBJECTS):
        migration.put(f"avatar-{number}.png", b"x" * 100)
    yield migration
    migration.close()


def last(folder: Path) -> dict[str, Any]:
    return json.loads((folder / FILE).read_text())  # type: ignore[no-any-return]


def test_a_copy_counts_its_requests_and_bytes_and_a_rewrite_its_chunks(migration: Migration, tmp_path: Path) -> None:
    settings = migration.settings()
    migration.plan(settings)
    progress = Progress(tmp_path)
    progress.of_run(run="a:1:now")
    run = Run(settings, migration.catalog, progress)
    copy_planned(run, CopyCounts())
    progress.end()
    copied = last(tmp_path)
    assert (copied["bytes_done"], copied["bytes_total"]) == (OBJECTS * 100, OBJECTS * 100)
    requests = copied["requests"]
    assert OBJECTS <= requests["sent"] <= 3 * OBJECTS
    assert requests["failed"] == 0
    assert requests["in_flight"] == 0, "nothing is in flight at the end"
    assert 0 < requests["p50_ms"] <= requests["p99_ms"]

    rewrite_planned(run, RewriteCounts())
    progress.end()
    chunks = last(tmp_path)["chunks"]
    assert chunks["done"] >= 1
    assert 0 < chunks["p50_ms"] <= chunks["p99_ms"]
    assert "requests" not in last(tmp_path), "the stage before has no part in it"

    known = read_timeline(tmp_path)
    assert known is not None
    stages = {point["stage"]: point for point in known[2]}
    assert (stages["copy"]["done"], stages["copy"]["requests"]["sent"]) == (OBJECTS, requests["sent"])
    assert "chunks" in stages["rewrite avatars.path"] or "chunks" in stages["reread avatars.path"]


def test_the_parts_of_an_object_count_as_bytes_before_it_is_complete(
    migration: Migration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 12 * 1024**2
    migration.put("avatar-large.png", b"x" * size)
    settings = migration.settings(multipart_threshold=6 * 1024**2)
    migration.plan(settings)
    seen: list[tuple[int, int]] = []
    write = Progress._write

    def note(progress: Progress) -> None:
        write(progress)
        seen.append((last(tmp_path)["done"], last(tmp_path).get("bytes_done", 0)))

    monkeypatch.setattr(Progress, "_write", note)
    in_parts = lambda *given: replace(copy_options(*given), part_size=5 * 1024**2)  # noqa: E731
    monkeypatch.setattr("rehome.services.capabilities.copy_options", in_parts)
    monkeypatch.setattr("rehome.progress.WRITE_EVERY_S", 0.0)
    monkeypatch.setattr("rehome.services.clients.WRITE_EVERY_S", 0.001)
    copy_planned(Run(settings, migration.catalog, Progress(tmp_path)), CopyCounts())
    assert seen[-1] == (OBJECTS + 1, OBJECTS * 100 + size)
    assert any(done <= OBJECTS and moved >= 5 * 1024**2 for done, moved in seen), "a part, and no outcome yet"

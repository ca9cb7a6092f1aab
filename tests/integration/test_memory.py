"""P7: ten times the objects need the same memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from rehome.catalog.catalog import MEMORY_MB, Catalog
from rehome.config.read import read_settings
from rehome.planning.plan import make_plan
from rehome.progress import Progress
from rehome.report.samples import samples_of_plan
from rehome.run import Run
from rehome.s3.client.client import Client
from rehome.s3.listing.listing import Left, Listing
from rehome.s3.listing.page import Listed, Page
from rehome.s3.objects.job import CopyOutcome
from rehome.s3.transport.endpoint import Credentials, Endpoint
from rehome.scan.scan import scan_buckets
from rehome.stages.copy_objects import CopyCounts, copy_planned

from tests.unit.config.test_settings import given

ENDPOINT = Endpoint("http", "127.0.0.1", 9, "/bucket", "bucket", "us-east-1", None, lambda: Credentials("a", "b", None))


async def _no_copying(_settings: Any, jobs: Any, on_outcome: Any, *_: Any) -> None:
    """Replace the network: report every job as copied."""
    for job in jobs:
        on_outcome(CopyOutcome(job, "copied", job.etag))


def _peak(objects: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the peak of Python's heap in bytes while this number of objects is listed, planned and copied."""
    settings = read_settings(given(state_dir=str(folder)))

    class InventedListing(Listing):
        def __init__(self, client: Client, prefix: str, *_: Any, **__: Any) -> None:
            self.left = Left(())
            self._count = objects if prefix == "image/" else 0

        async def pages(self) -> AsyncGenerator[Page, None]:
            for first in range(0, self._count, 1000):
                yield Page.of(
                    [
                        Listed(f"image/avatar-{n}.png", 1, f"{n:032x}", "2026-01-01", "STANDARD")
                        for n in range(first, first + 1000)
                    ]
                )

    # botocore's model of S3 takes 20 MB while it is read, which would hide any growth
    monkeypatch.setattr("rehome.services.clients.resolve", lambda side: ENDPOINT)
    monkeypatch.setattr("rehome.scan.buckets.Listing", InventedListing)
    monkeypatch.setattr("rehome.stages.copy_objects._copy", _no_copying)
    # smaller than the smaller number of objects, so that both measurements fill these buffers
    monkeypatch.setattr("rehome.stages.copy_objects.WINDOW", 1_000)
    monkeypatch.setattr("rehome.catalog.catalog.FILL_ROWS", 1_000)
    folder.mkdir()
    tracemalloc.start()
    with Catalog.create(folder / "catalog.duckdb", {}) as catalog:
        scan_buckets(Run(settings, catalog, Progress(folder)))
        assert make_plan(catalog, settings).objects["to_copy"] == objects
        assert len(samples_of_plan(catalog, settings)[0]["shown"]) == settings.report_samples
        counts = CopyCounts()
        copy_planned(Run(settings, catalog, Progress(folder)), counts)
        assert counts.copied == objects
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_ten_times_the_objects_need_the_same_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _peak(1_000, tmp_path / "warm", monkeypatch)
    # of a short run, the collector may by chance have freed the garbage just before the peak, of a long one never
    few = max(_peak(20_000, tmp_path / f"few-{number}", monkeypatch) for number in range(3))
    many = _peak(200_000, tmp_path / "many", monkeypatch)
    assert many < 1.3 * few, f"{few} bytes for 20,000 objects, {many} for 200,000"


def test_the_longest_keys_need_no_more_memory_than_a_copy_allows_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read_settings(given(state_dir=str(tmp_path)))
    monkeypatch.setattr("rehome.stages.copy_objects._copy", _no_copying)
    with Catalog.create(tmp_path / "catalog.duckdb", {}) as catalog:
        catalog.run(
            "INSERT INTO source_objects SELECT 'avatar-' || rpad(string_agg(sha256(i || '-' || j), ''), 1000, '-') ||"
            " '.png', 1, md5(i::VARCHAR), '', 'STANDARD', '', '', NULL"
            " FROM range(25_000) AS a(i), range(16) AS b(j) GROUP BY i"
        )
        assert make_plan(catalog, settings).objects["to_copy"] == 25_000
        counts = CopyCounts()
        copy_planned(Run(settings, catalog, Progress(tmp_path)), counts)
        assert counts.copied == 25_000


def test_the_catalog_has_a_memory_limit(tmp_path: Path) -> None:
    with Catalog.create(tmp_path / "catalog.duckdb", {}) as catalog:
        ((limit,),) = catalog.query("SELECT current_setting('memory_limit')")
    assert (MEMORY_MB, limit) == (256, "244.1 MiB")

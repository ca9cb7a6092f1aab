"""Which listings a cluster goes on with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rehome.catalog.catalog import Catalog
from rehome.config.cluster import Cluster
from rehome.config.read import read_settings
from rehome.progress import Progress
from rehome.run import Run
from rehome.s3.capabilities import AMAZON
from rehome.scan import buckets
from rehome.scan.listed import Listed
from rehome.stages.passes import _listed_alone

from tests.unit.config.test_settings import given
from tests.unit.s3.fake_bucket import FakeBucket

CLUSTER = Cluster("tls://10.0.0.5:8786", Path("ca"), Path("cert"), Path("key"), 2, 60.0)
NAMES = [f"avatar-{number:04}.png" for number in range(300)]


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[Listed]:
    """What was left to a cluster. A bucket is long from 50 keys on."""
    found = list[Listed]()
    monkeypatch.setattr(buckets, "KEYS_HERE", 50)
    monkeypatch.setattr(buckets, "PAGE_KEYS", 5)
    monkeypatch.setattr(buckets, "known_capabilities", lambda *_: AMAZON)
    monkeypatch.setattr(buckets, "list_by_movers", lambda _run, _cluster, listed, _page_size: found.append(listed))
    return found


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    settings = replace(read_settings(given(state_dir=str(tmp_path))), cluster=CLUSTER)
    with Catalog.create(tmp_path / "catalog.duckdb", {}) as catalog:
        yield Run(settings, catalog, Progress(tmp_path))


def list_them(run: Run, monkeypatch: pytest.MonkeyPatch, **server: Any) -> int:
    @asynccontextmanager
    async def clients(*_: Any) -> AsyncIterator[tuple[FakeBucket, FakeBucket]]:
        names = {side: [side.prefix + name for name in NAMES] for side in (run.settings.source, run.settings.target)}
        source, target = names.values()
        yield FakeBucket(source, **server), FakeBucket(target[:20])

    monkeypatch.setattr(buckets, "open_clients", clients)
    buckets.list_buckets(run)
    return run.catalog.count("source_objects")


def test_a_long_listing_is_left_to_the_cluster_after_its_beginning(
    run: Run, handed_over: list[Listed], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 50 <= list_them(run, monkeypatch) < 250
    (listed,) = handed_over
    assert len(listed.left[0].remainders) > 1
    assert listed.left[1].remainders == ()
    assert _listed_alone(run.catalog) == []


@pytest.mark.parametrize("server", [{"honours": lambda _time: False}, {"refuses": True}, {"name": "one--x-s3"}])
def test_a_listing_that_cannot_be_divided_stays_here_and_the_plan_says_so(
    run: Run, handed_over: list[Listed], monkeypatch: pytest.MonkeyPatch, server: dict[str, Any]
) -> None:
    assert list_them(run, monkeypatch, **server) == 300
    assert handed_over == []
    (warning,) = _listed_alone(run.catalog)
    assert warning.startswith(f"s3://{run.settings.source.bucket}/image/: ")
    assert warning.endswith("[RH-213]")


def test_without_a_cluster_everything_is_listed_here(
    run: Run, handed_over: list[Listed], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = run.with_settings(replace(run.settings, cluster=None))
    assert list_them(alone, monkeypatch, honours=lambda _time: False) == 300
    assert handed_over == []
    assert _listed_alone(run.catalog) == []


def test_a_slice_is_listed_here(run: Run, handed_over: list[Listed], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(run.settings), "only_keys", frozenset(NAMES[:7]))
    assert list_them(run, monkeypatch) == 7
    assert handed_over == []

"""A run waits once for the workers that do not come."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rehome.config.cluster import Cluster, Waited
from rehome.errors import RefusedError
from rehome.fleet import connect
from rehome.run import never


class Client:
    """A client of a scheduler with so many workers, which counts how often it is asked."""

    def __init__(self, workers: int) -> None:
        self.scheduler = self
        self.workers = workers
        self.asked = 0

    async def identity(self, n_workers: int) -> dict[str, Any]:
        self.asked += 1
        return {"workers": {f"tls://10.0.0.{number}": {"status": "running"} for number in range(self.workers)}}


def cluster_of(run: str, folder: Path) -> Cluster:
    waited = Waited(folder / "waited.txt", run)
    return Cluster("tls://10.0.0.5:8786", Path("ca"), Path("cert"), Path("key"), workers=4, wait_s=0.5, waited=waited)


def wait(cluster: Cluster, workers: int) -> int:
    """Wait for workers, and return how often the scheduler was asked for them."""
    client = Client(workers)
    asyncio.run(connect._wait_for_workers(cluster, client, never))
    return client.asked


def test_a_run_waits_once_for_workers_that_do_not_come_and_the_next_run_waits_again(tmp_path: Path) -> None:
    assert wait(cluster_of("first", tmp_path), 3) > 1
    # each stage is a process of its own, and another worker is lost meanwhile
    assert wait(cluster_of("first", tmp_path), 3) == 1
    assert wait(cluster_of("first", tmp_path), 2) == 1
    assert wait(cluster_of("second", tmp_path), 3) > 1


def test_a_worker_that_is_lost_after_all_were_there_is_not_waited_for(tmp_path: Path) -> None:
    assert wait(cluster_of("first", tmp_path), 4) == 1
    assert wait(cluster_of("first", tmp_path), 3) == 1


def test_a_run_that_has_waited_still_needs_a_worker(tmp_path: Path) -> None:
    cluster = cluster_of("first", tmp_path)
    wait(cluster, 4)
    with pytest.raises(RefusedError, match=r"after rehome_cluster.wait_s \(0.5 s\) .* has no worker"):
        wait(cluster, 0)


def test_without_a_run_each_connection_waits(tmp_path: Path) -> None:
    cluster = replace(cluster_of("first", tmp_path), waited=None)
    assert wait(cluster, 3) > 1
    assert wait(cluster, 3) > 1


def test_a_run_that_is_to_stop_has_not_waited(tmp_path: Path) -> None:
    cluster = cluster_of("first", tmp_path)
    asyncio.run(connect._wait_for_workers(cluster, Client(3), lambda: True))
    assert wait(cluster, 3) > 1

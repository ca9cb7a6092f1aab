"""How `playbooks/cluster.yml` looks at a cluster of somebody else's."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.dask_fleet import ROOT, DaskFleet
from tests.unit.cluster.programs import load

joined = load("cluster", "joined").joined


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[DaskFleet]:
    made = DaskFleet(tmp_path, {})
    yield made
    made.stop()


def asked(fleet: DaskFleet, wait_s: float) -> Namespace:
    files = {name: str(file) for name, file in zip(("ca", "cert", "key"), fleet.member, strict=True)}
    engine = ROOT / "module_utils"
    return Namespace(
        address=fleet.address, **files, engine=engine, wait=wait_s, count=1, names=[], kind="", record=None
    )


def test_a_scheduler_that_is_about_to_start_is_waited_for(fleet: DaskFleet) -> None:
    with ThreadPoolExecutor() as threads:
        looking = threads.submit(joined, asked(fleet, 60))
        fleet.start_scheduler()
        fleet.start_worker()
        found = looking.result()
    assert (found["problem"], found["there"]) == ("", ["mover-0"])


def test_where_nobody_listens_the_address_is_named_when_the_time_is_over(fleet: DaskFleet) -> None:
    found = joined(asked(fleet, 0.5))
    assert found["problem"].startswith(f"rehome_cluster.address ({fleet.address}): cannot be reached")
    assert found["code"] == "RH-761"


def test_a_path_may_begin_with_the_home_of_the_user_as_for_a_verb(
    fleet: DaskFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    options = asked(fleet, 0.5)
    options.ca = "~/tls/nothing.pem"
    found = joined(options)
    assert found["problem"].startswith(f"rehome_cluster.ca ({tmp_path}/tls/nothing.pem): cannot be read")

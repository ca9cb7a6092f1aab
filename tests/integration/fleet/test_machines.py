"""What machines lose in the middle of a run: a valid certificate, room on their disk, the right time."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rehome.checks import refusals
from rehome.errors import RefusedError
from rehome.preflight.cluster import check_cluster

from sandbox.s3_server import S3Server
from tests.integration.fleet.conftest import Starter
from tests.integration.fleet.disk import fill_up, small_disk
from tests.integration.fleet.work import MEBIBYTE, fill, once_copied, outcomes_of, settings_of
from tests.integration.migration import Migration

SLOWLY = 60.0
"""Objects per second, so that there is a middle."""


def test_certificates_that_expire_in_the_middle_end_no_run_and_refuse_the_next(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    """A connection outlives its certificates. A worker that dies then cannot come back, and the others do its work."""
    fleet = start(0)
    fill(migration, 600)
    fleet.stop()
    fleet.member = fleet.authority.member("short", valid := timedelta(seconds=8))
    ends = datetime.now(UTC) + valid
    fleet.start_scheduler()
    fleet.start_worker()
    fleet.start_worker()
    settings = settings_of(migration, object_store, fleet, workers=2, objects_per_second=SLOWLY)
    migration.plan(settings)

    def kill() -> None:
        assert datetime.now(UTC) > ends, "the certificates are still valid"
        fleet.worker_processes()[0].kill()

    with once_copied(migration, 500, kill):
        counts = migration.copy(settings)
    assert (counts.copied, counts.present, counts.done) == (600, 0, 600)
    assert [result for _, result, _, _ in outcomes_of(migration)] == ["copied"] * 600
    assert counts.at_work == 1
    assert "certificate expired" in fleet.log("scheduler")
    fill(migration, 601)
    migration.plan(settings)
    told = rf"^rehome_cluster.ca .*certificate has expired, valid from \S+ \S+ to {ends:%Y-%m-%d} \S+ UTC.*RH-762"
    with pytest.raises(RefusedError, match=told):
        migration.copy(settings)


def test_a_worker_whose_disk_is_full_copies_on_and_one_that_dies_there_comes_back(
    start: Starter, object_store: S3Server, migration: Migration, tmp_path: Path
) -> None:
    """A worker keeps nothing on its disk but its log. Its objects are streamed through its memory."""
    fleet = start(1)
    large = 12 * MEBIBYTE
    fill(migration, 600, lambda number: b"x" * large if number == 300 else b"%d" % number)
    with small_disk(tmp_path / "disk") as disk:
        fleet.start_worker(folder=disk)
        settings = settings_of(
            migration,
            object_store,
            fleet,
            workers=2,
            objects_per_second=SLOWLY,
            copy_method="stream",
            multipart_threshold=5 * MEBIBYTE,
        )
        migration.plan(settings)

        def kill() -> None:
            fleet.worker_processes()[1].kill()

        with once_copied(migration, 60, lambda: fill_up(disk)), once_copied(migration, 200, kill):
            counts = migration.copy(settings)
        assert shutil.disk_usage(disk).free == 0
        fleet.stop()
    assert (counts.copied, counts.present, counts.done) == (600, 0, 600)
    assert set(counts.movers) == {"mover-0", "mover-1"}
    assert counts.at_work == 2
    assert [result for _, result, _, _ in outcomes_of(migration)] == ["copied"] * 600
    assert migration.plan(settings).objects["present"] == 600


def test_a_worker_whose_clock_is_wrong_is_named_and_copies_nevertheless(
    start: Starter, object_store: S3Server, migration: Migration
) -> None:
    """The store refuses its signatures, and tells the time with that: the worker goes by it from then on."""
    program = shutil.which("faketime")
    assert program, "no faketime: make packages installs it"
    fleet = start(1)
    shifted = subprocess.run([program, "+3 hours", "env"], capture_output=True, text=True, check=True).stdout
    variables = dict(line.split("=", 1) for line in shifted.splitlines() if line.startswith(("LD_PRELOAD", "FAKETIME")))
    fleet.start_worker(**variables)
    fill(migration, 300)
    settings = settings_of(migration, object_store, fleet, workers=2, objects_per_second=SLOWLY)
    (refusal,) = refusals(check_cluster(settings, dry_run=True, tries=False))
    assert "1 of 2 workers" in refusal.problem and "ahead of this machine's" in refusal.problem
    migration.plan(settings)
    counts = migration.copy(settings)
    assert (counts.copied, counts.present, counts.done) == (300, 0, 300)
    assert set(counts.movers) == {"mover-0", "mover-1"}

"""A PostgreSQL table whose user may not VACUUM it: how much it grows by a rewrite."""

from __future__ import annotations

from pathlib import Path

import pytest
from rehome.catalog.catalog import Catalog
from rehome.db.engines.open import connect
from rehome.planning.plan import make_plan
from rehome.progress import Progress
from rehome.run import Run
from rehome.scan.rows import read_rows
from rehome.stages.rewrite_rows import RewriteCounts, rewrite_planned

from tests.integration.db.conftest import Bench, only
from tests.integration.db.test_throttle import heap_size, of

ROWS = 20_000


@only("postgresql")
def test_new_versions_take_the_room_of_old_ones_before_any_vacuum_comes(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rehome.db.throttle.signals.MIN_DEAD", ROWS)
    bench.create()
    bench.execute("ALTER TABLE T SET (autovacuum_enabled = off)")
    bench.execute(f"CREATE INDEX ON {bench.table} (path)")
    bench.execute(f"INSERT INTO T SELECT g, 'image/' || g || '.png' FROM generate_series(1, {ROWS}) g")
    bench.execute("ANALYZE T ")
    before = heap_size(bench)
    # it never holds: this is about the room that is made without any VACUUM
    given = of(bench, tmp_path, max_dead_ratio=10.0)
    counts = RewriteCounts()
    with connect(given.database) as database:
        database.create_journal("rehome")
    with Catalog.create(tmp_path / "catalog.duckdb", {}) as catalog:
        read_rows(Run(given, catalog, Progress(tmp_path)))
        for table in ("source_objects", "target_objects"):
            catalog.run(f"INSERT INTO {table} (suffix, size, etag) SELECT suffix, 1, 'e' FROM reference_rows")
        make_plan(catalog, given)
        rewrite_planned(Run(given, catalog, Progress(tmp_path)), counts)
    assert counts.rewritten == ROWS
    assert bench.execute("SELECT count(*) FROM T WHERE starts_with(path, 'avatar/')") == [(ROWS,)]
    # a bare UPDATE doubles it, as does one row after the other
    growth = heap_size(bench) / before
    assert growth <= 1.6

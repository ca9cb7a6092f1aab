"""The bars of the database's benchmark."""

from __future__ import annotations

from bench.database import BARE, LEAST_SPEED, ONE, OURS, ROLLBACK, Found, p99, verdicts


def found() -> Found:
    return Found(
        scans=[5.0, 8.0],
        bare=[8.0, 12.0],
        ours={
            OURS: {"wall_s": 20.0, "cpu_s": 5.0, "look_again_s": 1.0, "held_s": {}},
            ONE: {"wall_s": 16.0, "cpu_s": 5.0, "look_again_s": 1.0, "held_s": {}},
            ROLLBACK: {"wall_s": 40.0, "cpu_s": 5.0, "plan_s": 1.0},
        },
        growth={BARE: 2.0, "rewrite": 1.2},
        took_ms={
            "alone": [[1.0] * 98 + [slowest] * 2 for slowest in (1.0, 2.0, 50.0)],
            BARE: [[9.0] * 100],
            OURS: [[1.0] * 98 + [slowest] * 2 for slowest in (9.0, 8.0, 10.0)],
        },
        script_rows_per_s=5_000,
        journal_bytes_per_row=4.0,
    )


def test_each_figure_is_a_ratio_the_right_way_round() -> None:
    said = {one.measure.partition(": ")[2]: (one.figure, one.met) for one in verdicts("mariadb", found(), 1_000_000)}
    assert said == {
        "rows/s of the rewrite, in times of a bare UPDATE's": ("0.50", False),
        "the same with 1 connection": ("0.62", True),
        "rows/s of the rewrite, in times of a script's": ("10.0", True),
        "an application's p99 beside the rewrite, in times of that alone": ("4.00", False),
        "rows/s scanned into the catalog": ("153,846", True),
        "bytes of journal per row": ("4.0", True),
        "growth of the heap, rewrite": ("1.20", True),
        "rows/s of the rollback, in times of the rewrite's": ("0.50", False),
    }


def test_each_database_has_bars_of_its_own() -> None:
    bars = {engine: [one.bar for one in verdicts(engine, found(), 1_000_000)][:2] for engine in LEAST_SPEED}
    assert bars == {"mariadb": ["≥ 0.75", "≥ 0.60"], "postgresql": ["≥ 0.55", "≥ 0.45"]}


def test_the_99th_percentile_is_not_the_worst() -> None:
    assert p99([float(n) for n in range(1, 1_001)]) == 991.0

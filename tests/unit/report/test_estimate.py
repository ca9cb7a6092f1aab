"""Estimates follow from counts, rates and prices, and say where they come from."""

from __future__ import annotations

from datetime import date

import pytest
from rehome.config.prices import Prices
from rehome.report.estimate import GB, Measured, Work, between, estimate, measured_rate, money
from rehome.report.facts import RequestFact

WORK = Work(7_000, 7 * GB, streamed=False, rows=80_000, reading_s=3.0, readings=2, most_per_second=None)
REQUESTS = [
    RequestFact(kind="list", side="source", count=7, why=""),
    RequestFact(kind="copy", side="target", count=5_000, why=""),
    RequestFact(kind="copy", side="target", count=2_000, why=""),
    RequestFact(kind="head", side="target", count=10, why=""),
]


def prices(**of: float) -> Prices:
    return Prices(date(2026, 11, 1), "EUR", of)


def test_time_is_a_range_until_a_rate_was_measured() -> None:
    reading, copying, rewriting = estimate(WORK, [], Measured(), None)["durations"]
    assert (reading["low_s"], reading["high_s"]) == (6.0, 6.0)
    assert (copying["low_s"], copying["high_s"]) == (2.0, 14.0)
    assert "nothing was measured here yet" in copying["basis"]
    assert (rewriting["low_s"], rewriting["high_s"]) == (1.0, 4.0)


def test_the_rates_of_the_last_migration_replace_the_range() -> None:
    found = estimate(WORK, [], Measured(copies_per_second=700.0, rows_per_second=8_000.0), None)
    assert (found["low_s"], found["high_s"]) == (26.0, 26.0)
    assert "the last migration here copied 700 objects/s" in found["durations"][1]["basis"]


def test_a_limit_of_the_operator_counts() -> None:
    copying = estimate(WORK._replace(most_per_second=10.0), [], Measured(), None)["durations"][1]
    assert copying["low_s"] == copying["high_s"] == 700.0
    assert "rehome_objects_per_second" in copying["basis"]


def test_streams_pass_twice_through_this_machine_and_are_as_slow_as_its_line() -> None:
    found = estimate(WORK._replace(streamed=True), [], Measured(), None)
    assert found["bytes_through"] == 14 * GB
    assert found["durations"][1]["low_s"] == pytest.approx(7 * 1024 / 200, abs=0.1)
    assert estimate(WORK, [], Measured(), None)["bytes_through"] == 0


def test_a_rate_of_little_work_says_nothing() -> None:
    assert measured_rate(999, 10.0) is None
    assert measured_rate(100_000, 0.5) is None
    assert measured_rate(2_000, 4.0) == 500.0


def test_nothing_to_do_takes_as_long_as_to_look() -> None:
    found = estimate(WORK._replace(objects=0, bytes=0, rows=0), [], Measured(), None)
    assert [part["what"] for part in found["durations"]] == ["list both buckets and read the rows, 2 times"]


def test_money_is_requests_and_bytes_by_the_table_of_its_day() -> None:
    table = prices(list=0.005, copy=0.005, transfer_gb=0.02, storage_gb_month=0.023)
    found = money(REQUESTS, 7 * GB, table)
    assert {line["what"]: line["amount"] for line in found["lines"]} == {
        "LIST requests": 0.000035,
        "COPY requests": 0.035,
        "transfer": 0.14,
    }
    assert found["total"] == pytest.approx(0.175035)
    assert found["month"] == pytest.approx(0.161)
    assert (found["as_of"], found["currency"], found["without_price"]) == ("2026-11-01", "EUR", ["head"])


def test_without_a_table_there_is_no_money() -> None:
    assert estimate(WORK, REQUESTS, Measured(), None)["money"] is None


@pytest.mark.parametrize(
    ("low", "high", "text"), [(0.1, 0.2, "1 s"), (20, 200, "20 s to 3 min"), (6_000, 36_000, "1.7 h to 10.0 h")]
)
def test_a_range_of_time_is_told_in_units_for_people(low: float, high: float, text: str) -> None:
    assert between(low, high) == text

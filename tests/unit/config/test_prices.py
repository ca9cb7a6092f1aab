from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from rehome.config.read import read_settings

from tests.unit.config.test_settings import given, refusal


def test_no_table_is_no_price() -> None:
    assert read_settings(given()).prices is None
    assert read_settings(given(prices={"currency": "USD"})).prices is None


def test_a_table_has_its_day_and_the_prices_that_are_set() -> None:
    prices = read_settings(given(prices={"as_of": "2026-11-01", "copy": 0.005, "get": 0, "put": None})).prices
    assert prices is not None
    assert (prices.as_of, prices.currency, prices.of) == (date(2026, 11, 1), "USD", {"copy": 0.005, "get": 0})


@pytest.mark.parametrize(
    ("table", "named", "way_out"),
    [
        ({"copy": 0.005}, "rehome_prices.as_of: is not set", "2026-11-01"),
        ({"as_of": "last year", "copy": 0.005}, "rehome_prices.as_of (last year)", "2026-11-01"),
        ({"as_of": "2026-11-01", "copy": -1.0}, "rehome_prices.copy (-1.0)", "0 or a positive number"),
        ({"as_of": "2026-11-01", "list": float("nan")}, "rehome_prices.list (nan)", "0 or a positive number"),
        ({"as_of": "2026-11-01", "copy": 1.0, "currency": "U\nS"}, "rehome_prices.currency", "such as USD"),
    ],
)
def test_a_table_that_says_too_little_or_nonsense_is_refused(table: dict[str, Any], named: str, way_out: str) -> None:
    message = refusal(prices=table)
    assert named in message
    assert way_out in message


@pytest.mark.parametrize("count", [-1, 51])
def test_a_report_has_no_sample_too_many(count: int) -> None:
    assert f"rehome_report_samples ({count})" in refusal(report_samples=count)

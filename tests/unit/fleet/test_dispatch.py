"""What a worker says of itself is told with its name, and always with a code."""

from __future__ import annotations

import pytest
from rehome.fleet.dispatch import failed_at


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no credentials were found. [RH-204]", "worker mover-1: no credentials were found. [RH-204]"),
        ("an error that nobody expected", "worker mover-1: an error that nobody expected [RH-599]"),
    ],
)
def test_an_error_of_a_worker_has_its_own_code_or_that_of_what_nobody_expects(text: str, told: str) -> None:
    assert str(failed_at("mover-1", text)) == told

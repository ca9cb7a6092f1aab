"""How long to wait before another attempt: the one formula of all retry loops."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import inf


def longest_pause(attempt: int, base: float, cap: float = inf) -> float:
    """Return the exponential backoff after attempt number `attempt` (1 is the first), in seconds.

    base: seconds after the first attempt; each further attempt doubles it, up to `cap`
    """
    return min(cap, base * 2.0 ** min(attempt - 1, 60))


def jittered_pause(attempt: int, base: float, cap: float = inf, chance: Callable[[], float] = random.random) -> float:
    """Return a random part of `longest_pause`, so that clients that failed together do not return together.

    (Full jitter: "Exponential Backoff And Jitter", AWS Architecture Blog.)

    chance: returns a number from 0 to 1
    """
    return chance() * longest_pause(attempt, base, cap)

"""What workers are given: two sides without secrets, the options, the pace. Nothing of the database."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from ..config.settings import Side
from ..s3.objects.job import CopyOptions


class Pace(NamedTuple):
    """What the requests of one worker are held to.

    requests: in flight to one bucket at most; 0: it pauses
    per_second: of its objects; None: no limit
    stop: it is to take no job any more
    """

    requests: int
    per_second: float | None = None
    stop: bool = False


WAIT = Pace(0)
"""How a worker begins: a rate is divided among all, so that one that joins first has to be told its share."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What every worker of a run copies between, and how.

    max_requests: in flight to one bucket, per worker
    """

    source: Side
    target: Side
    options: CopyOptions
    max_requests: int


def orders_of(source: Side, target: Side, options: CopyOptions, max_requests: int) -> Orders:
    """Return the orders. Workers find the keys in their own credential chain: the profile, or what the machine has."""
    return Orders(without_secrets(source), without_secrets(target), options, max_requests)


def without_secrets(side: Side) -> Side:
    """Return a side as workers are told it."""
    return replace(side, access_key=None, secret_key=None, session_token=None)


def share(requests: int, per_second: float | None, movers: int, *, stop: bool = False) -> Pace:
    """Return the pace of each of `movers` workers: the rate is that of the whole run."""
    return Pace(requests, per_second / max(1, movers) if per_second is not None else None, stop)

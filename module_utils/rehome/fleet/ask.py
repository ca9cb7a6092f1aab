"""Ask all workers what they can do, before a run. Those that leave meanwhile are left out of the answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from .access import Access
from .connect import Dask
from .orders import Orders
from .worker import tell_access, tell_machine


class Machine(NamedTuple):
    """What a worker's machine is like.

    ahead_s: by how much its clock is ahead of ours, at least: its answer took some time, and could have been given at
        any moment of it
    packages: version of each package that copies
    """

    ahead_s: float
    packages: Mapping[str, str]


async def ask_machines(client: Dask) -> dict[str, Machine]:
    """Return what each worker's machine is like, by its address."""
    asked = time.time()
    found: Mapping[str, Any] = await client.run(tell_machine, on_error="ignore")
    answered = time.time()
    return {worker: Machine(ahead_s(now, asked, answered), packages) for worker, (now, packages) in found.items()}


async def ask_access(client: Dask, orders: Orders, *, writes: bool) -> dict[str, Access]:
    """Return what each worker's keys are good for, by its address. See `find_access`."""
    found: dict[str, Access] = await client.run(tell_access, orders, writes=writes, on_error="ignore")
    return found


def ahead_s(theirs: float, asked: float, answered: float) -> float:
    """Return by how much a clock is ahead, or behind if negative, that was read between two moments of ours."""
    return max(theirs - answered, 0.0) + min(theirs - asked, 0.0)

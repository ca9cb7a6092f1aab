"""Memory that is shared fairly, and never more than there is."""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import platform
import subprocess
import sys

import pytest
from rehome.s3.copier.memory_budget import MemoryBudget

from tests.unit.s3.wire import on_uvloop


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Holder:
    """Holds `size` bytes from when it gets them until `end` is called."""

    def __init__(self, budget: MemoryBudget, size: int) -> None:
        self._budget = budget
        self._size = size
        self._ending = asyncio.Event()
        self.holds = False
        self.task = asyncio.create_task(self._hold())

    async def _hold(self) -> None:
        async with self._budget.reserve(self._size):
            self.holds = True
            await self._ending.wait()

    async def end(self) -> None:
        self._ending.set()
        await self.task
        await settle()


@on_uvloop
async def test_no_more_than_the_limit_is_held() -> None:
    budget = MemoryBudget(10)
    first, second, third = (Holder(budget, size) for size in (6, 4, 1))
    await settle()
    assert (first.holds, second.holds, third.holds, budget.reserved) == (True, True, False, 10)
    await second.end()
    assert (third.holds, budget.reserved) == (True, 7)
    await first.end()
    await third.end()
    assert (budget.reserved, budget.peak) == (0, 10)


@on_uvloop
async def test_a_large_request_is_not_starved_by_small_ones() -> None:
    budget = MemoryBudget(10)
    first, large, small = (Holder(budget, size) for size in (5, 8, 1))
    await settle()
    assert (first.holds, large.holds, small.holds) == (True, False, False)
    await first.end()
    assert (large.holds, small.holds) == (True, True)
    await large.end()
    await small.end()


@on_uvloop
async def test_what_exceeds_the_limit_is_held_alone() -> None:
    budget = MemoryBudget(10)
    small, huge, after = (Holder(budget, size) for size in (1, 50, 1))
    await settle()
    assert (huge.holds, after.holds) == (False, False)
    await small.end()
    assert (huge.holds, after.holds, budget.reserved) == (True, False, 50)
    await huge.end()
    assert (after.holds, budget.reserved) == (True, 1)
    await after.end()


@on_uvloop
async def test_a_request_that_is_cancelled_lets_the_next_one_through() -> None:
    budget = MemoryBudget(10)
    first, second, third = (Holder(budget, size) for size in (5, 8, 5))
    await settle()
    second.task.cancel()
    await settle()
    assert third.holds
    await first.end()
    await third.end()
    assert budget.reserved == 0


@on_uvloop
async def test_a_request_that_is_cancelled_just_when_it_is_granted_gives_the_memory_back() -> None:
    budget = MemoryBudget(10)
    async with budget.reserve(10):
        waiting = Holder(budget, 10)
        await settle()
    assert budget.reserved == 10
    waiting.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting.task
    assert (waiting.holds, budget.reserved) == (False, 0)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_memory_of_chunks_is_not_given_back_and_mapped_anew_each_time() -> None:
    program = """
from resource import RUSAGE_SELF, getrusage
from rehome.s3.copier.memory_budget import keep_blocks

keep_blocks()
faults = []
for _ in range(3):
    before = getrusage(RUSAGE_SELF).ru_minflt
    for _ in range(10):
        chunks = [b"x" * 256 * 1024 for _ in range(20)]
        del chunks
    faults.append(getrusage(RUSAGE_SELF).ru_minflt - before)
print(faults)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    pages = 10 * 20 * 256 * 1024 // mmap.PAGESIZE
    assert json.loads(said.stdout)[-1] < pages / 10

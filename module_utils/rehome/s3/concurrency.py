"""Run coroutines concurrently. If one fails, the others are cancelled and have ended before its error is raised."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar, overload

from .errors import S3StopError

LOOK_EVERY_S = 0.1
PATIENCE_S = 3.0
"""How long requests that are in flight at a stop may take: a server-side copy seldom takes longer, a part may."""

_T = TypeVar("_T")
_U = TypeVar("_U")


@overload
async def run_all(first: Coroutine[Any, Any, _T], second: Coroutine[Any, Any, _U], /) -> tuple[_T, _U]: ...
@overload
async def run_all(*coroutines: Coroutine[Any, Any, _T]) -> tuple[_T, ...]: ...
async def run_all(*coroutines: Coroutine[Any, Any, Any]) -> tuple[Any, ...]:
    """Run all at once and return their results in the same order.

    Raises the first error, or an S3StopError if several fail and one of them raises that.
    """
    failed: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as group_error:
        errors = group_error.exceptions
        failed = next((error for error in errors if isinstance(error, S3StopError)), errors[0])
        # An error has its traceback, that the variables of its functions, and these the error: such circles, here and
        # in the group's own code, would keep what the coroutines have read until a collection.
        group_error.__traceback__ = None
        del errors
    if failed is None:
        return tuple([task.result() for task in tasks])
    try:
        # Not while the group is handled, which would become its context.
        raise failed
    finally:
        del failed, group, tasks, coroutines


async def held(coroutine: Coroutine[Any, Any, _T]) -> Callable[[], _T]:
    """Run it, and return a function that returns its result or raises its error.

    For what runs beside something that decides whether the error matters.
    """
    try:
        result = await coroutine
    except Exception as error:
        failure = error
    else:
        return lambda: result

    def fail() -> _T:
        raise failure

    return fail


async def run_each(
    function: Callable[..., Coroutine[Any, Any, _T]], rows: Iterable[Sequence[Any]], limit: int
) -> tuple[_T, ...]:
    """Return `function(*row)` for each of `rows`, in the same order, with at most `limit` of them in flight.

    Raises the first error.
    """
    free = asyncio.Semaphore(limit)

    async def run(row: Sequence[Any]) -> _T:
        async with free:
            return await function(*row)

    return await run_all(*(run(row) for row in rows))


async def end_in_time(
    work: Coroutine[Any, Any, object], stopping: Callable[[], bool], on_stop: Callable[[], None] = lambda: None
) -> None:
    """Run `work` to its end, which comes soon once `stopping` returns True: after PATIENCE_S it is cancelled.

    on_stop: called once, when it is to stop
    """
    task = asyncio.create_task(work)
    try:
        while not stopping() and not task.done():
            await asyncio.wait((task,), timeout=LOOK_EVERY_S)
        if not task.done():
            on_stop()
            await asyncio.wait((task,), timeout=PATIENCE_S)
    finally:
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.result()

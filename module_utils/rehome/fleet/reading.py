"""Read by shards on the workers of a cluster. Only what they give comes back: the catalog is the controller's."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine, Iterable, Sequence
from itertools import count
from typing import Any, Generic, NamedTuple, TypeVar

from ..codes import Code
from ..config.settings import Side
from ..errors import RehomeError
from ..s3.errors import S3Error, S3RequestError, S3StopError
from .connect import Dask
from .dispatch import Dispatch, failed_at, said_to
from .orders import without_secrets
from .reader import STOPPED, Failure, Place
from .readings import READINGS
from .shards import as_bytes, from_bytes
from .worker import ReaderPlugin

Q = TypeVar("Q")
R = TypeVar("R")


class Parcel(NamedTuple, Generic[Q]):
    """A shard on its way, by its number from 0 on."""

    number: int
    shard: Q


class Arrival(NamedTuple, Generic[R]):
    """What became of a shard, by the name of the worker."""

    result: R | None
    failure: Failure | None
    mover: str


async def read_on_cluster(
    dispatch: Dispatch,
    sides: Sequence[Side],
    max_requests: int,
    reading: Callable[[Place, Q], Coroutine[Any, Any, R]],
    shards: Iterable[Q],
    on_result: Callable[[Q, R], object],
) -> None:
    """Read all of `shards`, each taken when there is room for it.

    sides: what `Place` has on the workers, which find the keys themselves
    reading: one of `READINGS`. A shard may be read twice, of which one result is passed on
    shards: plain tuples without secrets: the scheduler can read them
    on_result: called with each shard and its result, in the order in which they arrive
    Raises S3Error if S3 refuses one, RefusedError if the cluster cannot be used, and RehomeError if it is lost, or if
    the run is to stop.
    """
    work = Reads(sides, max_requests, reading, on_result)
    await dispatch.do(work, map(Parcel, count(), shards))
    if dispatch.stopping() or work.is_cut_short:
        raise RehomeError("the run is to stop, and has not read all.", code=Code.INTERRUPTED)


class Reads(Generic[Q, R]):
    """The reading of one run, as `Work`. See `read_on_cluster`.

    is_cut_short: a shard was not read, as its reader was to stop
    """

    def __init__(
        self,
        sides: Sequence[Side],
        max_requests: int,
        reading: Callable[[Place, Q], Coroutine[Any, Any, R]],
        on_result: Callable[[Q, R], object],
    ) -> None:
        self.plugin = ReaderPlugin(tuple(map(without_secrets, sides)), max_requests)
        self._name = next(name for name, known in READINGS.items() if known is reading)
        self._on_result = on_result
        self.is_cut_short = False

    async def begin(self, _client: Dask) -> str:
        """Return a name of its own. Other readings may be at work: those of a dry run beside a migration."""
        return f"rehome-reader-{secrets.token_hex(8)}"

    async def send(self, client: Dask, plugin: str, parcel: Parcel[Q]) -> Arrival[R]:
        """Have a worker read a shard."""
        key = f"{plugin}-{parcel.number:06}"
        future = client.submit(_READ, plugin, self._name, as_bytes(parcel.shard), key=key, pure=False)
        try:
            sent, failure, mover = await future
        finally:
            future.release()
        return Arrival(from_bytes(sent), failure and Failure(*failure), mover)

    def arrived(self, parcel: Parcel[Q], arrival: Arrival[R]) -> RehomeError | None:
        """Pass a result on. Return why it could not be read, if so."""
        if arrival.failure == STOPPED.failure:
            self.is_cut_short = True
            return None
        if arrival.failure is not None:
            return _error(arrival.failure, arrival.mover)
        result: Any = arrival.result  # None may be one
        self._on_result(parcel.shard, result)
        return None

    def words(self, _parcel: Parcel[Q]) -> str:
        """Return `shard to read`."""
        return "shard to read"


def _error(failure: Failure, mover: str) -> RehomeError:
    if not failure.code:
        return failed_at(mover, failure.text)
    kind: type[S3Error] = S3StopError if failure.stops else S3RequestError
    return kind(failure.status, failure.code, said_to(mover, failure.text), failure.key, verb=failure.verb)


def _read_shard() -> Any:
    return lambda *shard: __import__("importlib").import_module("rehome.fleet.worker").read_shard(*shard)


_READ = _read_shard()
"""As `controller._COPY`."""

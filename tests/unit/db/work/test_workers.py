from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import cast

import pytest
from rehome.db.dialect import Change, DatabaseError, Dialect
from rehome.db.work.chunk import ChunkOutcome
from rehome.db.work.workers import Workers

CHUNKS = [[Change((number,), "a", "b")] for number in range(40)]


def connections(number: int) -> list[Dialect]:
    return [cast(Dialect, object()) for _ in range(number)]


def nothing() -> None:
    pass


def test_every_chunk_is_done_once_and_no_connection_has_two_at_a_time() -> None:
    busy: set[int] = set()
    together: list[int] = []
    lock = threading.Lock()

    def work(connection: Dialect, chunk: Sequence[Change], outcome: ChunkOutcome) -> None:
        with lock:
            assert id(connection) not in busy
            busy.add(id(connection))
            together.append(len(busy))
        outcome.rewritten = len(chunk)
        with lock:
            busy.discard(id(connection))

    noted: list[int] = []
    Workers(connections(3), work, nothing).run(CHUNKS, lambda chunk, _outcome: noted.append(int(chunk[0].key[0])))
    assert sorted(noted) == list(range(40))
    assert max(together) <= 3


def test_two_connections_work_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)

    def work(_connection: Dialect, _chunk: Sequence[Change], _outcome: ChunkOutcome) -> None:
        both.wait()

    Workers(connections(2), work, nothing).run(CHUNKS[:4], lambda _chunk, _outcome: None)


def test_a_connection_goes_on_while_the_caller_is_busy_with_what_it_has_done() -> None:
    begun = [threading.Event() for _ in CHUNKS]

    def work(_connection: Dialect, chunk: Sequence[Change], _outcome: ChunkOutcome) -> None:
        begun[int(chunk[0].key[0])].set()

    def note(chunk: Sequence[Change], _outcome: ChunkOutcome) -> None:
        number = int(chunk[0].key[0])
        waited.append(number == 3 or begun[number + 1].wait(10))

    waited: list[bool] = []
    Workers(connections(1), work, nothing).run(CHUNKS[:4], note)
    assert waited == [True] * 4


def test_a_chunk_that_is_ready_is_not_begun_once_the_caller_has_failed() -> None:
    begun: list[int] = []
    ready = threading.Event()
    allowed = [1]

    def chunks() -> Iterator[Sequence[Change]]:
        yield from CHUNKS[:2]
        ready.set()
        yield CHUNKS[2]

    def work(_connection: Dialect, chunk: Sequence[Change], _outcome: ChunkOutcome) -> None:
        begun.append(int(chunk[0].key[0]))
        ready.wait(10)
        allowed[0] = 0  # the next one stays ready until the caller has failed

    def note(_chunk: Sequence[Change], _outcome: ChunkOutcome) -> None:
        threading.Timer(0.2, allowed.__setitem__, (0, 1)).start()
        raise ValueError("the catalog is full")

    with pytest.raises(ValueError, match="full"):
        Workers(connections(1), work, nothing, lambda: allowed[0]).run(chunks(), note)
    assert begun == [0]


def test_repeated_conflicts_take_connections_away_but_for_the_last() -> None:
    def work(_connection: Dialect, _chunk: Sequence[Change], outcome: ChunkOutcome) -> None:
        outcome.conflicts = 1

    workers = Workers(connections(3), work, nothing)
    workers.run(CHUNKS, lambda _chunk, _outcome: None)
    assert workers.active == 1


def test_after_a_failure_nothing_more_is_begun_and_what_was_done_is_noted() -> None:
    begun: list[int] = []

    def work(_connection: Dialect, chunk: Sequence[Change], outcome: ChunkOutcome) -> None:
        begun.append(int(chunk[0].key[0]))
        if begun[-1] == 3:
            raise DatabaseError("gone")
        outcome.rewritten = 1

    noted: list[ChunkOutcome] = []
    with pytest.raises(DatabaseError, match="gone"):
        Workers(connections(1), work, nothing).run(CHUNKS, lambda _chunk, outcome: noted.append(outcome))
    assert begun == [0, 1, 2, 3]
    assert sum(outcome.rewritten for outcome in noted) == 3
    assert len(noted) == 4


def test_fewer_connections_are_used_while_fewer_are_allowed() -> None:
    allowed, together, busy = [3], list[tuple[int, int]](), set[int]()
    lock = threading.Lock()

    def work(_connection: Dialect, chunk: Sequence[Change], _outcome: ChunkOutcome) -> None:
        number = int(chunk[0].key[0])
        with lock:
            busy.add(number)
            together.append((number, len(busy)))
        if number == 10:
            allowed[0] = 1
        time.sleep(0.002)
        with lock:
            busy.discard(number)

    Workers(connections(3), work, nothing, lambda: allowed[0]).run(CHUNKS, lambda _chunk, _outcome: None)
    assert max(count for number, count in together if number > 15) == 1
    assert max(count for number, count in together if number < 10) > 1

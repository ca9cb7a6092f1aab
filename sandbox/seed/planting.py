"""Seeding: batch by batch, the objects first and then the rows that name them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from ..database import DatabaseServer
from ..s3_server import S3Server
from ..sqlite import SQLite
from . import avatars, oddities
from .objects import empty_buckets, open_objects
from .rows import Rows

BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Planted:
    """What one run added; existing objects and rows do not count."""

    objects: int
    rows: int


async def plant(
    store: S3Server,
    database: DatabaseServer | SQLite,
    *,
    objects: int,
    with_oddities: bool = False,
    reset: bool = False,
    progress: Callable[[int], object] = lambda _done: None,
) -> Planted:
    """Make sure that the store and the database have so many avatars.

    reset: empty the buckets and the table first
    progress: called with the number of avatars done, after each batch
    """
    made = Planted(0, 0)
    async with open_objects(store) as bucket:
        with closing(Rows(database)) as table:
            if reset:
                empty_buckets(store)
                table.reset()
            for first in range(1, objects + 1, BATCH):
                numbers = range(first, min(first + BATCH, objects + 1))
                missing = table.without_row([avatars.path(number) for number in numbers])
                new = [number for number in numbers if avatars.path(number) in missing]
                await bucket.put_avatars(new)
                table.insert([(number, avatars.path(number)) for number in new])
                made = Planted(made.objects + len(new), made.rows + len(new))
                progress(len(numbers))
            if with_oddities:
                known = table.odd_users()
                new_rows = [row for row in oddities.rows() if row[0] not in known]
                if new_rows:
                    await bucket.put_oddities()
                    table.insert(new_rows)
                    put = len(oddities.OBJECTS) + sum(odd.moved for odd in oddities.OBJECTS)
                    made = Planted(made.objects + put, made.rows + len(new_rows))
    return made

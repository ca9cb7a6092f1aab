"""What a seed holds, as a migration from `image/avatar-*.png` to `avatar/` must count it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from . import avatars, oddities


@dataclass(frozen=True, slots=True)
class Expected:
    """Exact counts of the plan's classes before the migration."""

    source_objects: int
    target_objects: int
    rows: int
    objects_to_copy: int
    objects_present: int
    objects_orphan: int
    rows_to_rewrite: int
    rows_done: int
    rows_dangling: int
    rows_foreign: int


def expected(objects: int, *, with_oddities: bool) -> Expected:
    """Return the counts of a seed of so many avatars."""
    odd = oddities.OBJECTS if with_oddities else ()
    under_map = [one for one in odd if one.moves]
    to_move = [one for one in under_map if not one.moved]
    dangling = len(oddities.DANGLING) if with_oddities else 0
    unnamed = len(oddities.FOREIGN) if with_oddities else 0
    moved = [one for one in under_map if one.moved]
    return Expected(
        source_objects=objects + len(odd),
        target_objects=len(moved),
        rows=objects + sum(one.rows for one in odd) + dangling + unnamed,
        objects_to_copy=objects + len(to_move),
        objects_present=len(moved),
        objects_orphan=sum(one.rows == 0 for one in under_map),
        rows_to_rewrite=objects + sum(one.rows for one in to_move),
        rows_done=sum(one.rows for one in moved),
        rows_dangling=dangling,
        rows_foreign=sum(one.rows for one in odd if not one.moves) + unnamed,
    )


def rows(objects: int, *, with_oddities: bool, after_migration: bool = False) -> Iterator[tuple[int, str]]:
    """Return the user and the path of every row, before or after a migration that keeps dangling rows."""
    for number in range(1, objects + 1):
        path = avatars.path(number)
        yield number, avatars.migrated(path) if after_migration else path
    if not with_oddities:
        return
    moving = {one.path for one in oddities.OBJECTS if one.moves and not one.moved}
    for user, path in oddities.rows():
        yield user, avatars.migrated(path) if after_migration and path in moving else path


def source_keys(objects: int, *, with_oddities: bool) -> Iterator[str]:
    """Return the keys in `legacy-s3`, before and after a migration."""
    yield from map(avatars.path, range(1, objects + 1))
    if with_oddities:
        yield from (one.key for one in oddities.OBJECTS)


def target_keys(objects: int, *, with_oddities: bool, after_migration: bool = False) -> Iterator[str]:
    """Return the keys in `production-s3`."""
    if after_migration:
        yield from (avatars.migrated(avatars.path(number)) for number in range(1, objects + 1))
    if with_oddities:
        for one in oddities.OBJECTS:
            if one.moved or (one.moves and after_migration):
                yield avatars.migrated(one.key)

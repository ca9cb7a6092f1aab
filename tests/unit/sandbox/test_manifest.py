"""The manifest says what the engine's own key map says, and its counts are those of its lists."""

from __future__ import annotations

from rehome.mapping.keymap import KeyMap

from sandbox.seed import manifest, oddities

KEYMAP = KeyMap("image/", "avatar/", include=("avatar-*.png",))


def test_objects_move_that_the_key_map_covers() -> None:
    covered = {one.key for one in oddities.OBJECTS if KEYMAP.to_target(one.key) is not None}
    assert covered == {one.key for one in oddities.OBJECTS if one.moves}


def test_counts_are_those_of_the_lists() -> None:
    counts = manifest.expected(5, with_oddities=True)
    source = list(manifest.source_keys(5, with_oddities=True))
    target = list(manifest.target_keys(5, with_oddities=True))
    moved = list(manifest.target_keys(5, with_oddities=True, after_migration=True))
    rows = list(manifest.rows(5, with_oddities=True))
    rows_after = list(manifest.rows(5, with_oddities=True, after_migration=True))

    assert len(set(source)) == len(source) == counts.source_objects
    assert len(target) == counts.target_objects == counts.objects_present
    assert len(set(moved)) == len(moved) == counts.target_objects + counts.objects_to_copy
    assert len(rows) == len({user for user, _ in rows}) == counts.rows
    changed = sum(before != after for before, after in zip(rows, rows_after, strict=True))
    assert changed == counts.rows_to_rewrite
    classes = counts.rows_to_rewrite + counts.rows_done + counts.rows_dangling + counts.rows_foreign
    assert classes == counts.rows


def test_the_seed_has_every_case_of_the_issue() -> None:
    counts = manifest.expected(0, with_oddities=True)
    assert (counts.objects_orphan, counts.rows_dangling, counts.rows_done) == (3, 3, 4)
    assert sum(one.rows - 1 for one in oddities.OBJECTS if one.rows > 1) == 2
    assert oddities.LARGE_BYTES == 12 * 1024 * 1024


def test_a_plain_seed_is_all_alike() -> None:
    counts = manifest.expected(3, with_oddities=False)
    assert (counts.source_objects, counts.rows, counts.objects_to_copy, counts.rows_to_rewrite) == (3, 3, 3, 3)
    assert list(manifest.rows(1, with_oddities=False)) == [(1, "image/avatar-1.png")]

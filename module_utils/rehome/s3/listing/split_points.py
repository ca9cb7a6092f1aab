"""Choose where to divide the keys that are not listed yet, so that both parts can be listed at once. Pure text.

S3 lists keys in the order of their UTF-8 bytes, which is the order of their code points ("Listing object keys
programmatically", S3 user guide), and begins after the text of `start-after`, whether or not there is such a key.
"""

from __future__ import annotations

from bisect import bisect_right

from ...mapping.key_shapes import MAX_KEY_BYTES

_ABOVE_PLAIN = 0xD800
"""From the surrogates on, the order of UTF-16 differs from that of code points. No split point has such a character, so
that it divides the keys of a server that sorts by UTF-16 alike."""

_FAMILY_STARTS = (0x00, 0x20, 0x30, 0x3A, 0x41, 0x5B, 0x61, 0x7B, *range(0x80, 0x3000, 0x40), 0x3000, 0xAC00)
"""Where families of characters begin that occur together: digits, capital and small letters, alphabets, ideographs."""


def after_all_with(start: str) -> str | None:
    """Return the least text above every key that begins with `start`, or None if there is no usable one."""
    while start:
        successor = ord(start[-1]) + 1
        if successor < _ABOVE_PLAIN:
            return start[:-1] + chr(successor)
        start = start[:-1]
    return None


def common_length(one: str, other: str) -> int:
    """Return the length of the common prefix of two texts."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    low, high = 0, length
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle)
    return low


def split_point(seen: str, cursor: str, high: str | None) -> str | None:
    """Return a text between `cursor` and `high` that is likely to have keys on both sides, or None.

    seen: a listed key, not above `cursor`: where the two differ, the keys ahead are likely to differ, too
    cursor: the last listed key
    high: upper bound of the keys that are wanted; None: no bound

    It is a guess, and there may be no keys behind it: then it is the next `high`, and the next guess is nearer.
    """
    depth, ceiling = _fork(cursor, high)
    varying = common_length(seen, cursor)
    if ceiling is None and varying > depth:
        # How much of the beginning of `cursor` all keys ahead share is unknown: halve what is in doubt.
        point = after_all_with(cursor[: (depth + varying + 1) // 2])
    else:
        point = _between(cursor, depth, ceiling)
    return point if point is not None and _is_usable(point, cursor, high) else None


def _fork(cursor: str, high: str | None) -> tuple[int, int | None]:
    """Return how many characters of `cursor` every key ahead begins with, and the bound of the next one, if any."""
    if high is None:
        return 0, None
    depth = common_length(cursor, high)
    ceiling = ord(high[depth]) if depth < len(high) else None
    if ceiling is not None and len(high) == depth + 1 and depth < len(cursor) and ord(cursor[depth]) + 1 == ceiling:
        # From "…a7" up to "…b", all keys begin with "…a".
        return depth + 1, None
    return depth, ceiling


def _between(cursor: str, depth: int, ceiling: int | None) -> str | None:
    """Return a text that differs from `cursor` at `depth`, by a character in the middle of the family if possible."""
    if depth >= len(cursor):
        # The keys ahead are longer than the cursor, and nothing is known of them: begin where most names do.
        middle = ord("0") if ceiling is None or ceiling > ord("0") else ceiling // 2
        return cursor + chr(middle) if middle else None
    floor = ord(cursor[depth])
    if floor + 1 == ceiling:
        return cursor[:depth] + chr(ceiling)
    last = _family_end(floor)
    top = last if ceiling is None else min(last, ceiling - 1)
    if top <= floor:
        return after_all_with(cursor[: depth + 1])
    middle = (floor + top + 1) // 2
    return cursor[:depth] + chr(middle) if middle < _ABOVE_PLAIN else None


def _family_end(character: int) -> int:
    index = bisect_right(_FAMILY_STARTS, character)
    return (_FAMILY_STARTS[index] if index < len(_FAMILY_STARTS) else _ABOVE_PLAIN) - 1


def _is_usable(point: str, cursor: str, high: str | None) -> bool:
    return (
        cursor < point
        and (high is None or point < high)
        and max(point) < chr(_ABOVE_PLAIN)
        and len(point.encode()) <= MAX_KEY_BYTES
    )

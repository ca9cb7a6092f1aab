"""Where to divide the keys that a listing has yet to bring, so that both halves can be listed at once. Pure text.

S3 lists keys in the order of their UTF-8 bytes, which is the order of their code points ("Listing object keys
programmatically", S3 user guide), and begins after any text that `start-after` gives, be there such a key or not.
"""

from __future__ import annotations

from bisect import bisect_right

MAX_BYTES = 1024
"""As long as a key may be; a longer `start-after` may be refused."""

_ABOVE_PLAIN = 0xD800
"""From the surrogates on, the order of UTF-16 differs from that of code points. No point holds such a character, so
that a server that sorts by UTF-16 has the same keys on each side of it."""

_FAMILY_STARTS = (0x00, 0x20, 0x30, 0x3A, 0x41, 0x5B, 0x61, 0x7B, *range(0x80, 0x3000, 0x40), 0x3000, 0xAC00)
"""Where runs of characters begin that occur together: digits, capitals, small letters, an alphabet, the ideographs."""


def after_all_with(start: str) -> str | None:
    """The least text above every key that begins with `start`, or None where there is none that may be used."""
    while start:
        successor = ord(start[-1]) + 1
        if successor < _ABOVE_PLAIN:
            return start[:-1] + chr(successor)
        start = start[:-1]
    return None


def shared(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    low, high = 0, length
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle)
    return low


def split_point(seen: str, cursor: str, high: str | None) -> str | None:
    """A text between `cursor` and `high` that is likely to have keys on both sides; None where none is in sight.

    seen: a key that is not above `cursor`: where the two differ, keys ahead are likely to differ as well
    cursor: the last key that was listed
    high: no key above this is asked for; None: no such bound

    It is guessed, and may have nothing behind it: whoever asks so learns that, and the next guess is a nearer one.
    """
    depth, ceiling = _fork(cursor, high)
    varying = shared(seen, cursor)
    if ceiling is None and varying > depth:
        # Nothing tells yet how much of the beginning of `cursor` all the keys ahead have: halve what is in doubt.
        point = after_all_with(cursor[: (depth + varying + 1) // 2])
    else:
        point = _between(cursor, depth, ceiling)
    return point if point is not None and _is_usable(point, cursor, high) else None


def _fork(cursor: str, high: str | None) -> tuple[int, int | None]:
    """How many characters of `cursor` every key ahead begins with, and what bounds the next one; None: nothing."""
    if high is None:
        return 0, None
    depth = shared(cursor, high)
    ceiling = ord(high[depth]) if depth < len(high) else None
    if ceiling is not None and len(high) == depth + 1 and depth < len(cursor) and ord(cursor[depth]) + 1 == ceiling:
        # "…a7" up to "…b" is whatever begins with "…a"
        return depth + 1, None
    return depth, ceiling


def _between(cursor: str, depth: int, ceiling: int | None) -> str | None:
    """A text that has another character at `depth` than `cursor`, from the middle of its family where there is room."""
    if depth >= len(cursor):
        # What is ahead is longer than the cursor, and nothing is known of it: begin where names mostly do.
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
    place = bisect_right(_FAMILY_STARTS, character)
    return (_FAMILY_STARTS[place] if place < len(_FAMILY_STARTS) else _ABOVE_PLAIN) - 1


def _is_usable(point: str, cursor: str, high: str | None) -> bool:
    return (
        cursor < point
        and (high is None or point < high)
        and max(point) < chr(_ABOVE_PLAIN)
        and len(point.encode()) <= MAX_BYTES
    )

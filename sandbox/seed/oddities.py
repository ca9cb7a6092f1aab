"""The odd cases of real data that a migration must tell apart, each by name."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from .avatars import PREFIX, draw, migrated

PART_BYTES = 5 * 1024 * 1024
LARGE_BYTES = 12 * 1024 * 1024
FIRST_USER = 9_000_000_000
"""The users of odd rows are numbered from here, in the order of `rows()`: this distinguishes a row that was migrated,
or that has the same path as another, from a missing one."""


class Content(Enum):
    """The content of an odd object."""

    AVATAR = "a drawn avatar"
    EMPTY = "nothing"
    LARGE = "12 MiB, uploaded in three parts"
    TEXT = "a line of text"


@dataclass(frozen=True, slots=True)
class OddObject:
    """An object of `legacy-s3`.

    rows: how many rows name it by its key
    moves: the key map includes it (`image/` to `avatar/`, `avatar-*.png`)
    moved: an equal object is in `production-s3` already, and the rows name that one
    """

    key: str
    rows: int = 1
    moves: bool = True
    moved: bool = False
    content: Content = Content.AVATAR

    @property
    def path(self) -> str:
        """Return the path that its rows hold."""
        return migrated(self.key) if self.moved else self.key

    def body(self) -> bytes:
        """Return its bytes, the same every time."""
        if self.content is Content.EMPTY:
            return b""
        if self.content is Content.LARGE:
            return random.Random(self.key).randbytes(LARGE_BYTES)  # noqa: S311 - not secret, but reproducible
        if self.content is Content.TEXT:
            return f"{self.key}\n".encode()
        return draw(FIRST_USER + OBJECTS.index(self))


NAMES = (
    "with space.png",
    "  two spaces at the front.png",
    "plus+plus.png",
    "100%25.png",
    "%.png",
    "50% off.png",
    "a%2Fb.png",
    "it's.png",
    'say "hi".png',
    "`tick`.png",
    "&<>.png",
    "&amp;.png",
    "semi;colon.png",
    "#?.png",
    "key=value&other=1.png",
    "comma,colon:at@dollar$.png",
    "(round)[square]{curly}!~.png",
    "under_score.png",
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}.png",
    "cafe\N{COMBINING ACUTE ACCENT}.png",
    # Its twins under the collations that most databases have: accents, case and all emoji are equal there.
    "cafe.png",
    "Cafe.png",
    "\N{GRINNING FACE}.png",
    "\N{PILE OF POO}.png",
    "\N{CJK UNIFIED IDEOGRAPH-5BEB}\N{CJK UNIFIED IDEOGRAPH-771F}.png",
    "nested/folder/inside.png",
    "long-" + "x" * 200 + ".png",
)
"""Suffixes of keys that trip programs up; each has an object and a row, and moves."""

OBJECTS = (
    *(OddObject(f"{PREFIX}avatar-{name}") for name in NAMES),
    *(OddObject(f"{PREFIX}avatar-without-row-{number}.png", rows=0) for number in (1, 2, 3)),
    *(OddObject(f"{PREFIX}avatar-moved-{number}.png", moved=True) for number in (1, 2, 3, 4)),
    OddObject(f"{PREFIX}avatar-shared.png", rows=3),
    OddObject(f"{PREFIX}avatar-empty.png", content=Content.EMPTY),
    OddObject(f"{PREFIX}avatar-large.png", content=Content.LARGE),
    OddObject(f"{PREFIX}readme.txt", moves=False, content=Content.TEXT),
    OddObject(f"{PREFIX}banner-1.jpg", rows=0, moves=False),
    OddObject(f"{PREFIX}Avatar-1.png", rows=0, moves=False),
    OddObject("docs/guide.txt", moves=False, content=Content.TEXT),
    OddObject("docs/avatar-1.png", rows=0, moves=False),
    OddObject("images/avatar-1.png", rows=0, moves=False),
)

DANGLING = tuple(f"{PREFIX}avatar-without-object-{number}.png" for number in (1, 2, 3))
"""Paths under the key map whose object is nowhere."""

FOREIGN = (
    "",
    "https://elsewhere/x.png",
    "Image/Avatar-1.PNG",
    # Equal to the first avatar's path under a collation that pads.
    f"{PREFIX}avatar-1.png ",
)
"""Paths that no key map of the sandbox covers, and that have no object."""


def rows() -> list[tuple[int, str]]:
    """Yield the user and the path of every odd row."""
    named = [odd.path for odd in OBJECTS for _ in range(odd.rows)]
    return list(enumerate([*named, *DANGLING, *FOREIGN], start=FIRST_USER))

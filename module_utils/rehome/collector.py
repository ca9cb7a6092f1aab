"""Python's garbage collector, for work that makes many objects and no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

OBJECTS: Final = 20_000
"""New objects per collection; by default it is 700, and each tuple of a row is one."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Within the block, let the collector run seldom, and pass over what exists by now: that stays anyway."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(OBJECTS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()

"""What was listed of both buckets."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..mapping.key_shapes import KeyShape
from ..s3.listing.listing import Left


@dataclass(slots=True)
class Listed:
    """What was listed.

    objects: of both buckets
    foreign: those of the source that are not under the map
    samples: the first of them
    left: what is left of the listings of source and target
    alone: the buckets whose listing cannot be divided
    refused_keys: the shapes of keys that the target does not store unchanged
    """

    objects: int = 0
    foreign: int = 0
    samples: list[str] = field(default_factory=list)
    left: tuple[Left, ...] = ()
    alone: list[str] = field(default_factory=list)
    refused_keys: frozenset[KeyShape] = frozenset()

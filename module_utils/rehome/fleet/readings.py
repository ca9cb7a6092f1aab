"""What workers may be asked to read. A reading is sent by its name alone."""

from __future__ import annotations

from collections.abc import Mapping

from .comparing import compare_shard, sample_shard
from .listing import list_shard
from .reader import Reading

READINGS: Mapping[str, Reading] = {"compare": compare_shard, "sample": sample_shard, "list": list_shard}

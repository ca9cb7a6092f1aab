"""The report's templates, compiled once: what Jinja makes of them is kept where Python keeps its own bytecode."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from jinja2 import BytecodeCache, FileSystemBytecodeCache
from jinja2.bccache import Bucket


class _BesidePythons(FileSystemBytecodeCache):
    """A cache in a folder that may be missing or read-only, as Python's own may be."""

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was compiled, if that is possible."""
        with suppress(OSError):
            super().dump_bytecode(bucket)


def compiled_templates() -> BytecodeCache | None:
    """Return where a template's bytecode is kept; None if Python keeps none, either.

    Compiling the two templates takes a fifth of a second, longer than all else that the report of a small run needs.
    Jinja compares the source's digest before it takes what was kept.
    """
    folder = _pythons_own()
    if sys.dont_write_bytecode or folder is None or not folder.is_dir():
        return None
    return _BesidePythons(str(folder), f"%s.{sys.implementation.cache_tag}.jinja2")


def _pythons_own() -> Path | None:
    cached = __spec__.cached
    return Path(cached).parent if cached else None

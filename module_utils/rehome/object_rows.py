"""Listed objects as rows of the catalog's tables, on this machine and on the workers of a cluster alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import compress, islice, repeat
from types import TracebackType
from typing import Self

from .catalog.catalog import Catalog
from .mapping.key_shapes import KeyShape
from .mapping.keymap import KeyMap
from .s3.listing.page import Page
from .s3.probe.scratch import SCRATCH_NAME

FOREIGN_SAMPLES = 100
"""So many of the first source keys that are not under the map are kept, for a message if nothing else is there."""

_LISTED_OF_ALL = ("suffix", "size", "etag", "last_modified", "storage_class")
"""The columns of `source_objects` that every object has; what the others say, few do."""


class ObjectRows(ABC):
    """Appends the listed objects under the map to their table. All are in it once the context is left.

    listed: how many objects there were
    foreign: how many of them are not under the map
    samples: the suffixes of the first of those, if they are kept
    """

    def __init__(self, keymap: KeyMap, prefix: str) -> None:
        self.listed = 0
        self.foreign = 0
        self.samples: list[str] = []
        self._keymap = keymap
        self._skip = len(prefix)
        self._appenders = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._appenders.__exit__(kind, error, traceback)

    def add(self, page: Page) -> None:
        """Append the objects of a page that are under the map."""
        suffixes = [key[self._skip :] for key in page.keys]
        # scratch objects of a probe never belong to the application, in whichever migration they turn up
        is_covered = self._keymap.covers_each(suffixes)
        if any(map(str.startswith, suffixes, repeat(SCRATCH_NAME))):
            is_covered = [
                covered and not suffix.startswith(SCRATCH_NAME)
                for covered, suffix in zip(is_covered, suffixes, strict=True)
            ]
        covered = page
        if not all(is_covered):
            self._sample(suffix for suffix, covers in zip(suffixes, is_covered, strict=True) if not covers)
            covered, suffixes = page.select(is_covered), list(compress(suffixes, is_covered))
        if suffixes:
            self._append(covered, suffixes)
        self.listed += len(page)
        self.foreign += len(page) - len(covered)

    @abstractmethod
    def _sample(self, suffixes: Iterable[str]) -> None:
        """Take note of suffixes that are not under the map."""

    @abstractmethod
    def _append(self, page: Page, suffixes: Sequence[str]) -> None:
        """Append a page of objects under the map."""


class SourceRows(ObjectRows):
    """Of `source_objects`.

    refused_keys: the shapes of keys that the target does not store unchanged
    """

    def __init__(self, catalog: Catalog, keymap: KeyMap, refused_keys: frozenset[KeyShape]) -> None:
        super().__init__(keymap, keymap.source_prefix)
        self._refused_keys = refused_keys
        self._rows = self._appenders.enter_context(catalog.bulk_appender("source_objects"))
        self._plain = self._appenders.enter_context(catalog.bulk_appender("source_objects", _LISTED_OF_ALL))

    def _append(self, page: Page, suffixes: Sequence[str]) -> None:
        listed = suffixes, page.sizes, page.etags, page.last_modified, page.storage_classes
        reasons = self._keymap.unroutable_each(page.keys, self._refused_keys)
        if any(page.restores) or any(page.tiers) or any(reasons):
            self._rows.append(*listed, page.restores, page.tiers, reasons)
        else:
            self._plain.append(*listed)

    def _sample(self, suffixes: Iterable[str]) -> None:
        self.samples = first_samples(self.samples, suffixes)


class TargetRows(ObjectRows):
    """Of `target_objects`."""

    def __init__(self, catalog: Catalog, keymap: KeyMap) -> None:
        super().__init__(keymap, keymap.target_prefix)
        self._rows = self._appenders.enter_context(catalog.bulk_appender("target_objects"))

    def _append(self, page: Page, suffixes: Sequence[str]) -> None:
        self._rows.append(suffixes, page.sizes, page.etags)

    def _sample(self, suffixes: Iterable[str]) -> None:
        """Keep none: what else is in the target is nobody's mistake."""


def first_samples(samples: list[str], suffixes: Iterable[str]) -> list[str]:
    """Return the first suffixes, in the order of text, of those kept and of others, which are mostly in order."""
    some = [suffix for suffix in islice(suffixes, FOREIGN_SAMPLES) if not suffix.startswith(SCRATCH_NAME)]
    if some and (len(samples) < FOREIGN_SAMPLES or some[0] < samples[-1]):
        return sorted([*samples, *some])[:FOREIGN_SAMPLES]
    return samples

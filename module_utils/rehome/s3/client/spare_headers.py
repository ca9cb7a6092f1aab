"""Headers that a request can do without, and which of them this service rejects, so that they are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..support import is_rejection

_CHECKSUM = "x-amz-checksum-"
_SPARE = frozenset({"content-md5", "x-amz-optional-object-attributes", "x-amz-mp-object-size"})
_READS = frozenset({"GET", "HEAD"})
_WITHOUT_DOCUMENT = frozenset({400, 405, 501})
"""Statuses with which a HEAD, whose reply says no more, may be refused because of a header."""
_MOST_IN_VAIN = 20
"""Trials without a header, of one client, that are refused all the same: then it is not the headers."""


class SpareHeaders:
    """Learns from refused requests which headers a service does not take.

    Checksums and sizes are a second proof beside ETag and content, restore states are a detail of a listing, and
    whoever reads an object under `If-Match` compares the reply's ETag as well, as some services ignore the condition.
    """

    def __init__(self) -> None:
        self._rejected: set[tuple[str, str]] = set()
        self._in_vain = 0

    def kept(self, method: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers without those that the service rejects."""
        if not self._rejected:
            return headers
        return {name: value for name, value in headers.items() if (method, name) not in self._rejected}

    def trials(
        self, method: str, headers: Mapping[str, str], status: int, code: str, message: str
    ) -> Iterator[Mapping[str, str]]:
        """Yield the headers with which a refused request should be tried again: without one kind, then without any."""
        if not (status in _WITHOUT_DOCUMENT if method == "HEAD" else is_rejection(status, code, message)):
            return
        kinds: dict[str, list[str]] = {}
        for name in headers:
            if (kind := _kind(method, name)) is not None:
                kinds.setdefault(kind, []).append(name)
        alone = list(kinds.values())
        together = [[name for names in alone for name in names]] if len(alone) > 1 else []
        for left_out in [*alone, *together]:
            if self._in_vain < _MOST_IN_VAIN:
                self._in_vain += 1
                yield {name: value for name, value in headers.items() if name not in left_out}

    def learn(self, method: str, headers: Mapping[str, str], taken: Mapping[str, str]) -> None:
        """Leave out from now on what `headers` has and `taken`, with which the same request succeeded, has not."""
        self._in_vain = 0
        self._rejected |= {(method, name) for name in headers if name not in taken}


def _kind(method: str, name: str) -> str | None:
    if name.startswith(_CHECKSUM):
        return _CHECKSUM
    return name if name in _SPARE or (name == "if-match" and method in _READS) else None

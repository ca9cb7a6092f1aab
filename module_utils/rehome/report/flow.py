"""Where the objects and rows of a run went, as one picture: from all that was seen, by groups, to each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from .facts import Report

State = Literal["done", "was", "open", "human", "apart"]
"""done: by this run; was: as it should be before; open: not reached, or waits; human: needs one; apart: left on
purpose."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Objects or rows that ended in the same class.

    label: what became of them, in words
    """

    label: str
    count: int
    state: State


@dataclass(frozen=True, slots=True)
class Group:
    """Streams that were meant for the same."""

    label: str
    streams: tuple[Stream, ...]

    @property
    def count(self) -> int:
        """How many are in it."""
        return sum(stream.count for stream in self.streams)


@dataclass(frozen=True, slots=True)
class Flow:
    """The objects, or the rows, of a run.

    label: what was seen
    """

    kind: Literal["objects", "rows", "copies"]
    label: str
    groups: tuple[Group, ...]

    @property
    def count(self) -> int:
        """How many were seen."""
        return sum(group.count for group in self.groups)


_Part = tuple[str, str, State]
"""The count's name, and what it is in words. With a `-` before it, the count is taken from that of the part before."""

_OBJECTS: Final = (
    (
        "to copy",
        (
            ("objects_copied", "copied, and proven the same", "done"),
            ("objects_found_present", "in the target by the time of the copy", "was"),
            ("objects_changed", "changed since the plan; left", "human"),
            ("objects_found_archived", "archived, as the attempt showed", "human"),
            ("objects_failed", "refused by S3", "human"),
            ("objects_not_reached", "not reached", "open"),
        ),
    ),
    ("in the target already", (("objects_present", "the same content", "was"),)),
    (
        "stay as they are",
        (
            ("objects_conflict", "conflict: other content in the target", "human"),
            ("-objects_to_overwrite", "", "human"),
            ("objects_archived", "in an archive tier", "human"),
            ("objects_unroutable", "no legal target key", "human"),
            ("objects_deferred", "beyond rehome_limit", "open"),
            ("objects_foreign", "not under the map", "apart"),
        ),
    ),
)
_ROWS: Final = (
    (
        "to rewrite",
        (
            ("rows_rewritten", "rewritten, and journalled", "done"),
            ("rows_found_done", "new value by the time of the rewrite", "was"),
            ("rows_changed_by_app", "changed by the application; left", "human"),
            ("rows_refused", "refused by the database", "human"),
            ("rows_waiting", "wait for their object", "open"),
            ("rows_not_reached", "not reached", "open"),
        ),
    ),
    ("as they should be already", (("rows_done", "hold the new value", "was"),)),
    (
        "stay as they are",
        (
            ("rows_dangling", "dangling: name no object", "human"),
            ("-rows_dangling_to_rewrite", "", "human"),
            ("rows_blocked", "their object cannot be copied", "human"),
            ("rows_overflowing", "too long for their column", "human"),
            ("rows_deferred", "beyond rehome_limit", "open"),
            ("rows_foreign", "not under the map", "apart"),
        ),
    ),
)
_VERIFIED_OBJECTS: Final = (
    ("compared", (("objects_verified", "in the target, with the same content", "done"),)),
    (
        "not as they should be",
        (
            ("left.objects_conflict", "conflict: other content in the target", "human"),
            ("left.objects_archived", "in an archive tier", "human"),
            ("left.objects_unroutable", "no legal target key", "human"),
            ("left.objects_to_copy", "not in the target", "human"),
            ("left.objects_outdated", "overwritten in the source since", "human"),
        ),
    ),
)
_VERIFIED_ROWS: Final = (
    ("compared", (("rows_verified", "new value, and its object exists", "done"),)),
    (
        "not as they should be",
        (
            ("rows_remaining", "hold the old value", "human"),
            ("left.rows_without_object", "name no object", "human"),
        ),
    ),
)
_ROLLED_BACK: Final = (
    (
        "rewritten by the migration",
        (
            ("rows_restored", "put back, byte for byte", "done"),
            ("rows_to_restore", "would be put back", "open"),
            ("rows_restored_before", "held the old value already", "was"),
            ("rows_changed_since", "changed by the application since; left", "human"),
            ("rows_gone", "deleted since", "apart"),
            ("rows_kept", "kept: the old value names no object", "human"),
            ("rows_refused", "refused by the database", "human"),
            ("rows_not_reached", "not reached", "open"),
        ),
    ),
)
_RETIRED: Final = (
    (
        "to delete",
        (
            ("objects_retired", "deleted; their markers bring them back", "done"),
            ("objects_kept_changed", "changed since; kept", "human"),
            ("objects_kept_refused", "refused by S3; kept", "human"),
            ("objects_not_reached", "not reached", "open"),
        ),
    ),
    (
        "kept",
        (
            ("objects_kept_unverified", "nothing proves them in the target", "human"),
            ("objects_kept_by_policy", "conflicts that a policy keeps", "apart"),
            ("objects_kept_referenced", "a row names them", "human"),
            ("objects_kept_too_young", "too young (rehome_retire_after)", "open"),
            ("objects_kept_locked", "under a legal hold or retention", "human"),
        ),
    ),
)
_REMOVED: Final = (
    (
        "copies to remove",
        (
            ("copies_removed", "removed; their markers bring them back", "done"),
            ("copies_kept_changed", "changed since; kept", "human"),
            ("copies_kept_refused", "refused by S3; kept", "human"),
            ("copies_not_reached", "not reached", "open"),
        ),
    ),
    (
        "kept",
        (
            ("copies_kept_not_ours", "not made by this migration", "apart"),
            ("copies_kept_uncertain", "nothing proves whose they are", "human"),
            ("copies_kept_unverified", "nothing proves them in the source", "human"),
            ("copies_kept_referenced", "a row names them", "human"),
            ("copies_kept_locked", "under a legal hold or retention", "human"),
        ),
    ),
)


def flows(report: Report) -> list[Flow]:
    """Return the flow of the run's objects and that of its rows, as far as it has counted any."""
    counts = report["counts"] | {f"left.{name}": count for name, count in report["left"].items()}
    verb = report["verb"].removesuffix("-check")
    would = "will be" if report["dry_run"] else ""
    if verb == "rollback":
        found = [
            _flow("rows", "rewritten rows", _ROLLED_BACK, counts, would),
            _flow("copies", "copies", _REMOVED, counts, would),
        ]
    elif verb == "retire":
        found = [_flow("objects", "source objects", _RETIRED, counts, would)]
    elif verb == "verify":
        found = [
            _flow("objects", "objects compared", _VERIFIED_OBJECTS, counts, ""),
            _flow("rows", "rows compared", _VERIFIED_ROWS, counts, ""),
        ]
    else:
        found = _moved(counts, would)
    return [flow for flow in found if flow.count]


def _moved(counts: Mapping[str, int], would: str) -> list[Flow]:
    return [
        _flow("objects", "objects under the prefix", _OBJECTS, counts, would),
        _flow("rows", "rows of the columns", _ROWS, counts, would),
    ]


def _flow(
    kind: Literal["objects", "rows", "copies"],
    label: str,
    groups: Sequence[tuple[str, Sequence[_Part]]],
    counts: Mapping[str, int],
    would: str,
) -> Flow:
    made = [Group(name, tuple(_streams(parts, counts))) for name, parts in groups]
    if would:
        made = [_planned(group, would) for group in made]
    return Flow(kind, label, tuple(group for group in made if group.count))


def _streams(parts: Sequence[_Part], counts: Mapping[str, int]) -> list[Stream]:
    found: list[Stream] = []
    for name, label, state in parts:
        count = counts.get(name.removeprefix("-"), 0)
        if not name.startswith("-"):
            found.append(Stream(label, count, state))
        elif found:
            found[-1] = Stream(found[-1].label, found[-1].count - count, found[-1].state)
    return [stream for stream in found if stream.count > 0]


_WILL: Final = {"to copy": "copied", "to rewrite": "rewritten", "to delete": "deleted", "copies to remove": "removed"}


def _planned(group: Group, would: str) -> Group:
    """Return a group of a dry run, whose `not reached` is what a run would do."""
    verb = _WILL.get(group.label)
    if verb is None:
        return group
    streams = [
        Stream(f"{would} {verb}", stream.count, "done") if stream.label == "not reached" else stream
        for stream in group.streams
    ]
    return Group(group.label, tuple(streams))


# The picture. Rows of text have a fixed height, so that they never overlap; the streams are as thick as they are many,
# but never too thin to be seen.

_HEADING: Final = 30
_ROW: Final = 46
_THICK: Final = 150
_THIN: Final = 2.5
_GAP: Final = 6


@dataclass(frozen=True, slots=True)
class Ribbon:
    """A stream in the picture: a path from what was seen, over its group, to its row of text.

    paths: of SVG, 100 wide
    thick: how thick it is at its end
    """

    stream: Stream
    paths: tuple[str, str]
    thick: float
    height: float
    top: float


@dataclass(frozen=True, slots=True)
class Picture:
    """A flow, laid out.

    height: of the whole, in pixels
    groups: with the rows of each
    source: top and bottom of what was seen
    """

    flow: Flow
    height: float
    source: tuple[float, float]
    groups: tuple[tuple[Group, tuple[float, float], tuple[Ribbon, ...]], ...]


def picture(flow: Flow) -> Picture:
    """Lay a flow out."""
    total = flow.count
    thick = {id(s): max(_THIN, _THICK * s.count / total) for group in flow.groups for s in group.streams}
    height = sum(_HEADING + sum(_row_height(thick[id(s)]) for s in group.streams) + _GAP for group in flow.groups)
    whole = sum(thick.values())
    at_source = source = max(0.0, (height - whole) / 2)
    groups, y = [], 0.0
    for group in flow.groups:
        top = y + _HEADING
        inner = sum(_row_height(thick[id(s)]) for s in group.streams)
        mine = sum(thick[id(s)] for s in group.streams)
        at_group = at_group_began = top + (inner - mine) / 2
        ribbons = []
        for stream in group.streams:
            t, row = thick[id(stream)], _row_height(thick[id(stream)])
            end = top + (row - t) / 2
            paths = (_ribbon(0, at_source, 50, at_group, t), _ribbon(50, at_group, 100, end, t))
            ribbons.append(Ribbon(stream, paths, t, row, top))
            at_source, at_group, top = at_source + t, at_group + t, top + row
        groups.append((group, (at_group_began, at_group), tuple(ribbons)))
        y = top + _GAP
    return Picture(flow, round(height, 1), (source, source + whole), tuple(groups))


def _row_height(thick: float) -> float:
    return max(_ROW, thick + 8)


def _ribbon(x0: float, y0: float, x1: float, y1: float, thick: float) -> str:
    middle = (x0 + x1) / 2
    return (
        f"M{x0:g},{y0:.1f}C{middle:g},{y0:.1f} {middle:g},{y1:.1f} {x1:g},{y1:.1f}"
        f"V{y1 + thick:.1f}C{middle:g},{y1 + thick:.1f} {middle:g},{y0 + thick:.1f} {x0:g},{y0 + thick:.1f}Z"
    )

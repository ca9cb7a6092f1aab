"""The plan as a text that one can say yes to: what would be copied, rewritten and left, its cost, and the next command.

`+` is a copy, `~` a rewrite, `!` needs a human, `-` is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from .attention import needs
from .card import again_line, heading, lists_line, next_lines, outcome_line, report_line
from .done import done
from .estimate import between
from .facts import Estimate, Report, Sample
from .fields import SummaryFields
from .lines import WIDTH, labelled, many, named, packed, shortened, size, under

MOST_LINES: Final = 35
MOST_SAMPLES: Final = 3
_INDENT: Final = "      "
_NEXT_LINES: Final = 2


LEFT_BY_PASS: Final[Mapping[str, str]] = {
    "objects_conflict": "conflicts",
    "objects_archived": "archived objects",
    "objects_unroutable": "objects without a legal target key",
    "objects_deferred": "deferred objects",
    "rows_dangling": "dangling rows",
    "rows_blocked": "blocked rows",
    "rows_overflowing": "rows too long for their column",
    "rows_deferred": "deferred rows",
    "rows_in_other_forms": "rows in other forms",
}
"""What a pass neither copies nor rewrites, or not without being told to."""


class _Part(NamedTuple):
    """A class of the plan. samples: (kind, class or list) that has samples of it"""

    mark: str
    text: str
    samples: tuple[str, str] | None = None


def plan_text(report: Report, fields: SummaryFields) -> list[str]:
    """Return the plan of a dry run, in as many lines as a screen has; samples give way to what must be said."""
    for samples in range(MOST_SAMPLES, -1, -1):
        lines = _text(report, fields, samples)
        if len(lines) <= MOST_LINES:
            break
    return lines


def left_lines(number: int, counts: Mapping[str, int]) -> list[str]:
    """Return what the first pass of a run leaves, in a line; nothing of the others, or if it leaves nothing.

    number: of the pass, from 1
    counts: of its plan, by the names of the summary
    """
    return under("left", packed(named(counts, LEFT_BY_PASS), 1)) if number == 1 else []


def _text(report: Report, fields: SummaryFields, samples: int) -> list[str]:
    wanted = needs(report, fields)
    return [
        heading(report),
        *(line for part in _parts(report) for line in _part_lines(report, part, samples)),
        _sum(report),
        *under("cost", _cost(report["estimate"]) if "estimate" in report else []),
        *lists_line(report),
        *under("human", packed(wanted, 4)),
        *([labelled("digest", report["plan_sha256"])] if report["plan_sha256"] else []),
        outcome_line(report, fields, done(report, fields).sentence, len(wanted)),
        report_line(report),
        *next_lines(report, _NEXT_LINES),
        *again_line(report),
    ]


def _parts(report: Report) -> Iterator[_Part]:
    """Yield the classes that are not empty: what a run does, what stops it or waits for somebody, what it leaves."""
    yield from _moved(report)
    yield from _for_humans(report)
    yield from _left(report)


def _moved(report: Report) -> Iterator[_Part]:
    counts = report["counts"]
    outdated, over = counts.get("objects_outdated", 0), counts.get("objects_to_overwrite", 0)
    copies = counts.get("objects_to_copy", 0)
    if new := copies - outdated - over:
        orphans = counts.get("objects_orphan", 0)
        named = f"; {orphans:,} under the map are named by no row" if orphans else ""
        moves = report["moves"]
        place = "the cluster" if moves.get("cluster") else "this machine"
        through = f", through {place}" if moves["copy_method"] == "stream" else ""
        text = f"copy {many(new, 'object')}{_bytes(report, 'to_copy')}{through}{named}"
        yield _Part("+", text, ("objects", "to_copy"))
    if outdated:
        yield _Part("+", f"copy {many(outdated, 'object')} again, overwritten since", ("objects", "outdated"))
    if over:
        yield _Part("+", f"overwrite {many(over, 'object')} of the target", ("objects", "objects-conflict"))
    if rows := counts.get("rows_to_rewrite", 0):
        columns = report.get("by_reference", [])
        of = [one["column"] for one in columns if one["counts"].get("to_rewrite")]
        where = f" of {of[0]}" if len(of) == 1 else f" of {len(of)} columns" if of else ""
        yield _Part("~", f"rewrite {many(rows, 'row')}{where}", ("rows", "to_rewrite"))


def _for_humans(report: Report) -> Iterator[_Part]:
    counts, policies = report["counts"], report["moves"]["policies"]
    keeps_conflicts = policies["rehome_on_conflict"] == "skip"
    keeps_dangling = policies["rehome_on_dangling"] == "keep"
    conflicts = counts.get("objects_conflict", 0) - counts.get("objects_to_overwrite", 0)
    dangling = counts.get("rows_dangling", 0) - counts.get("rows_dangling_to_rewrite", 0)
    by_policy = (
        {"objects-conflict": "rehome_on_conflict", "rows-blocked": "rehome_on_conflict"} if keeps_conflicts else {}
    )
    by_policy |= {"rows-dangling": "rehome_on_dangling"} if keeps_dangling else {}
    found = {
        "objects-conflict": (conflicts, "with other content in the target"),
        "objects-archived": (counts.get("objects_archived", 0), "in an archive tier, to be restored first"),
        "objects-unroutable": (counts.get("objects_unroutable", 0), "without a legal target key"),
        "rows-dangling": (dangling, "without an object in either bucket"),
        "rows-blocked": (counts.get("rows_blocked", 0), "of objects that cannot be copied"),
        "rows-overflowing": (counts.get("rows_overflowing", 0), "too long for their column afterwards"),
        "rows-in-other-forms": (counts.get("rows_in_other_forms", 0), "with a key in a form that no reference has"),
    }
    for name, (count, text) in found.items():
        kind = name.partition("-")[0]
        policy = f"; left, by {by_policy[name]}" if name in by_policy else ""
        if count:
            yield _Part("-" if policy else "!", f"{many(count, kind[:-1])} {text}{policy}", (kind, name))


def _left(report: Report) -> Iterator[_Part]:
    counts = report["counts"]
    there = [
        text
        for count, text in (
            (counts.get("objects_present", 0), "object is in the target already|objects are in the target already"),
            (counts.get("rows_done", 0), "row holds the new value|rows hold the new value"),
        )
        if count
        for text in [f"{count:,} {text.split('|')[count != 1]}"]
    ]
    if there:
        yield _Part("-", ", ".join(there))
    for kind, noun in (("objects", "object"), ("rows", "row")):
        if deferred := counts.get(f"{kind}_deferred", 0):
            yield _Part("-", f"{many(deferred, noun)} beyond rehome_limit", (kind, "deferred"))
        if foreign := counts.get(f"{kind}_foreign", 0) - (kind == "rows") * counts.get("rows_in_other_forms", 0):
            yield _Part("-", f"{many(foreign, noun)} not under the map", (kind, "foreign"))


def _bytes(report: Report, name: str) -> str:
    sizes = [one["bytes"] for one in report.get("classes", []) if (one["kind"], one["name"]) == ("objects", name)]
    return f" ({size(sizes[0])})" if sizes and sizes[0] is not None else ""


def _part_lines(report: Report, part: _Part, samples: int) -> list[str]:
    shown = [
        one
        for some in (*report.get("samples", []), *report["list_samples"])
        if part.samples == (some["kind"], some["name"])
        for one in some["shown"]
    ]
    most = samples if part.mark in "+~" else min(samples, 1)
    return [f"  {part.mark} {part.text}", *map(_sample_line, shown[:most])]


def _sample_line(sample: Sample) -> str:
    where = f"{shortened(sample['where'], 24)}  " if sample["where"] else ""
    room = WIDTH - len(_INDENT) - len(where)
    if not sample["after"]:
        return f"{_INDENT}{where}{shortened(sample['before'], room)}"
    half = (room - len(" → ")) // 2
    return f"{_INDENT}{where}{shortened(sample['before'], half)} → {shortened(sample['after'], half)}"


def _sum(report: Report) -> str:
    counts = report["counts"]
    copies, rows = counts.get("objects_to_copy", 0), counts.get("rows_to_rewrite", 0)
    in_bytes = size(counts.get("bytes_to_copy", 0))
    return labelled(
        "plan", f"{many(copies, 'object')} to copy ({in_bytes}), {many(rows, 'row')} to rewrite, 0 to delete"
    )


def _cost(estimate: Estimate) -> list[str]:
    sums: dict[str, int] = {}
    for request in estimate["requests"]:
        sums[request["kind"]] = sums.get(request["kind"], 0) + request["count"]
    requests = ", ".join(f"{count:,} {kind.upper()}" for kind, count in sums.items() if count)
    found = [f"about {between(estimate['low_s'], estimate['high_s'])} of work", f"requests: {requests or 'none'}"]
    if estimate["bytes_through"]:
        found.append(f"{size(estimate['bytes_through'])} through this machine")
    if money := estimate["money"]:
        month = f", {money['month']:,.2f} a month while both are kept" if money["month"] is not None else ""
        lacking = f" without {', '.join(money['without_price'])}" if money["without_price"] else ""
        found.append(f"{money['total']:,.2f} {money['currency']}{month}{lacking} (prices of {money['as_of']})")
    return packed(found, 3)

"""What was found, for people: the lines at the end of the verb, the list in the state folder, and what to paste."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from .columns import FoundColumn, Standing
from .record import Record

TITLES: dict[Standing, str] = {
    "names": "These columns name objects, and are no references",
    "may": "These may: look at the examples",
    "reference": "These are references already",
    "not_searched": "These were not searched, and are unknown",
    "none": "In these nothing was found",
}
SHOWN = 5
"""Columns that the lines for a terminal name."""
REASONS = 3
"""Reasons that they name why columns were not searched."""


def card(record: Record, place: str) -> list[str]:
    """Return the lines for a terminal. place: of the list of everything"""
    tables = len({column.table for column in record.columns if column.column})
    searched = [column for column in record.columns if column.standing not in ("not_searched", "reference")]
    sampled = sum(not column.whole for column in searched)
    lines = [
        f"{record.place}",
        f"searched {_columns(len(searched))} of {tables:,} table{'s' if tables != 1 else ''} beside the references, "
        f"{len(searched) - sampled:,} as a whole and {sampled:,} by samples; {compared_with(record)}",
    ]
    shown = [*record.of("names"), *record.of("may")]
    lines += [f"{column.standing:<8} {column.name}  {words_of(column)}" for column in shown[:SHOWN]]
    if len(shown) > SHOWN:
        lines.append(f"         and {len(shown) - SHOWN:,} more")
    if unsearched := record.of("not_searched"):
        lines.append(f"unknown  {_unsearched(len(unsearched))} not searched: {_reasons(unsearched)}")
    if not shown:
        lines.append("found    no column that names objects and is no reference")
    return [*lines, f"list     {place}"]


def _columns(count: int) -> str:
    return f"{count:,} column{'s' if count != 1 else ''}"


def _unsearched(count: int) -> str:
    return "1 column or table was" if count == 1 else f"{count:,} columns or tables were"


def _reasons(unsearched: Sequence[FoundColumn]) -> str:
    """Return why columns were not searched: of one reason alone, the others would pass for it."""
    counts = Counter(column.why for column in unsearched)
    if len(counts) == 1:
        return str(unsearched[0].why)
    told = [f"{count:,} {why}" for why, count in counts.most_common(REASONS)]
    return "; ".join([*told, *(["others, which the list has"] if len(counts) > REASONS else [])])


def compared_with(record: Record) -> str:
    """Return how names are told from look-alikes."""
    if record.listing is None:
        return "told by the prefix and the globs alone, as there is no listing of the source yet (playbooks/plan.yml)"
    return f"names were compared with the source's listing of {record.listing:,} objects"


def words_of(column: FoundColumn) -> str:
    """Return in which forms a column names objects, and how often."""
    if not column.whole and (estimated := column.estimated) is not None:
        count = f"about {estimated:,} rows ({column.rows:,} in the {column.rows_read:,} that were read)"
    else:
        least = "" if column.whole else "at least "
        count = f"{least}{column.rows:,} row{'s' if column.rows != 1 else ''}"
    forms = ", ".join(form.words for form in column.forms[:2]) + (", …" if len(column.forms) > 2 else "")
    return f"{forms}  {count}"


def to_paste(columns: Sequence[FoundColumn]) -> list[str]:
    """Return the YAML of the references that are missing; empty if none can be named."""
    usable = [column for column in columns if column.standing == "names" and column.form]
    if not usable:
        return []
    lines = ["rehome_references: # in addition to those that are there"]
    for column in usable:
        lines.append(f"  - {{table: {_scalar(column.table)}, column: {_scalar(column.column)}, form: {column.form}}}")
        others = [form for form in column.forms if form.form != column.form]
        if others:
            told = ", ".join(f"{form.rows:,} {form.words}" for form in others[:3])
            lines.append(f"    # other values of this column: {told}")
    return lines


def text(record: Record) -> str:
    """Return the list of everything."""
    lines = [record.place, f"searched from {record.began} to {record.ended}; {compared_with(record)}", ""]
    if paste := to_paste(record.columns):
        lines += ["To paste into the settings:", "", *paste, ""]
    for standing, title in TITLES.items():
        if columns := record.of(standing):
            lines += [f"{title} ({len(columns):,})", ""]
            lines += [line for column in columns for line in _column(column)]
            lines.append("")
    return "\n".join(lines)


def _column(column: FoundColumn) -> Iterator[str]:
    how = f"all {column.rows_read:,} rows" if column.whole else f"a sample of {column.rows_read:,} rows"
    if column.standing in ("names", "may"):
        yield f"  {column.name} ({column.type}): {words_of(column)}"
        if column.compared:
            yield f"      of {column.compared:,} different values, {column.existing:,} are in the source's listing"
        for form in column.forms:
            yield f"      {form.words}: {form.rows:,}"
            yield from (f"        {example!r}" for example in form.examples)
        if column.why:
            yield f"      {column.why}"
        if column.no_reference:
            yield f"      it can be no reference: {column.no_reference}"
    elif column.standing == "none":
        yield f"  {column.name} ({column.type}): {how}"
    else:
        yield f"  {column.name}{f': {column.why}' if column.why else ''}"


def _scalar(name: str) -> str:
    """Return a name as YAML: in quotes if it is more than letters and digits, or a word that means something else."""
    plain = name.replace("_", "a").replace(".", "a")
    if plain.isascii() and plain.isalnum() and plain[0].isalpha() and name.lower() not in _WORDS:
        return name
    return "'" + name.replace("'", "''") + "'"


_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}

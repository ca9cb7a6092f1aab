"""A suite's results: its verdicts, its tables and its commands, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .figures import Figure

WHOLE_FROM = 9.95
"""What is shown with one digit behind the point would be 10.0 from here on."""
_UNITS = ((86_400, "days"), (3_600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure and its bar."""

    measure: str
    figure: str
    bar: str
    met: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Figures side by side."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """The results of one suite.

    about: what was measured and how, so that a reader can tell what the figures do not say
    commands: the exact command of each side
    versions: program → version, of what took part
    figures: what the page's first table needs of it
    busy: the share of the machine that others used in the second before the suite began, in percent
    took_s: how long the suite took, its servers' start and end included
    """

    title: str
    about: str
    verdicts: tuple[Verdict, ...] = ()
    tables: tuple[Table, ...] = ()
    commands: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    figures: dict[Figure, float] = field(default_factory=dict)
    busy: float = 0.0
    took_s: float = 0.0


def at_most(measure: str, value: float, bar: float, unit: str = "", digits: int = 2) -> Verdict:
    """Return the verdict on a value that should be small."""
    return Verdict(measure, f"{value:,.{digits}f}{unit}", f"≤ {bar:,.{digits}f}{unit}", value <= bar)


def at_least(measure: str, value: float, bar: float, unit: str = "", digits: int = 0) -> Verdict:
    """Return the verdict on a value that should be large."""
    return Verdict(measure, f"{value:,.{digits}f}{unit}", f"≥ {bar:,.{digits}f}{unit}", value >= bar)


def duration(seconds: float) -> str:
    """Return a duration in the largest unit of which it has at least two, with two digits or more."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), (1, "s"))
    count = seconds / size
    return f"{count:,.{0 if count >= WHOLE_FROM else 1}f} {unit}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; a `|` in a cell does not end the cell."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Return the table of verdicts; a missed bar stands out."""
    rows = [(one.measure, one.figure, one.bar, "yes" if one.met else "**no**") for one in verdicts]
    return markdown_table(("measure", "figure", "bar", "met"), rows)


def markdown(section: Section) -> str:
    """Return the section under a second-level heading."""
    parts = [f"## {section.title}", section.about]
    if section.verdicts:
        parts.append(verdict_table(section.verdicts))
    parts += [markdown_table(table.header, table.rows) for table in section.tables]
    if section.commands:
        parts.append("```console\n" + "\n".join(f"$ {command}" for command in section.commands) + "\n```")
    parts.append(
        f"It took {duration(section.took_s)}. Others used {section.busy:.0f} % of the machine in the second before."
    )
    return "\n\n".join(parts) + "\n"


def write_json(section: Section, path: Path) -> None:
    """Write the section for the page that joins the sections."""
    path.write_text(json.dumps(asdict(section), ensure_ascii=False))


def read_json(path: Path) -> Section:
    """Return a section that `write_json` wrote."""
    facts = json.loads(path.read_text())
    return Section(
        title=facts["title"],
        about=facts["about"],
        verdicts=tuple(Verdict(**one) for one in facts["verdicts"]),
        tables=tuple(Table(tuple(one["header"]), tuple(map(tuple, one["rows"]))) for one in facts["tables"]),
        commands=tuple(facts["commands"]),
        versions=facts["versions"],
        figures={Figure(name): value for name, value in facts["figures"].items()},
        busy=facts["busy"],
        took_s=facts["took_s"],
    )

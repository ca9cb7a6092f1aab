"""report.json and report.md in the state folder: written stage by stage, so that a run that dies leaves facts, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from ..codes import Code, marked
from ..errors import RehomeError
from ..files import read_json, write_json, write_whole
from .estimate import Measured, measured_rate
from .facts import KeptFacts, LastMigration, Report, StageFact
from .summary import PAGE_FILE, TEXT_FILE

T = TypeVar("T")

FACTS_FILE: Final = "report.json"

_MIGRATE: Final = "migrate"
_WAY_OUT: Final = "Delete it; the next run writes it again"


def of_verb(name: str, verb: str) -> str:
    """Return the name of the copy of a report that stays until the next run of its verb."""
    stem, _, kind = name.partition(".")
    return f"{stem}-{verb}.{kind}"


def read_kept(state_dir: Path, run: str) -> KeptFacts:
    """Return what earlier stages of a run have contributed; nothing if the report is of another run, or damaged."""

    def parse(content: Any) -> KeptFacts:
        if content["run"] != run:
            return KeptFacts()
        names = KeptFacts.__annotations__.keys()
        return cast(KeptFacts, {name: value for name, value in content.items() if name in names})

    try:
        return read_json(state_dir / FACTS_FILE, parse, _WAY_OUT) or KeptFacts()
    except RehomeError:  # nothing depends on it, and it is written anew
        return KeptFacts()


def remove_texts(state_dir: Path, verb: str) -> None:
    """Remove the texts of earlier runs, which would lie beside the facts of this one."""
    for file in (TEXT_FILE, PAGE_FILE):
        for name in (file, of_verb(file, verb)):
            (state_dir / name).unlink(missing_ok=True)


def write_report(state_dir: Path, report: Report) -> None:
    """Write the facts."""
    for name in (of_verb(FACTS_FILE, report["verb"]), FACTS_FILE):
        write_json(state_dir / name, report)


def write_texts(state_dir: Path, report: Report) -> list[str]:
    """Write the report as people read it: as Markdown, and as a page.

    Whatever goes wrong with it is returned, as warnings: the run has ended as it has, and the facts are written.
    """
    warnings = []
    for file, render in ((TEXT_FILE, _as_text), (PAGE_FILE, _as_page)):
        try:
            text = render(state_dir, report)
            for name in (of_verb(file, report["verb"]), file):
                write_whole(state_dir / name, text)
        except Exception as error:  # of any kind: it must not take the place of the run's own end
            text = f"{file} could not be written ({type(error).__name__}); report.json beside it has all facts"
            warnings.append(marked(text, Code.REPORT_LACKING))
    return warnings


def _as_text(_state_dir: Path, report: Report) -> str:
    # jinja2 takes a tenth of a second to load, which most stages need not wait for
    from .markdown import render  # noqa: PLC0415

    return render(report)


def _as_page(state_dir: Path, report: Report) -> str:
    from .charts import charts_of, draw  # noqa: PLC0415
    from .page import render_page  # noqa: PLC0415
    from .tables import MOST_ROWS, tables_of  # noqa: PLC0415

    drawn = draw(charts_of(report["timeline"]))
    rows = MOST_ROWS if report["samples_per_class"] else 0
    return render_page(report, tables_of(state_dir, report["lists"], most=rows), drawn)


def last_migration(state_dir: Path) -> LastMigration | None:
    """Return what the state folder knows of the last migration; None if that is nothing, or damaged."""
    names = LastMigration.__annotations__.keys()
    return _of_migration(state_dir, lambda content: cast(LastMigration, {name: content[name] for name in names}))


def measured(state_dir: Path) -> Measured:
    """Return the rates of the last migration whose report is in the state folder."""

    def parse(content: Any) -> Measured:
        stages: list[StageFact] = content["stages"]
        return Measured(_rate(stages, "copy", "objects_copied"), _rate(stages, "rewrite", "rows_rewritten"))

    return _of_migration(state_dir, parse) or Measured()


def _of_migration(state_dir: Path, parse: Callable[[Any], T]) -> T | None:
    try:
        return read_json(state_dir / of_verb(FACTS_FILE, _MIGRATE), parse, _WAY_OUT)
    except RehomeError:
        return None


def _rate(stages: list[StageFact], name: str, count: str) -> float | None:
    mine = [stage for stage in stages if stage["stage"] == name]
    return measured_rate(sum(stage["changed"].get(count, 0) for stage in mine), sum(one["seconds"] for one in mine))

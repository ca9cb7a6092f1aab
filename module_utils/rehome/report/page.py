"""report.html: the facts of a run as one page that loads nothing, and in which nothing can be anything but text."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup, escape

from .charts import Drawn
from .compiled import compiled_templates
from .estimate import between, duration
from .facts import Report
from .flow import flows, picture
from .lines import size
from .markdown import is_hidden, one_line, visible, when
from .summary import UNFINISHED
from .tables import ListTable
from .words import CLASSES, EVIDENCE, LEFT, STATUSES, VERB_TITLES

LONGEST: Final = 1_000
MOST_LINES: Final = 100
MOST_SAMPLES: Final = 20
_FOLDER: Final = Path(__file__).parent


class _Counts(dict[str, int]):
    """Counts, of which the report has only those that are not 0."""

    def __missing__(self, name: str) -> int:
        return 0


def render_page(report: Report, tables: Sequence[ListTable], drawn: Drawn) -> str:
    """Return the report as HTML.

    tables: of what needs a human
    drawn: the charts of the run over time
    """
    style, script = (_FOLDER / "page.css").read_text(), (_FOLDER / "page.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        r=dict(report),
        counts=_Counts(report["counts"]),
        tables=tables,
        charts=[(chart, Markup(svg)) for chart, svg in drawn.charts],  # noqa: S704 - vl-convert's, of our own figures
        chart_problem=drawn.problem,
        pictures=[picture(flow) for flow in flows(report)],
        verdict=verdict(report),
        took_s=sum(stage["seconds"] for stage in report.get("stages", [])),
        style=Markup(style),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704
        script_digest=digest,
    )


def verdict(report: Report) -> tuple[str, str, str]:
    """Return how the run ended: a word for colours, one for people, and a sentence."""
    if report.get("refusals"):
        return "bad", "Refused", "A run would stop before its first write."
    if error := report.get("error"):
        interrupted = error.startswith("interrupted")
        return ("open" if interrupted else "bad"), ("Stopped" if interrupted else "Failed"), error
    if report["verb"] == "preflight":
        good = not report["problems"] or report["problems"] == [UNFINISHED]
        return ("good" if good else "bad"), ("Ready" if good else "Not ready"), _may_begin(good)
    if report["dry_run"]:
        return "dry", "Dry run", f"Nothing was written to the buckets and the database. Outcome: {report['outcome']}."
    if report["complete"]:
        return "good", "Complete", _what_stays(report["outcome"])
    return _not_complete(report)


def _not_complete(report: Report) -> tuple[str, str, str]:
    number = len(report["problems"])
    if not number:
        return "open", "Not complete", f"Outcome: {report['outcome']}."
    needs = "thing needs" if number == 1 else "things need"
    return "bad", "Not complete", f"{number} {needs} a human; see below."


def _what_stays(outcome: str) -> str:
    rest = outcome.removeprefix("complete, but ")
    return "Nothing is left to do." if rest == "complete" else f"By the policies that were set, {rest}."


def _may_begin(good: bool) -> str:
    return f"A migration {'may' if good else 'may not'} begin. Nothing was written to the buckets and the database."


def seen(text: object, longest: int = LONGEST) -> Markup:
    r"""Return a text for the page in which everything can be seen: what could not is written as in Python, `\u202e`."""
    whole = str(text)
    if len(whole) > longest:
        tail = longest // 4
        whole = f"{whole[: longest - tail]}…{whole[-tail:]}"
    pieces = []
    for hidden, some in groupby(whole, key=is_hidden):
        if hidden:
            pieces.append(Markup('<span class="hidden">{}</span>').format("".join(map(visible, some))))
        else:
            pieces.append(escape("".join(some)))
    return Markup("").join(pieces)


def plain(text: object) -> str:
    """Return what `seen` does for places that take text alone."""
    return "".join(visible(character) if is_hidden(character) else character for character in str(text)[:LONGEST])


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else duration(seconds)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        bytecode_cache=compiled_templates(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        seen=seen, plain=plain, when=when, size=size, count="{:,}".format, line=one_line, seconds=_seconds, named=_named
    )
    constants: dict[str, Any] = {
        "between": between,
        "most": MOST_LINES,
        "samples": MOST_SAMPLES,
        "unfinished": UNFINISHED,
        "classes": CLASSES,
        "evidence": EVIDENCE,
        "left": LEFT,
        "statuses": STATUSES,
        "titles": VERB_TITLES,
    }
    environment.globals.update(constants)
    return environment.get_template("page.html.j2")


def _named(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")

"""The report as a page: nothing in it can be anything but text, and whatever a run was, there is one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as each
from hypothesis import settings as limits
from hypothesis import strategies as st
from rehome.errors import RehomeError
from rehome.report import document
from rehome.report.again import report_again
from rehome.report.charts import Chart, Drawn, charts_of, draw
from rehome.report.document import write_texts
from rehome.report.facts import KeptFacts, Report, TimelinePoint
from rehome.report.fields import RetireCounts
from rehome.report.flow import flows, picture
from rehome.report.page import render_page, seen
from rehome.report.tables import LONGEST_CELL, ListTable, tables_of

from tests.unit.report.facts_of_runs import report_of, settings_in

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title><h1>x",
    "a\u202egnp.exe",
    "\x00\x07\x1b[31m\r\n",
    "{{ 7 * 7 }}{% raw %}",
    "\u05e9\u05dc\u05d5\u05dd",
)
VERBS = ("preflight", "plan", "migrate-check", "migrate", "verify", "rollback", "rollback-check", "retire", "mine")


NO_RETIREMENT = dict.fromkeys(RetireCounts.__annotations__, 0) | {"restores": False}


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)


def page_of(report: Report, tables: list[ListTable] | None = None, drawn: Drawn | None = None) -> Page:
    return Page(render_page(report, tables or [], drawn or Drawn()))


def points(seconds: int = 40) -> list[TimelinePoint]:
    return [
        TimelinePoint(
            at_s=float(second),
            began_s=0.0,
            stage="copy",
            done=100 * second,
            bytes_done=5_000_000 * second,
            requests={"in_flight": 8, "limit": 16, "sent": 100 * second, "retries": 0, "throttled": 0, "failed": 0}
            | {"p50_ms": 10.0, "p90_ms": 20.0, "p99_ms": 30.0},  # type: ignore[typeddict-item]
        )
        for second in range(seconds)
    ]


def written(folder: Path, name: str, lines: list[Any], count: int | None = None) -> dict[str, Any]:
    file = folder / "lists" / f"{name}.jsonl"
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"file": str(file), "count": count or len(lines), "sha256": "ab" * 32}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_page_that_loads_nothing(tmp_path: Path, verb: str) -> None:
    page = page_of(report_of(settings_in(tmp_path), verb, objects_seen=3, objects_present=3))
    sources = [attributes[name] for _, attributes in page.elements for name in ("src", "href") if name in attributes]
    assert all(source and source.startswith(("#", "data:")) for source in sources)
    (policy,) = (one["content"] for one in page.named("meta") if one.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert len(list(page.named("script"))) == 1
    headings = [tag for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1


@pytest.mark.parametrize("evil", HOSTILE)
def test_keys_rows_and_messages_are_text_wherever_they_stand(tmp_path: Path, evil: str) -> None:
    sample = {"where": evil, "before": evil, "after": evil, "note": evil}
    kept = KeptFacts(
        error=evil,
        warnings=[evil],
        samples=[{"kind": "rows", "name": "to_rewrite", "count": 1, "shown": [sample]}],  # type: ignore[typeddict-item]
    )
    lists = {"rows-dangling": written(tmp_path, "rows-dangling", [{"key": [evil], "value": evil, "reference": "a.b"}])}
    report = report_of(settings_in(tmp_path), "migrate", kept, problems=[evil], lists=lists, complete=False)
    report["env"] = report["name"] = evil
    tables = tables_of(tmp_path, report["lists"])
    plain = page_of(report_of(settings_in(tmp_path), "migrate"))
    page = page_of(report, tables)
    assert (
        not {tag for tag, _ in page.elements}
        - {tag for tag, _ in plain.elements}
        - {"div", "section", "ul", "li"}
        - {
            *(
                "table",
                "thead",
                "tbody",
                "tr",
                "th",
                "td",
                "caption",
                "p",
                "label",
                "input",
                "output",
                "span",
                "h3",
                "b",
            )
        }
    )
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page.text)


@each(st.text(max_size=200))
@limits(max_examples=200)
def test_whatever_a_text_holds_it_is_shown_as_text(text: str) -> None:
    shown = str(seen(text))
    assert not re.search(r"<(?!/?span)", shown)
    assert "&" not in re.sub(r"&(amp|lt|gt|#34|#39);", "", shown)
    shown.encode()


def test_half_a_character_is_shown_and_can_be_written() -> None:
    assert str(seen("\ud800")) == '<span class="hidden">\\ud800</span>'


def test_a_value_of_a_megabyte_is_cut_and_the_page_stays_small(tmp_path: Path) -> None:
    lines = [{"reference": "a.b", "key": [number], "value": "x" * 1_000_000} for number in range(12)]
    lists = {"rows-dangling": written(tmp_path, "rows-dangling", lines)}
    tables = tables_of(tmp_path, lists)  # type: ignore[arg-type]
    assert max(len(cell) for row in tables[0].rows for cell in row) < LONGEST_CELL + 60
    assert len(tables[0].rows) == 12


def test_a_hundred_thousand_leftovers_are_a_thousand_rows_and_a_file(tmp_path: Path) -> None:
    lines = [{"key": f"image/{'k' * 200}-{number}", "target_key": "t" * 200} for number in range(100_000)]
    lists = {
        f"objects-{name}": written(tmp_path, f"objects-{name}", lines) for name in ("conflict", "failed", "changed")
    }
    report = report_of(settings_in(tmp_path), "migrate", lists=lists, complete=False)
    tables = tables_of(tmp_path, report["lists"])
    text = render_page(report, tables, Drawn())
    assert len(text.encode()) < 3_000_000
    assert all(100 < len(table.rows) <= 1_000 for table in tables)
    assert "of 100,000; the file has all of them" in text
    assert "ab" * 32 in text


def test_a_list_whose_file_is_gone_or_broken_keeps_its_name_count_and_digest(tmp_path: Path) -> None:
    lists = {"objects-failed": written(tmp_path, "objects-failed", []), "rows-gone": {}}
    lists["rows-gone"] = lists["objects-failed"] | {"count": 3}
    (tmp_path / "lists" / "objects-failed.jsonl").write_text('{"key": "a"}\n{"key": \n7\n')
    tables = tables_of(tmp_path, lists)  # type: ignore[arg-type]
    assert [row[0] for row in tables[0].rows] == ["a", "", ""]
    assert tables[0].columns == ("key", "line")
    assert tables[1].rows == ()


def test_on_request_the_page_has_no_keys_and_rows(tmp_path: Path) -> None:
    lists = {"objects-failed": written(tmp_path, "objects-failed", [{"key": "image/secret-name.png"}])}
    report = report_of(settings_in(tmp_path, report_samples=0), "migrate", lists=lists)
    write_texts(tmp_path, report)
    text = (tmp_path / "report.html").read_text()
    assert "secret-name" not in text
    assert "Keys and rows are left out" in text


@pytest.mark.parametrize(
    ("verb", "counts", "seen_in_all"),
    [
        ("migrate", {"objects_copied": 5, "objects_failed": 1, "objects_present": 2, "objects_foreign": 3}, 11),
        ("migrate", {"objects_conflict": 5, "objects_to_overwrite": 5, "objects_copied": 5}, 5),
        ("plan", {"objects_not_reached": 7, "rows_not_reached": 2, "rows_done": 1}, 7),
        ("rollback", {"rows_restored": 4, "rows_changed_since": 1}, 5),
        ("retire", NO_RETIREMENT | {"objects_retired": 4, "objects_kept_locked": 1}, 5),
        ("verify", {"objects_verified": 9, "objects_compared": 9}, 9),
    ],
)
def test_the_flow_adds_up(tmp_path: Path, verb: str, counts: dict[str, int], seen_in_all: int) -> None:
    flow, *_ = flows(report_of(settings_in(tmp_path), verb, **counts))
    assert flow.count == seen_in_all
    laid_out = picture(flow)
    top, bottom = laid_out.source
    thick = sum(ribbon.thick for _, _, ribbons in laid_out.groups for ribbon in ribbons)
    assert bottom - top == pytest.approx(thick)
    assert all(ribbon.thick > 2 for _, _, ribbons in laid_out.groups for ribbon in ribbons), "one in millions is seen"


def test_without_any_count_there_is_no_picture(tmp_path: Path) -> None:
    assert flows(report_of(settings_in(tmp_path), "preflight")) == []


def test_a_run_of_a_few_seconds_has_no_charts_and_a_longer_one_has() -> None:
    assert charts_of([]) == []
    assert charts_of(points(2)) == []
    assert charts_of(points(5)) == []
    assert charts_of([*points(5), *({**point, "stage": "list objects"} for point in points(5))]) == []
    assert charts_of([*points(5), *({**point, "stage": "list objects"} for point in points(6))]) != []
    titles = [chart.title for chart in charts_of(points())]
    assert titles[0] == "Objects per second (copied)"
    assert "Time of a request (ms)" in titles
    first = charts_of(points())[0]
    assert first.says == "copied: 100 (median), 100 at most"


def test_charts_are_drawn_in_the_colours_of_the_page_and_have_their_words() -> None:
    drawn = draw(charts_of(points())[:1])
    assert drawn.problem is None
    ((chart, svg),) = drawn.charts
    assert svg.startswith("<svg")
    assert "var(--c1)" in svg
    assert "http" not in svg.replace("http://www.w3.org/", "")
    assert chart.says


@pytest.mark.parametrize("broken", ["no such spec", "a library that is not there", "a library that hangs"])
def test_charts_that_cannot_be_drawn_are_said_and_the_report_comes_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    charts = charts_of(points())[:1]
    timeout = 60.0
    if broken == "no such spec":
        charts = [Chart("a", "b", {"mark": 7})]
    else:
        script = tmp_path / "draw.py"
        script.write_text("import nothing_of_that_name" if "not there" in broken else "import time; time.sleep(60)")
        monkeypatch.setattr("rehome.report.charts.DRAW", script)
        timeout = 60.0 if "not there" in broken else 0.2
    drawn = draw(charts, timeout)
    assert drawn.charts == ()
    assert "the charts could not be drawn (" in str(drawn.problem)
    page = page_of(report_of(settings_in(tmp_path), "migrate"), drawn=drawn)
    assert "the charts could not be drawn" in page.text


def test_a_report_that_cannot_be_rendered_is_a_warning_and_the_facts_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> str:
        raise ZeroDivisionError

    report = report_of(settings_in(tmp_path), "migrate")
    document.write_report(tmp_path, report)
    monkeypatch.setattr(document, "_as_page", fails)
    (warning,) = write_texts(tmp_path, report)
    assert "report.html could not be written (ZeroDivisionError)" in warning
    assert "[RH-714]" in warning
    assert (tmp_path / "report.md").exists()
    assert (tmp_path / "report.json").exists()


def test_what_operators_asked_and_how_long_it_waited_is_in_the_page(tmp_path: Path) -> None:
    report = report_of(settings_in(tmp_path), "migrate")
    report["control"] = [{"at": "2026-11-29T10:00:00+00:00", "by": "<b>", "asked": "pause", "door": "file"}]  # type: ignore[typeddict-item]
    report["throttled_s"] = {"control": 12.0, "replica_lag": 3.5}
    text = page_of(report).text
    assert "What operators asked of it while it worked" in text
    assert "It waited for 12.0 s because operators paused it, 3.5 s by the throttle (replica lag)." in text


def test_the_report_of_an_earlier_version_is_read_too_and_a_broken_one_is_said(tmp_path: Path) -> None:
    report = report_of(settings_in(tmp_path), "migrate")
    document.write_report(tmp_path, report)
    kept = json.loads((tmp_path / "report.json").read_text())
    for name in ("timeline", "control", "throttled_s"):
        del kept[name]
    (tmp_path / "report.json").write_text(json.dumps(kept))
    assert write_texts(tmp_path, report_again(tmp_path, at_work=None)) == []
    for broken in ("{", "[]", json.dumps({"report_version": 99})):
        (tmp_path / "report.json").write_text(broken)
        with pytest.raises(RehomeError, match=r"cannot be read .*\[RH-712\]"):
            report_again(tmp_path, at_work=None)

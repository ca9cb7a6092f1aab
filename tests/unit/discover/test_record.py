"""A search goes on where it was only if it is for the same, and its result is that of its own settings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rehome.config.read import read_settings
from rehome.config.settings import Discover, Settings
from rehome.discover.columns import FoundColumn, FoundForm
from rehome.discover.evidence import Evidence
from rehome.discover.record import (
    FILE,
    UNFINISHED_FILE,
    Record,
    Unfinished,
    read_record,
    searched_for,
    write_record,
)
from rehome.discover.search import Position
from rehome.discover.standing import check_columns, refused_columns
from rehome.discover.words import card, text, to_paste
from rehome.errors import RehomeError

from tests.unit.config.test_settings import given

NAMES = FoundColumn("thumbs", "url", "text", "names", forms=(FoundForm("/key", "/key", 3, ("/image/a",)),), whole=True)
HTML = FoundColumn(
    "posts", "body", "text", "names", forms=(FoundForm(None, "in HTML", 3),), rows_read=10, rows_total=90
)
NONE = FoundColumn("posts", "title", "text", "none", rows_read=10, whole=True)
UNKNOWN = FoundColumn("secret", "", "", "not_searched", "this user may not use the schema")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(given(state_dir=str(tmp_path)))


def record(settings: Settings, *columns: FoundColumn, **changes: Any) -> Record:
    fields = {"began": "2026-11-29T10:00:00+00:00", "ended": "2026-11-29T10:00:09+00:00", "whole": False}
    known = {"searched_for": searched_for(settings), "place": settings.place, "listing": None, "columns": columns}
    return Record(**{**known, **fields, **changes})


def test_what_was_found_is_read_as_it_was_written(settings: Settings) -> None:
    written = record(settings, NAMES, HTML, NONE, UNKNOWN)
    write_record(settings.state_dir, written)
    assert read_record(settings) == written


def test_a_result_for_other_names_is_none_and_a_new_reference_changes_nothing(settings: Settings) -> None:
    write_record(settings.state_dir, record(settings, NAMES))
    assert read_record(replace(settings, source=replace(settings.source, prefix="other/"))) is None
    assert read_record(replace(settings, references=())) is not None


def test_a_damaged_record_lets_nothing_be_retired(settings: Settings) -> None:
    (settings.state_dir / FILE).write_text("{")
    with pytest.raises(RehomeError, match="cannot be read"):
        read_record(settings)
    assert "cannot be read" in str(refused_columns(settings)[0])
    assert check_columns(settings, deletes=True)[0].status != "pass"


def reached(settings: Settings) -> Unfinished:
    unfinished = Unfinished(settings)
    unfinished.done("posts", [NONE])
    unfinished.reached(Position("large", ["c"], (7,), 20, 0, {"c": Evidence()}))
    unfinished.write()
    return unfinished


def test_the_same_search_goes_on(settings: Settings) -> None:
    before, after = reached(settings), Unfinished(settings)
    assert (after.began, after.tables, after.position) == (before.began, {"posts": [NONE]}, before.position)


@pytest.mark.parametrize("other", [{"whole": True}, {"schemas": ("a*",)}], ids=["all rows", "other schemas"])
def test_another_search_begins_anew(settings: Settings, other: dict[str, Any]) -> None:
    reached(settings)
    assert Unfinished(replace(settings, discover=Discover(**other))).tables == {}


def test_one_that_a_later_search_has_overtaken_is_not_gone_on_with(settings: Settings) -> None:
    reached(settings)
    copy = (settings.state_dir / UNFINISHED_FILE).read_text()
    write_record(settings.state_dir, record(settings, NAMES, began="2999-01-01T00:00:00+00:00"))
    assert not (settings.state_dir / UNFINISHED_FILE).exists()
    (settings.state_dir / UNFINISHED_FILE).write_text(copy)
    assert Unfinished(settings).tables == {}


def test_preflight_says_what_was_found_and_what_is_unknown(settings: Settings) -> None:
    assert [check.status for check in check_columns(settings, deletes=False)] == ["info"]
    (warned,) = check_columns(settings, deletes=True)
    assert (warned.status, str(warned.code)) == ("warn", "RH-732")
    write_record(settings.state_dir, record(settings, NAMES, HTML, NONE, UNKNOWN))
    url, body = check_columns(settings, deletes=False)
    assert (url.subject, url.status, url.advice.count("form: /key")) == ("thumbs.url", "warn", 1)
    assert "about 27 rows" in body.found
    write_record(settings.state_dir, record(settings, NONE, UNKNOWN))
    (unknown,) = check_columns(settings, deletes=True)
    assert unknown.status == "info"
    assert "secret" in unknown.found
    write_record(settings.state_dir, record(settings, NONE))
    assert check_columns(settings, deletes=True)[0].status == "pass"


def test_retire_is_refused_with_every_column_in_one_message(settings: Settings) -> None:
    assert refused_columns(settings) == []
    write_record(settings.state_dir, record(settings, NAMES, HTML, NONE, UNKNOWN))
    (refused,) = refused_columns(settings)
    for words in ("thumbs.url (3 rows)", "posts.body (about 27 rows)", "rehome_acknowledged_columns", "[RH-731]"):
        assert words in str(refused)
    known = replace(settings, discover=Discover(acknowledged=frozenset({"thumbs.url", "posts.body"})))
    assert refused_columns(known) == []


def test_the_card_has_ten_lines_at_most_and_the_list_has_everything(settings: Settings) -> None:
    many = record(settings, *(replace(NAMES, column=f"c{number}") for number in range(30)), HTML, NONE, UNKNOWN)
    assert len(card(many, "discover.txt")) <= 10
    for column in many.columns:
        assert column.name in text(many)
    assert len(to_paste(many.columns)) == 31


def test_the_card_names_each_reason_why_columns_were_not_searched(settings: Settings) -> None:
    def unknown(*columns: FoundColumn) -> str:
        (line,) = (line for line in card(record(settings, NAMES, *columns), "x") if line.startswith("unknown"))
        return line

    view, other = replace(UNKNOWN, why="a view"), replace(UNKNOWN, table="more")
    assert unknown(UNKNOWN).endswith("1 column or table was not searched: this user may not use the schema")
    assert unknown(UNKNOWN, other).endswith(" 2 columns or tables were not searched: this user may not use the schema")
    assert unknown(view, UNKNOWN, other).endswith(" searched: 2 this user may not use the schema; 1 a view")
    many = [replace(UNKNOWN, why=f"reason {number}") for number in range(5)]
    assert unknown(*many).endswith("1 reason 0; 1 reason 1; 1 reason 2; others, which the list has")


def test_an_acknowledged_column_needs_a_table(tmp_path: Path) -> None:
    with pytest.raises(RehomeError, match=r"rehome_acknowledged_columns \(url\): names no column"):
        read_settings(given(state_dir=str(tmp_path), acknowledged_columns=["url"]))


def test_the_file_is_json_that_programs_read(settings: Settings) -> None:
    write_record(settings.state_dir, record(settings, NAMES))
    (column,) = json.loads((settings.state_dir / FILE).read_text())["columns"]
    assert (column["table"], column["rows"], column["estimated"]) == ("thumbs", 3, 3)

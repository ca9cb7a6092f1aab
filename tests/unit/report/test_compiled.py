"""The report's templates are compiled once, and whatever keeps Rehome from keeping the result does no harm."""

from __future__ import annotations

import sys
from pathlib import Path

import jinja2
import pytest
from rehome.report import compiled


class Counting(jinja2.Environment):
    """Counts what it compiles."""

    compilations = 0

    def _generate(self, *given: object, **more: object) -> str:
        Counting.compilations += 1
        return super()._generate(*given, **more)  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Python would keep its bytecode; it keeps some there already."""
    folder = tmp_path / "bytecode"
    folder.mkdir()
    monkeypatch.setattr(compiled, "_pythons_own", lambda: folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    Counting.compilations = 0
    return folder


def rendered(source: str) -> str:
    """What a process of its own would make of the template, which has this text by now."""
    loader = jinja2.DictLoader({"page": source})
    return Counting(loader=loader, bytecode_cache=compiled.compiled_templates()).get_template("page").render(n=1)


def test_a_template_is_compiled_once(home: Path) -> None:
    assert [rendered("{{ n }} object") for _ in range(3)] == ["1 object"] * 3
    assert Counting.compilations == 1
    assert len(list(home.iterdir())) == 1


def test_a_template_that_has_changed_is_compiled_again(home: Path) -> None:
    assert rendered("{{ n }} object") == "1 object"
    assert rendered("{{ n }} row") == "1 row"


def test_what_was_kept_and_is_damaged_is_compiled_again(home: Path) -> None:
    rendered("{{ n }} object")
    (kept,) = home.iterdir()
    kept.write_bytes(kept.read_bytes()[:10])
    assert rendered("{{ n }} object") == "1 object"


def test_nothing_is_kept_where_python_keeps_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert rendered("{{ n }} object") == "1 object"
    assert list(home.iterdir()) == []


def test_a_folder_in_which_nothing_can_be_written_does_no_harm(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jinja2.bccache.tempfile.NamedTemporaryFile", full)
    assert rendered("{{ n }} object") == "1 object"
    assert list(home.iterdir()) == []

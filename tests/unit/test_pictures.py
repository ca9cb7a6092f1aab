"""The pictures of the documentation: those that are named are there, and small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pyte.screens import Char

from pictures.drawing import as_svg, as_text

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

MOST_BYTES = 300_000


def named() -> list[tuple[Path, str, str]]:
    """Return the page, the text and the file of each picture that is named."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found += [(page, alt, file) for alt, file in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", text)]
        found += [(page, alt, file) for alt, file in re.findall(r'<img alt="([^"]*)" src="([^"]+)"', text)]
        pictures = re.findall(r'<source [^>]*srcset="([^"]+)">\s*<img alt="([^"]*)"', text)  # the same in the dark
        found += [(page, alt, file) for file, alt in pictures]
    return found


def test_every_picture_that_is_named_is_there_and_says_in_words_what_it_shows() -> None:
    pictures = named()
    assert pictures
    for page, alt, file in pictures:
        assert (page.parent / file).is_file(), f"{page.name}: {file}"
        assert len(alt) > 20, f"{page.name}: {file}"


def test_every_picture_is_named_somewhere() -> None:
    known = {(page.parent / file).resolve() for page, _, file in named()}
    assert set(PICTURES.iterdir()) <= known


def test_pictures_are_small_and_load_nothing_from_elsewhere() -> None:
    for path in PICTURES.iterdir():
        assert path.stat().st_size < MOST_BYTES, path.name
        if path.suffix == ".svg":
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
            assert not re.search(r"https?://\w+\.\w+\.\w+/.*\.woff|@font-face|<script|<image", text), path.name


def line(text: str, **style: str | bool) -> list[Char]:
    return [Char(character, **style) for character in text]


def test_a_picture_has_the_words_the_colours_and_the_same_ids_each_time() -> None:
    lines = [line("done  ", fg="green", bold=True), line("later", fg="ff8700"), line("odd", fg="no-such-colour")]
    drawn = as_svg(lines, "migrate", "done")
    assert drawn == as_svg(lines, "migrate", "done")
    assert "done" in drawn
    assert "#ff8700" in drawn
    assert "font-face" not in drawn


@pytest.mark.parametrize(
    ("name", "expected"), [("brown", "yellow"), ("brightblack", "bright_black"), ("default", None)]
)
def test_colours_keep_their_names(name: str, expected: str | None) -> None:
    (span,) = as_text(line("x", fg=name)).spans
    colour = span.style.color if not isinstance(span.style, str) else None
    assert (colour.name if colour else None) == expected

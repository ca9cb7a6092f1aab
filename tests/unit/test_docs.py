from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.settings_reference import PAGE, settings_page

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_settings_reference_is_what_the_specification_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_page(), "run make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_documentation_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        file, anchor = target
        there = page if not file else page.parent / file
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in _anchors(there), target


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_variable_that_the_documentation_names_is_one() -> None:
    known = set(re.findall(r"\brehome_\w+", PAGE.read_text(encoding="utf-8")))
    for page in PAGES:
        named = set(re.findall(r"\brehome_[a-z_]+", page.read_text(encoding="utf-8")))
        assert named - known - {"rehome_journal", "rehome_"} == set(), page.name

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


COMMAND = re.compile(r"(?:make|aws|ALTER|SHOW) |-e \w+=|(?:rehome_\w+|website): \S+$|.* \[RH-\d+\]$|rehome_restore: \{")
"""What the runbook quotes that is no message: commands, and settings with a value."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_documentation_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        file, anchor = target
        there = page if not file else page.parent / file
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors_of(there), target


def anchors_of(page: Path) -> list[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_every_variable_that_the_documentation_names_is_one() -> None:
    known = set(re.findall(r"\brehome_\w+", (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")))
    tables, prefixes = {"rehome_journal", "rehome_control"}, {"rehome_", "rehome_stage_requests_"}
    metrics = set(re.findall(r"\brehome_\w+", (ROOT / "module_utils/rehome/report/metrics.py").read_text()))
    metrics |= {"rehome_objects", "rehome_bytes", "rehome_rows"}
    for page in PAGES:
        named = set(re.findall(r"\brehome_[a-z_]+", page.read_text(encoding="utf-8")))
        assert named - known - tables - prefixes - metrics - {"rehome_artifacts"} == set(), page.name


def test_every_test_that_the_documentation_names_is_there() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"(tests/[\w/]+\.py)::(test_\w+)", text))
    assert named
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{name}"


def test_every_message_of_the_runbook_is_one_that_can_be_met() -> None:
    """`…` in a message stands for what differs from one case to the next."""
    known = "\n".join(_texts())
    trouble = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8").partition("## When it goes wrong")[2]
    quoted = [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", trouble)]
    messages = [text for text in quoted if " " in text and not COMMAND.match(text)]
    assert len(messages) > 200
    for message in messages:
        for piece in message.split("…"):
            assert piece.strip(" :()") in known, message


def _texts() -> Iterator[str]:
    """All texts in the code, and the roles as they are."""
    for folder in ("module_utils", "library", "plugin_utils", "action_plugins", "interview"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
    for path in (ROOT / "roles").rglob("*.yml"):
        yield " ".join(path.read_text(encoding="utf-8").split())

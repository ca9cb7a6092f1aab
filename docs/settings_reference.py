"""Write docs/settings.md from the one place that describes the variables: `python -m docs.settings_reference`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).parent
VARIABLES = DOCS.parent / "roles" / "rehome" / "meta" / "argument_specs.yml"
PAGE = DOCS / "settings.md"

HEAD = """# Settings

Every variable, made from `roles/rehome/meta/argument_specs.yml` by `make docs`; `ansible-doc -t role rehome` shows the
same. Set yours in `inventory/group_vars/<env>.yml`, or for one run with `-e`.

| variable | type | default | what it decides |
|---|---|---|---|
"""


def settings_page() -> str:
    """The page, as Markdown."""
    options = yaml.safe_load(VARIABLES.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
    return HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in _rows("", options))


def _rows(outer: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for name, facts in options.items():
        kind = f"list of {facts['elements']}" if "elements" in facts else facts["type"]
        default = facts.get("default")
        description = facts["description"]
        text = " ".join(description) if isinstance(description, list) else description
        if "choices" in facts:
            text += f" One of {', '.join(f'`{choice}`' for choice in facts['choices'])}."
        yield f"`{outer}{name}`", kind, "" if default is None else f"`{_shown(default)}`", _as_markdown(text)
        inner = f"{outer}{name}[]." if facts["type"] == "list" else f"{outer}{name}."
        yield from _rows(inner, facts.get("options", {}))


def _shown(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default).replace("|", "\\|")


def _as_markdown(text: str) -> str:
    """Ansible's markup: C(code), V(a value), O(an option), E(an environment variable)."""
    text = re.sub(r"\b[CVOE]\(([^()]*(?:\([^()]*\)[^()]*)*)\)", r"`\1`", text)
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")

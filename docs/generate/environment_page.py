"""The page docs/environment.md: every environment variable that a setting falls back to."""

from __future__ import annotations

from docs.generate.rendering import render_template
from docs.generate.settings import all_options, environment_names

PATH = "docs/environment.md"


def render() -> str:
    """Return the page, as Markdown."""
    rows = [(setting, names) for setting, option in all_options() if (names := environment_names(option))]
    return render_template("environment.md.j2", rows=rows)

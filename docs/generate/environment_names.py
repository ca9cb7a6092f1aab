"""The names of environment variables that settings fall back to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from docs.generate.rendering import render_python
from docs.generate.settings import Option, environment_name, read_settings

PATH = "module_utils/rehome/config/environment_names.py"


def render() -> str:
    """Return the module's text."""
    return render_python("environment_names.py.j2", names=dict(_names("", read_settings())))


def _names(outer: str, options: Mapping[str, Option]) -> Iterator[tuple[str, str]]:
    for name, option in options.items():
        if fallback := environment_name(option):
            yield f"{outer}{name}", fallback
        yield from _names(f"{outer}{name}.", option.get("options", {}))

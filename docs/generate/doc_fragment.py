"""The documentation of the modules' options, which their own documentation extends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from docs.generate.rendering import render_python
from docs.generate.settings import Option, module_options

PATH = "doc_fragments/rehome.py"

_COPIED = ("type", "elements", "choices", "required")


def render() -> str:
    """Return the plugin's text."""
    settings, grants = (_as_yaml(_documented(options)) for options in module_options())
    return render_python("doc_fragment.py.j2", settings=settings, grants=grants)


def _documented(options: Mapping[str, Option]) -> dict[str, Any]:
    """Return options as a module documents them: inner ones are called `suboptions`."""
    return {name: _option(option) for name, option in options.items()}


def _option(option: Option) -> dict[str, Any]:
    made = {"description": option["description"], **{key: option[key] for key in _COPIED if key in option}}
    default, inner = option.get("default"), option.get("options")
    if default is not None and default != {}:
        made["default"] = default
    if inner:
        made["suboptions"] = _documented(inner)
    return made


class _WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def _as_yaml(options: Mapping[str, Any]) -> str:
    return yaml.dump(options, Dumper=_WithoutAliases, sort_keys=False, allow_unicode=True, width=85)

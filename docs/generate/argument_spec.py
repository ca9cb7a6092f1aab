"""The modules' argument spec: Ansible's option checks, as plain Python data."""

from __future__ import annotations

from typing import Any

from docs.generate.rendering import render_python
from docs.generate.settings import Option, environment_name, module_options

PATH = "module_utils/rehome/ansible_module/argument_spec.py"

_COPIED = ("type", "elements", "choices", "required", "no_log")


class _EnvFallback:
    def __repr__(self) -> str:
        return "env_fallback"


def render() -> str:
    """Return the module's text."""
    settings, grants = ({name: _spec(option) for name, option in options.items()} for options in module_options())
    return render_python("argument_spec.py.j2", settings=settings, grants=grants)


def _spec(option: Option) -> dict[str, Any]:
    """Return the argument spec of one option, by Ansible's names."""
    spec = {key: option[key] for key in _COPIED if key in option}
    default, inner = option.get("default"), option.get("options")
    if inner:
        spec["options"] = {name: _spec(one) for name, one in inner.items()}
    if inner and default == {}:
        spec["apply_defaults"] = True
    elif default is not None and default != {}:
        spec["default"] = default
    if name := environment_name(option):
        spec["fallback"] = (_EnvFallback(), [name])
    return spec

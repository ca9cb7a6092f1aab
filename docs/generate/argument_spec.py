"""The modules' argument spec: Ansible's option checks, as plain Python data.

The environment's variables are not part of it. Ansible's `fallback` sees each option by itself, takes a variable that
is empty and none for an option that is null, and shows with -vvv what it took.
"""

from __future__ import annotations

import re
from typing import Any

from docs.generate.rendering import render_python
from docs.generate.settings import Option, module_options

PATH = "module_utils/rehome/ansible_module/argument_spec.py"

_COPIED = ("type", "elements", "choices", "required", "no_log")


def render() -> str:
    """Return the module's text."""
    settings, grants = ({name: _spec(option) for name, option in options.items()} for options in module_options())
    bucket = _take_shared("BUCKET", settings["source"]["options"], settings["target"]["options"])
    admin = _take_shared("ADMIN", grants["admin_source"]["options"], grants["admin_target"]["options"])
    return render_python(
        "argument_spec.py.j2", bucket=bucket, admin=admin, settings=_text(settings), grants=_text(grants)
    )


def _take_shared(name: str, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Remove from two groups of options those that are equal, leave the constant `name` there, and return them."""
    shared = {key: spec for key, spec in one.items() if other.get(key) == spec}
    for options in (one, other):
        for key in shared:
            del options[key]
        options["**"] = name
    return shared


def _text(options: dict[str, Any]) -> str:
    """Return the options as Python, with each constant of `_take_shared` unpacked."""
    return re.sub(r"'\*\*': '(\w+)'", r"**\1", str(options))


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
    return spec

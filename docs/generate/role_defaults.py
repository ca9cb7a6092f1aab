"""The defaults of the role `rehome`."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from docs.generate.rendering import render_template
from docs.generate.settings import read_sections, read_settings

PATH = "roles/rehome/defaults/main.yml"


def render() -> str:
    """Return the file's text."""
    defaults = {name: _as_yaml(option["default"]) for name, option in read_settings().items()}
    return render_template("role_defaults.yml.j2", sections=read_sections(), defaults=defaults)


def _as_yaml(value: Any) -> str:
    """Return a value in one line of YAML, with quotes only where they are needed."""
    is_plain = isinstance(value, str) and re.fullmatch(r"\w[\w.-]*", value) and yaml.safe_load(value) == value
    return value if is_plain else json.dumps(value, ensure_ascii=False)

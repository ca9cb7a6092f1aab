"""The names of environment variables that settings fall back to."""

from __future__ import annotations

from docs.generate.rendering import render_python
from docs.generate.settings import all_options, environment_names

PATH = "module_utils/rehome/config/environment_names.py"


def render() -> str:
    """Return the module's text."""
    with_names = [(setting, option) for setting, option in all_options() if environment_names(option)]
    return render_python(
        "environment_names.py.j2",
        names={setting: environment_names(option) for setting, option in with_names},
        secret=[setting for setting, option in with_names if option.get("no_log")],
    )

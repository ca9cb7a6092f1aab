"""The variables of the role `rehome`: what the modules take as their options, combined from the settings."""

from __future__ import annotations

from docs.generate.rendering import render_template
from docs.generate.settings import option_names

PATH = "roles/rehome/vars/main.yml"

_WITH_CREDENTIALS = ("source", "target", "database")
"""Settings whose credentials those of `rehome_credentials` replace."""


def render() -> str:
    """Return the file's text."""
    settings, grants = option_names()
    return render_template("role_vars.yml.j2", settings=settings, grants=grants, with_credentials=_WITH_CREDENTIALS)

"""The list of generated files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from docs.generate import (
    argument_spec,
    doc_fragment,
    environment_names,
    environment_page,
    report_page,
    role_defaults,
    role_vars,
    settings_page,
    summary_page,
)
from docs.generate.settings import ROOT

RENDERERS = (
    argument_spec,
    environment_names,
    report_page,
    doc_fragment,
    role_defaults,
    role_vars,
    settings_page,
    environment_page,
    summary_page,
)


def generated_files() -> Mapping[Path, str]:
    """Return the path of each generated file, and its text."""
    return {ROOT / renderer.PATH: renderer.render() for renderer in RENDERERS}

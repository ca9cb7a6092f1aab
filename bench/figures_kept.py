"""The figures of the last whole run of `make bench`: what docs/scale.md is worked out from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from .figures import Figure
from .scale_results import RESULTS

FILE = RESULTS / "figures.json"


@dataclass(frozen=True, slots=True)
class Kept:
    """The figures, and when and where they were measured, in words."""

    said: str = "No whole run of `make bench` has been kept yet."
    figures: Mapping[Figure, float] = field(default_factory=dict)


def keep_figures(figures: Mapping[Figure, float], machine: str, versions: Mapping[str, str], path: Path = FILE) -> None:
    """Write the figures of a whole run, in place of those of the one before."""
    began = datetime.now(UTC).date().isoformat()
    named = {figure.name: figures[figure] for figure in Figure if figure in figures}
    facts = {"began": began, "machine": machine, "versions": dict(versions), "figures": named}
    path.write_text(json.dumps(facts, indent=1) + "\n")


def read_figures(path: Path = FILE) -> Kept:
    """Return what is kept. Figures that are no longer measured are left out."""
    if not path.exists():
        return Kept()
    facts = json.loads(path.read_text())
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    figures = {Figure[name]: value for name, value in facts["figures"].items() if name in Figure.__members__}
    return Kept(
        f"The figures are of one run of `make bench` ({facts['began']}; {facts['machine']}. {versions}).", figures
    )

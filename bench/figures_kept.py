"""What is kept of `make bench` for docs/scale.md: the figures of each suite, and the cluster's section."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .figures import Figure
from .scale_results import RESULTS
from .section import Section, read_json, write_json

FIGURES = "figures.json"
CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Kept:
    """The figures, when and where they were measured, in words, and what the suite of the cluster found."""

    said: str = "No figure of `make bench` has been kept yet."
    figures: Mapping[Figure, float] = field(default_factory=dict)
    cluster: Section | None = None


def keep_figures(found: Mapping[str, Section], machine: str, folder: Path = RESULTS) -> None:
    """Keep what suites have found, in place of what each found before."""
    kept = _read(folder)
    for suite, section in found.items():
        if suite == CLUSTER:
            write_json(section, folder / f"{CLUSTER}.json")
        if section.figures:
            kept[suite] = {
                "began": datetime.now(UTC).date().isoformat(),
                "machine": machine,
                "versions": section.versions,
                "figures": {figure.name: value for figure, value in section.figures.items()},
            }
    (folder / FIGURES).write_text(json.dumps(kept, indent=1) + "\n")


def read_figures(folder: Path = RESULTS) -> Kept:
    """Return what is kept. Figures that are no longer measured are left out."""
    kept = _read(folder)
    if not kept:
        return Kept()
    suites: dict[str, list[str]] = {}
    figures: dict[Figure, float] = {}
    for suite, facts in kept.items():
        versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
        suites.setdefault(f"{facts['began']}; {facts['machine']}. {versions}", []).append(f"`{suite}`")
        known = {name: value for name, value in facts["figures"].items() if name in Figure.__members__}
        figures |= {Figure[name]: value for name, value in known.items()}
    said = "\n".join(f"- {', '.join(names)}: {when}." for when, names in suites.items())
    path = folder / f"{CLUSTER}.json"
    section = read_json(path) if path.exists() else None
    return Kept(f"The figures are those of these suites of `make bench`:\n\n{said}", figures, section)


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / FIGURES
    kept: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return kept

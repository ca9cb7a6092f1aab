"""Where people find what a run leaves: its folder, or under `rehome_state_uri` if that outlives the folder."""

from __future__ import annotations

from pathlib import Path

from ..config.settings import Settings

RUNS = "runs"
"""The folder under `rehome_state_uri` that has a folder for each run, named after its start."""
REPORTS = ("summary.json", "preflight.json", "report.json", "report.md", "report.html", "lists/*.jsonl")
"""What a run leaves for people, and is uploaded into its folder there."""


def run_folder(settings: Settings, began: str) -> str:
    """Return the place of the reports of the run that began then, with a slash at its end."""
    if settings.state_uri is None:
        return f"{settings.state_dir}/"
    return f"{settings.state_uri}{run_prefix(began)}"


def run_prefix(began: str) -> str:
    """Return what the names of a run's reports begin with under `rehome_state_uri`."""
    return f"{RUNS}/{began}/"


def place_of(folder: str, state_dir: Path, path: Path) -> str:
    """Return where people find a file of the state folder: in the run's `folder` if it is one of `REPORTS`."""
    name = path.relative_to(state_dir)
    return f"{folder}{name}" if any(name.match(pattern) for pattern in REPORTS) else str(path)

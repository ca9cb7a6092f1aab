"""What is kept of each measurement of big catalogs: one JSON file each, of which the page is made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from .cost import ROOT

RESULTS = ROOT / "bench" / "results"

Kind = Literal["plan", "copy"]


@dataclass(frozen=True, slots=True)
class Step:
    """One process's work. peak_bytes: its largest resident size."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(slots=True)
class Result:
    """One measurement, as far as it has come.

    steps: by name, in their order
    catalog_bytes: the size of the catalog's file after the last step
    complete: whether it came to its end
    began: the day, ISO 8601
    busy: the share of the machine that others used in the second before it began, in percent
    note: what else has to be said of it
    """

    kind: Kind
    objects: int
    rows: int
    machine: str
    versions: dict[str, str]
    began: str
    busy: float
    steps: dict[str, Step] = field(default_factory=dict)
    catalog_bytes: int = 0
    complete: bool = False
    note: str = ""

    @property
    def command(self) -> str:
        """The command that measured it."""
        every = self.objects // self.rows if self.rows else 1
        return f"python -m bench.scale {self.kind} {self.objects}" + f" --every {every}" * (every > 1)

    @property
    def cpu_s(self) -> float:
        """The CPU seconds of all steps."""
        return sum(step.cpu_s for step in self.steps.values())

    @property
    def peak_bytes(self) -> int:
        """The largest resident size of any of its processes."""
        return max((step.peak_bytes for step in self.steps.values()), default=0)


def keep(result: Result, folder: Path) -> None:
    """Write the result, in place of an earlier one of the same sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = f"-{result.rows}" if result.kind == "plan" else ""
    path = folder / f"scale-{result.kind}-{result.objects}{rows}.json"
    path.write_text(json.dumps(asdict(result), indent=1) + "\n")


def read_all(folder: Path) -> Sequence[Result]:
    """Return all results that are kept, the largest last."""
    found = [_read(path) for path in folder.glob("scale-*.json")]
    return sorted(found, key=lambda one: (one.kind != "plan", one.objects, one.rows))


def _read(path: Path) -> Result:
    facts = json.loads(path.read_text())
    return Result(**facts | {"steps": {name: Step(**step) for name, step in facts["steps"].items()}})

"""The metrics of a run, as the textfile collector of Prometheus' node exporter reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ..progress import FINISHED
from .fields import RunCounts, SummaryFields, counts_in

LAST_SUCCESS: Final = "rehome_last_success_timestamp_seconds"
STATES: Final = ("running", "complete", "incomplete", "failed")

_COUNTED: Final = ("objects", "bytes", "rows", "copies")
_REQUESTS: Final = {
    "in_flight": "S3 requests in flight",
    "limit": "S3 requests that may be in flight, as the service takes them",
    "sent": "S3 requests of the stage",
    "retries": "S3 requests of the stage that were sent again",
    "throttled": "S3 requests of the stage that the service has throttled",
    "failed": "S3 requests of the stage that have failed",
}


def state_of(progress: Mapping[str, Any], summary: SummaryFields, *, failed: bool) -> str:
    """Return in which of `STATES` a run is."""
    if failed:
        return "failed"
    if progress.get("stage") != FINISHED:
        return "running"
    return "complete" if summary.get("complete") or summary.get("dry_run") else "incomplete"


def render(
    labels: Mapping[str, str],
    progress: Mapping[str, Any],
    summary: SummaryFields,
    *,
    state: str,
    now: float,
    last_success: float | None,
) -> bytes:
    """Return the metrics in Prometheus' text format.

    labels: `migration` and `env`, which every metric has, then those that only `rehome_run_info` has
    progress: what `progress.json` says; absent fields are unknown, and left out
    now: seconds since the epoch, as is `last_success`, the time of the last run that ended complete
    """
    page = _Page({name: labels[name] for name in ("migration", "env")})
    page.add("rehome_run_info", "The run", 1, **{name: text for name, text in labels.items() if name not in page.own})
    for name in STATES:
        page.add("rehome_run_state", "1 for the state that the run is in", int(name == state), state=name)
    page.add("rehome_run_updated_timestamp_seconds", "When this was written", now)
    if last_success is not None:
        page.add(LAST_SUCCESS, "When the last run ended that left nothing to do", last_success)
    _add_stage(page, progress, now)
    counts = counts_in(summary)
    for name in RunCounts.__annotations__:
        noun, _, what = name.partition("_")
        if noun in _COUNTED and name in counts:
            page.add(f"rehome_{noun}", f"The run's {noun}, by the counts of summary.json", counts[name], count=what)
    for reason, seconds in summary.get("throttled_s", {}).items():
        page.add("rehome_hold_seconds", "Seconds that finished stages were held", seconds, reason=reason)
    return page.text()


def last_success_in(text: str) -> float | None:
    """Return the time of the last success that the metrics of an earlier run have; None if there is none."""
    try:
        families = list(text_string_to_metric_families(text))
    except ValueError:
        return None
    found = [sample.value for family in families if family.name == LAST_SUCCESS for sample in family.samples]
    return found[0] if found else None


def _add_stage(page: _Page, progress: Mapping[str, Any], now: float) -> None:
    stage = progress.get("stage")
    if stage is None:
        return
    page.add("rehome_stage_info", "The stage that the run is in", 1, stage=str(stage))
    sizes = {
        "rehome_stage_done": ("Steps of the stage that are done", "done"),
        "rehome_stage_total": ("Steps of the stage in all", "total"),
        "rehome_stage_bytes_done": ("Bytes of the stage that are done", "bytes_done"),
        "rehome_stage_bytes_total": ("Bytes of the stage in all", "bytes_total"),
        "rehome_stage_began_timestamp_seconds": ("When the stage began", "began"),
    }
    for name, (what, key) in sizes.items():
        if progress.get(key) is not None:
            page.add(name, what, progress[key], stage=str(stage))
    for key, what in _REQUESTS.items():
        requests = progress.get("requests") or {}
        if requests.get(key) is not None:
            page.add(f"rehome_stage_requests_{key}", what, requests[key], stage=str(stage))
    waiting = progress.get("waiting")
    held_s = now - float(waiting["since"]) if waiting else 0.0
    page.add("rehome_stage_held_seconds", "How long the stage has been waiting now; 0: it works", max(0.0, held_s))
    control = progress.get("control") or {}
    page.add("rehome_run_paused", "Whether an operator has paused the run", int(bool(control.get("paused"))))


class _Page:
    """Metrics that share labels.

    own: those labels
    """

    def __init__(self, own: Mapping[str, str]) -> None:
        self.own = own
        self._registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}

    def add(self, name: str, what: str, value: float, **labels: str) -> None:
        """Add a sample."""
        gauge = self._gauges.get(name)
        if gauge is None:
            gauge = self._gauges[name] = Gauge(name, what, [*self.own, *labels], registry=self._registry)
        gauge.labels(**self.own, **labels).set(value)

    def text(self) -> bytes:
        """Return the page."""
        return generate_latest(self._registry)

"""What a worker says of itself is told with its name and a code, and what is reported at the end of a run is taken."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from distributed import WorkerPlugin
from rehome.config.cluster import Cluster
from rehome.errors import RehomeError
from rehome.fleet import dispatch
from rehome.fleet.dispatch import Dispatch, Throttle, failed_at


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no credentials were found. [RH-204]", r"worker mover-1: no credentials were found\. Mend .*\. \[RH-204\]"),
        ("an error that nobody expected", r"worker mover-1: an error that nobody expected\. Mend .*\. \[RH-599\]"),
    ],
)
def test_an_error_of_a_worker_has_its_own_code_or_that_of_what_nobody_expects(text: str, told: str) -> None:
    assert re.fullmatch(told, str(failed_at("mover-1", text)))


class Crew:
    """Two shards at a time, and nobody who is told a pace."""

    plugin = "plugin"
    window = 2

    async def look(self) -> None:
        pass


class Asking:
    """Shards whose reports are there: of the second, one thing is asked that nobody answers any more."""

    plugin = WorkerPlugin()

    def __init__(self) -> None:
        self.taken = list[tuple[int, str]]()

    async def begin(self, _client: Any) -> str:
        return "plugin"

    async def send(self, _client: Any, _plugin: str, parcel: int) -> str:
        try:
            await asyncio.sleep(3600 if parcel == 2 else 0)
        except asyncio.CancelledError:
            return "all but one thing"
        return "all"

    def arrived(self, parcel: int, arrival: str) -> RehomeError | None:
        self.taken.append((parcel, arrival))
        return None

    def words(self, _parcel: int) -> str:
        return "shard"


def test_a_report_whose_last_question_is_not_answered_before_the_end_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "PATIENCE_S", 0.0)
    work = Asking()
    cluster = Cluster("tls://10.0.0.5:8786", Path("ca"), Path("cert"), Path("key"), workers=1, wait_s=1)
    made = Dispatch(cluster, Throttle(1, None), lambda _: None, stopping=lambda: bool(work.taken))
    crew: Any = Crew()
    asyncio.run(made._do(None, crew, work, iter([1, 2, 3])))
    assert work.taken == [(1, "all"), (2, "all but one thing")]

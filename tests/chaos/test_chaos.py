"""Check the promises under random faults: whole playbooks against live sandboxes.

    make chaos                          hundreds of scenarios, from a seed that it prints
    make chaos SEED=7 SCENARIOS=20      20 scenarios of this seed
    make chaos SCENARIO='{...}'         one scenario, as a failure prints it

The scenario fixes which fault comes at which request, but not which of two processes is faster: it may take several
tries to reproduce a failure.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import threading
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from sandbox.lifecycle import Servers
from tests.chaos.movers import Movers
from tests.chaos.scenario import KILLS, Database, Scenario, draw
from tests.chaos.story import BrokenPromiseError, Story
from tests.e2e.conftest import ROOT, World

SHORT = 10
SCENARIO = os.environ.get("CHAOS_SCENARIO")
SCENARIOS = int(os.environ.get("CHAOS_SCENARIOS") or SHORT)
SEED = int(os.environ.get("CHAOS_SEED") or random.randrange(2**32))
FULL = SCENARIOS > SHORT
DATABASES: tuple[Database, ...] = ("mariadb", "sqlite", "postgresql") if FULL else ("mariadb", "sqlite")
PATIENCE_S = 90


def scenarios() -> list[Scenario]:
    if SCENARIO:
        return [Scenario.from_json(SCENARIO)]
    drawn = []
    for number, database in enumerate(DATABASES):
        count = (SCENARIOS + number) // len(DATABASES)
        drawn += draw(count, SEED * len(DATABASES) + number, database, most_steps=3 if FULL else 1)
    return drawn


class Lane:
    """A world with one database, in which the scenarios for it are played one after the other."""

    def __init__(self, database: Database, stories: list[Scenario], folder: Path) -> None:
        shutil.copytree(ROOT / "inventory", folder / "inventory")
        self._world = World(folder, database, Servers())
        self._stories = stories
        self._movers: Movers | None = None
        self.failures: list[str] = []
        self.injected: Counter[str] = Counter()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.acts = self.done = 0
        self.over = threading.Event()

    def play(self) -> None:
        try:
            for scenario in self._stories:
                if self.over.is_set():
                    return
                self._play(scenario)
        finally:
            if self._movers is not None:
                self._movers.stop()
            self._world.sandbox.down()

    def _play(self, scenario: Scenario) -> None:
        began = time.monotonic()
        again = f"Again: make chaos SCENARIO='{scenario.to_json()}'"
        found, summary = "", "nothing"
        try:
            # an earlier scenario may have failed while a server was down
            self._world.sandbox.up(self._world.db)
            if self._movers is None:
                self._movers = Movers(self._world.folder / "movers", self._world.record["s3"]["users"]["migrate"])
            story = Story(self._world, scenario, self._movers)
            try:
                story.play()
            finally:
                self._count(story)
                summary = ", ".join(f"{count} {name}" for name, count in sorted(story.injected.items())) or summary
        except BrokenPromiseError as broken:
            found = f"{broken}\n{again}"
        except Exception:
            # probably an error in the test code: the other scenarios go on
            found = f"{traceback.format_exc()}\n{again}"
        if found:
            self.failures.append(found)
        self.done += 1
        took = time.monotonic() - began
        report(f"  {self._world.db} {self.done}/{len(self._stories)}  {took:.1f} s  {summary}  {found}")

    def _count(self, story: Story) -> None:
        self.acts += story.acts()
        self.injected += story.injected
        self.outcomes += story.outcomes

    def figures(self) -> str:
        """Return how many scenarios were played, and how their runs with faults ended."""
        ends = ", ".join(f"{verb} {end} {count}" for (verb, end), count in sorted(self.outcomes.items()))
        kills = sum(count for name, count in self.injected.items() if name in KILLS and name.startswith("kill"))
        interrupts = self.injected["interrupt the run"]
        return (
            f"  {self._world.db}: {self.done} scenarios, {len(self.failures)} failed; {kills} kills of a run's "
            f"processes, {interrupts} interrupts; runs with faults: {ends}"
        )


def report(line: str) -> None:
    """Print a line of progress immediately."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@pytest.mark.timeout(60 + PATIENCE_S * SCENARIOS)
def test_the_promises_hold_whatever_breaks(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = scenarios()
    began = time.monotonic()
    lanes = [
        Lane(database, stories, tmp_path_factory.mktemp(database))
        for database in ("mariadb", "sqlite", "postgresql")
        if (stories := [scenario for scenario in drawn if scenario.database == database])
    ]
    with capsys.disabled(), ThreadPoolExecutor(len(lanes)) as threads:
        report(f"\nchaos: {len(drawn)} scenarios, SEED={SEED}")
        try:
            # each lane is played to its end, also if another cannot go on
            played = [threads.submit(lane.play) for lane in lanes]
            wait(played)
            for one in played:
                one.result()
        finally:
            # on an interrupt each lane finishes its scenario and stops its servers
            for lane in lanes:
                lane.over.set()
        injected: Counter[str] = sum((lane.injected for lane in lanes), Counter())
        failures = [failure for lane in lanes for failure in lane.failures]
        acts = sum(lane.acts for lane in lanes)
        summary = ", ".join(f"{count} {name}" for name, count in injected.most_common())
        for lane in lanes:
            report(lane.figures())
        report(f"chaos: {len(drawn)} scenarios in {time.monotonic() - began:.0f} s, {len(failures)} failures")
        report(f"chaos: {acts} acts of the application, {injected.total()} faults injected: {summary}")
    assert not failures, "\n\n".join(failures)
    assert SCENARIO or injected.total() >= len(drawn) / 2, "so few faults were injected that it proves little"

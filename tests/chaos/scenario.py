"""What may happen in a scenario, drawn by hypothesis: the same seed draws the same scenarios."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import hypothesis
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.chaos.doors import LINE_TROUBLES, TROUBLES, Fault

Database = Literal["mariadb", "sqlite", "postgresql"]
Verb = Literal["migrate", "check", "rollback"]
Second = Literal["same state", "other state"]

KILLS = ("kill the module", "kill the worker", "kill the playbook", "kill the run", "interrupt the run")
RESTARTS = ("restart the store", "kill the store")
DATABASE_RESTARTS = ("restart the database", "kill the database")


@dataclass(frozen=True)
class Step:
    """One run of a playbook, and what befalls it.

    switch: the application's new release takes over when it begins
    full_at: the disk is full once a file has so many bytes
    second: whose state folder a second run uses, where one is started at the same time
    """

    verb: Verb
    faults: tuple[Fault, ...]
    switch: bool = False
    full_at: int | None = None
    second: Second = "same state"


@dataclass(frozen=True)
class Scenario:
    """A small world and its story.

    dice: the application's
    objects: how many there are at first
    pace_s: how long the application rests between two acts, about
    skip: the target has objects of somebody else's, and conflicts are skipped
    overwrites: the application overwrites objects in place
    slow: copies are made by the dozen a second, and every row takes the database a millisecond more
    cold: each module starts its own interpreter, as an operator's does
    undo: the rollback at the end, before the one that nothing befalls
    """

    database: Database
    dice: int
    objects: int
    pace_s: float
    skip: bool
    overwrites: bool
    method: Literal["auto", "stream"]
    slow: bool
    cold: bool
    steps: tuple[Step, ...]
    undo: Step | None

    def to_json(self) -> str:
        """One line, from which `from_json` makes the same scenario."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Scenario:
        facts = json.loads(text)
        undo = facts.pop("undo")
        steps = tuple(map(_step, facts.pop("steps")))
        return cls(**facts, steps=steps, undo=_step(undo) if undo else None)


def _step(facts: dict[str, Any]) -> Step:
    return Step(**{**facts, "faults": tuple(Fault(**fault) for fault in facts["faults"])})


def draw(count: int, seed: int, database: Database, most_steps: int) -> list[Scenario]:
    """So many scenarios for a world with this database, each by a seed of its own.

    Of one seed's many, hypothesis makes most by changing a little of those before, which suits a search for the
    smallest failure: of 67 scenarios, fewer than 30 would differ in the faults of their first step.
    """
    strategy = scenarios(database, most_steps)
    return [_one(strategy, seed * 1_000 + number) for number in range(count)]


def _one(strategy: st.SearchStrategy[Scenario], seed: int) -> Scenario:
    drawn: list[Scenario] = []

    # the first example is always the plainest
    @hypothesis.seed(seed)
    @settings(max_examples=2, database=None, deadline=None, phases=[Phase.generate])
    @given(strategy)
    def keep(scenario: Scenario) -> None:
        drawn.append(scenario)

    keep()
    return drawn[-1]


def scenarios(database: Database, most_steps: int) -> st.SearchStrategy[Scenario]:
    """Scenarios in a world with this database."""
    return st.tuples(st.booleans(), st.booleans()).flatmap(
        lambda kind: st.builds(
            Scenario,
            database=st.just(database),
            dice=st.integers(0, 2**32),
            objects=st.integers(15, 45),
            pace_s=st.sampled_from([0.02, 0.05, 0.15]),
            skip=st.just(kind[0]),
            overwrites=st.just(kind[1]),
            method=st.sampled_from(["auto", "auto", "stream"]),
            slow=st.booleans(),
            cold=st.integers(0, 9).map(lambda one: one == 9),
            steps=_story(database, most_steps, skip=kind[0], overwrites=kind[1]),
            undo=st.none() | _undoing(database),
        )
    )


def _story(database: Database, most_steps: int, *, skip: bool, overwrites: bool) -> st.SearchStrategy[tuple[Step, ...]]:
    """A migration, and what comes after it; where that is nothing, a dry run now and then."""

    def steps(verbs: list[Verb]) -> st.SearchStrategy[Step]:
        return st.sampled_from(verbs).flatmap(lambda verb: _step_of(database, verb, skip=skip, overwrites=overwrites))

    if most_steps == 1:
        more = st.one_of(*[st.just([])] * 4, steps(["check"]).map(lambda step: [step]))
    else:
        more = st.lists(steps(["migrate", "migrate", "migrate", "check", "rollback"]), max_size=most_steps - 1)
    return st.tuples(steps(["migrate"]), more).map(lambda both: (both[0], *both[1]))


def _step_of(database: Database, verb: Verb, *, skip: bool, overwrites: bool) -> st.SearchStrategy[Step]:
    # what is overwritten after it was copied is known as our own copy by the state folder that has it
    seconds: list[Second] = ["same state"] if overwrites else ["same state", "other state"]
    return st.builds(
        Step,
        verb=st.just(verb),
        faults=st.lists(_faults(database, verb), min_size=2, max_size=5, unique_by=_place).map(tuple),
        # the new release overwrites in the target, which is a conflict
        switch=st.booleans() if skip else st.just(False),
        full_at=st.sampled_from([None] * 7 + [0, 20_000, 300_000]),
        second=st.sampled_from(seconds),
    )


def _undoing(database: Database) -> st.SearchStrategy[Step]:
    return st.lists(_faults(database, "rollback"), min_size=1, max_size=3, unique_by=_place).map(
        lambda faults: Step("rollback", tuple(faults))
    )


def _place(fault: Fault) -> tuple[str, int]:
    return fault.kind, fault.nth


def _faults(database: Database, verb: Verb) -> st.SearchStrategy[Fault]:
    blows = [*KILLS, *KILLS, *RESTARTS, "start a second run"]
    if database != "sqlite":
        blows += DATABASE_RESTARTS
    if verb != "check":
        # at its new start it does its last act again, and a dry run is held against what was there before
        blows.append("kill the application")
    stages = ("restore",) if verb == "rollback" else ("copy", "rewrite")
    places = [
        _at("copy", st.integers(1, 40), TROUBLES, blows),
        _at("list", st.integers(1, 16), TROUBLES, blows),
        _at("read", st.integers(1, 20), TROUBLES, blows),
        _at("write", st.integers(1, 50), TROUBLES, blows),
        # by the clock, in milliseconds: after a stage has begun, or after all has
        *(_at(f"during {stage}", st.integers(0, 60), (), blows) for stage in (*stages, *stages)),
        _at("from the start", st.integers(0, 6_000), (), blows),
    ]
    if database != "sqlite":
        places += [
            _at("COMMIT", st.integers(1, 8), LINE_TROUBLES, blows),
            _at("UPDATE", st.integers(1, 12), LINE_TROUBLES, blows),
            _at("INSERT", st.integers(1, 3), LINE_TROUBLES, blows),
            _at("SELECT", st.integers(1, 60), LINE_TROUBLES, blows),
        ]
    return st.one_of(*places)


def _at(
    kind: str, nth: st.SearchStrategy[int], troubles: tuple[str, ...], blows: list[str]
) -> st.SearchStrategy[Fault]:
    return st.builds(Fault, st.just(kind), nth, st.sampled_from([*troubles, *troubles, *blows]), st.booleans())

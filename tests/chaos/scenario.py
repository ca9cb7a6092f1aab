"""Draw random scenarios with hypothesis. The same seed draws the same scenarios."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import hypothesis
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.chaos.movers import MOVER_FAULTS
from tests.chaos.proxies import LINE_TROUBLES, TROUBLES, Fault

Database = Literal["mariadb", "sqlite", "postgresql"]
Verb = Literal["migrate", "check", "rollback"]
Second = Literal["same state", "other state"]

KILLS = ("kill the module", "kill the worker", "kill the playbook", "kill the run", "interrupt the run")
RESTARTS = ("restart the store", "kill the store")
DATABASE_RESTARTS = ("restart the database", "kill the database")


@dataclass(frozen=True)
class Step:
    """One run of a playbook, and the faults to inject.

    switch: the application's new release is deployed before the run begins
    full_at: the disk is full once a file has this number of bytes
    second: which state folder a second, concurrent run uses if a fault starts one
    """

    verb: Verb
    faults: tuple[Fault, ...]
    switch: bool = False
    full_at: int | None = None
    second: Second = "same state"


class _Kind(NamedTuple):
    """What decides which steps a scenario can have; as its fields."""

    skip: bool
    overwrites: bool
    cluster: bool


@dataclass(frozen=True)
class Scenario:
    """The initial data, the settings, and the steps of one story.

    dice: seed of the application's random choices
    objects: number of objects at the beginning
    pace_s: mean pause of the application between two acts
    skip: the target holds foreign objects, and conflicts are skipped
    overwrites: the application overwrites objects in place
    slow: copies are limited to some 15 a second, and every rewritten row takes the database a millisecond more
    cold: each module starts its own interpreter, as for an operator
    cluster: two movers copy
    undo: a rollback with faults, before the final rollback without any
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
    cluster: bool
    steps: tuple[Step, ...]
    undo: Step | None

    def to_json(self) -> str:
        """Return one line from which `from_json` makes the same scenario."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Scenario:
        fields = json.loads(text)
        undo = fields.pop("undo")
        steps = tuple(map(_step, fields.pop("steps")))
        return cls(**fields, steps=steps, undo=_step(undo) if undo else None)


def _step(fields: dict[str, Any]) -> Step:
    return Step(**{**fields, "faults": tuple(Fault(**fault) for fault in fields["faults"])})


def draw(count: int, seed: int, database: Database, most_steps: int) -> list[Scenario]:
    """Return `count` scenarios for a world with this database, each drawn with its own seed.

    From a single seed hypothesis makes most examples by small changes to earlier ones: of 67 scenarios, fewer than 30
    would differ in the faults of their first step.
    """
    strategy = scenarios(database, most_steps)
    return [_one(strategy, seed * 1_000 + number) for number in range(count)]


def _one(strategy: st.SearchStrategy[Scenario], seed: int) -> Scenario:
    drawn: list[Scenario] = []

    # the first example is always the simplest one
    @hypothesis.seed(seed)
    @settings(max_examples=2, database=None, deadline=None, phases=[Phase.generate])
    @given(strategy)
    def keep(scenario: Scenario) -> None:
        drawn.append(scenario)

    keep()
    return drawn[-1]


def scenarios(database: Database, most_steps: int) -> st.SearchStrategy[Scenario]:
    """Return a strategy for scenarios in a world with this database."""
    return st.builds(_Kind, st.booleans(), st.booleans(), st.integers(0, 3).map(lambda one: one == 3)).flatmap(
        lambda kind: st.builds(
            Scenario,
            database=st.just(database),
            dice=st.integers(0, 2**32),
            objects=st.integers(15, 45),
            # to connect to a cluster takes a run seconds, in which a fast application would move everything itself
            pace_s=st.sampled_from([0.3, 0.6, 1.2] if kind.cluster else [0.02, 0.05, 0.15]),
            skip=st.just(kind.skip),
            overwrites=st.just(kind.overwrites),
            method=st.sampled_from(["auto", "auto", "stream"]),
            slow=st.booleans(),
            cold=st.integers(0, 9).map(lambda one: one == 9),
            cluster=st.just(kind.cluster),
            steps=_story(database, most_steps, kind),
            undo=st.none() | _undoing(database),
        )
    )


def _story(database: Database, most_steps: int, kind: _Kind) -> st.SearchStrategy[tuple[Step, ...]]:
    """Return a strategy for a migration and the steps after it; with most_steps 1, a dry run follows now and then."""

    def steps(verbs: list[Verb]) -> st.SearchStrategy[Step]:
        return st.sampled_from(verbs).flatmap(lambda verb: _step_of(database, verb, kind))

    if most_steps == 1:
        more = st.one_of(*[st.just([])] * 4, steps(["check"]).map(lambda step: [step]))
    else:
        more = st.lists(steps(["migrate", "migrate", "migrate", "check", "rollback"]), max_size=most_steps - 1)
    return st.tuples(steps(["migrate"]), more).map(lambda both: (both[0], *both[1]))


def _step_of(database: Database, verb: Verb, kind: _Kind) -> st.SearchStrategy[Step]:
    # only the state folder of the run that copied an object can tell that a later overwrite replaces our own copy
    seconds: list[Second] = ["same state"] if kind.overwrites else ["same state", "other state"]
    return st.builds(
        Step,
        verb=st.just(verb),
        faults=_several(database, verb, kind),
        # the new release overwrites objects in the target, which is a conflict
        switch=st.booleans() if kind.skip else st.just(False),
        full_at=st.sampled_from([None] * 7 + [0, 20_000, 300_000]),
        second=st.sampled_from(seconds),
    )


def _several(database: Database, verb: Verb, kind: _Kind) -> st.SearchStrategy[tuple[Fault, ...]]:
    """Return a strategy for the faults of a step. While a cluster copies, one or two befall it."""
    others = _faults(database, verb)
    if not kind.cluster or verb != "migrate":
        return st.lists(others, min_size=2, max_size=5, unique_by=_place).map(tuple)
    of_movers = st.builds(
        Fault, st.just("copy"), st.integers(1, 15), st.sampled_from(["kill a mover", *MOVER_FAULTS]), st.booleans()
    )
    return st.tuples(st.lists(of_movers, min_size=1, max_size=2), st.lists(others, max_size=2)).map(
        lambda both: tuple({_place(fault): fault for fault in (*both[1], *both[0])}.values())
    )


def _undoing(database: Database) -> st.SearchStrategy[Step]:
    return st.lists(_faults(database, "rollback"), min_size=1, max_size=3, unique_by=_place).map(
        lambda faults: Step("rollback", tuple(faults))
    )


def _place(fault: Fault) -> tuple[str, int]:
    return fault.kind, fault.nth


def _faults(database: Database, verb: Verb) -> st.SearchStrategy[Fault]:
    disruptions = [*KILLS, *KILLS, *RESTARTS, "start a second run"]
    if database != "sqlite":
        disruptions += DATABASE_RESTARTS
    if verb != "check":
        # a restarted application repeats its last act, which would show as a change made by the dry run
        disruptions.append("kill the application")
    stages = ("restore",) if verb == "rollback" else ("copy", "rewrite")
    places = [
        _at("copy", st.integers(1, 40), TROUBLES, disruptions),
        _at("list", st.integers(1, 16), TROUBLES, disruptions),
        _at("read", st.integers(1, 20), TROUBLES, disruptions),
        _at("write", st.integers(1, 50), TROUBLES, disruptions),
        # milliseconds after the beginning of a stage, or of the run
        *(_at(f"during {stage}", st.integers(0, 60), (), disruptions) for stage in (*stages, *stages)),
        _at("from the start", st.integers(0, 6_000), (), disruptions),
    ]
    if database != "sqlite":
        places += [
            _at("COMMIT", st.integers(1, 8), LINE_TROUBLES, disruptions),
            _at("UPDATE", st.integers(1, 12), LINE_TROUBLES, disruptions),
            _at("INSERT", st.integers(1, 3), LINE_TROUBLES, disruptions),
            _at("SELECT", st.integers(1, 60), LINE_TROUBLES, disruptions),
        ]
    return st.one_of(*places)


def _at(
    kind: str, nth: st.SearchStrategy[int], troubles: tuple[str, ...], disruptions: list[str]
) -> st.SearchStrategy[Fault]:
    return st.builds(Fault, st.just(kind), nth, st.sampled_from([*troubles, *troubles, *disruptions]), st.booleans())

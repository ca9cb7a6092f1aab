"""The figures of a run add up after each of its steps, whatever the services, the server and the application do."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import settings as tries
from hypothesis import strategies as st
from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.planning.earlier_passes import carry_over
from rehome.planning.plan import Plan, make_plan
from rehome.report.identities import broken
from rehome.report.summary import Summary
from rehome.stages.copy_objects import QUEUE as OBJECT_QUEUE
from rehome.stages.copy_objects import CopyCounts
from rehome.stages.passes import add_earlier_passes, counts_of_all_passes
from rehome.stages.rewrite_rows import PLANNED, RewriteCounts
from rehome.stages.rewrite_rows import QUEUE as ROW_QUEUE

from tests.unit.config.test_settings import given

NAMES = [f"{number:02}" for number in range(8)]


@dataclass
class World:
    """A model of both buckets and of a table: what the services, the server and the application make of them.

    source, target: suffix → ETag; rows: key → (suffix, holds the old value)
    """

    dice: random.Random
    source: dict[str, str] = field(default_factory=dict)
    target: dict[str, str] = field(default_factory=dict)
    ours: dict[str, str] = field(default_factory=dict)
    rows: dict[int, tuple[str, bool]] = field(default_factory=dict)
    versions: Iterator[int] = field(default_factory=lambda: iter(range(10_000)))

    def application(self) -> None:
        """Do a few things that applications do, in no order."""
        for _ in range(self.dice.randrange(6)):
            name, key = self.dice.choice(NAMES), self.dice.randrange(12)
            what = self.dice.randrange(8)
            if what <= 1:
                self.source[name] = f"v{next(self.versions)}"
            elif what == 2:
                self.source.pop(name, None)
            elif what == 3:
                self.target[name] = self.dice.choice([self.source.get(name, "t"), f"t{next(self.versions)}"])
            elif what == 4:
                self.rows.pop(key, None)
            else:
                self.rows[key] = (name, what != 5)

    def fill(self, catalog: Catalog) -> None:
        """Scan: the catalog gets what exists now."""
        cold = {name for name in self.source if name == NAMES[-1]}
        catalog.append(
            "source_objects",
            [(n, 5, etag, "", "GLACIER" if n in cold else "STANDARD", "", "", None) for n, etag in self.source.items()],
        )
        catalog.append("target_objects", [(name, 5, etag) for name, etag in self.target.items()])
        catalog.append("own_copies", [(n,) for n, etag in self.target.items() if self.ours.get(n) == etag])
        catalog.append(
            "reference_rows",
            [("avatars.path", key, f"[{key}]", f"{n}-{old}", n, old, False) for key, (n, old) in self.rows.items()],
        )

    def copy(self, catalog: Catalog, counts: CopyCounts, overwrite: bool) -> None:
        """Copy the queue: each object with any outcome, or none as the run is stopped."""
        queue = catalog.query(OBJECT_QUEUE, [overwrite])
        counts.planned = len(queue)
        outcomes = []
        for suffix, size, etag, *_ in queue:
            result = self.dice.choice(["copied"] * 6 + ["present", "conflict", "changed", "archived", "failed", "none"])
            if result == "none":
                continue
            setattr(counts, result, getattr(counts, result) + 1)
            if result == "copied":
                counts.bytes_copied += size
                self.target[suffix] = self.ours[suffix] = etag
            if result == "present":
                counts.bytes_present += size
                self.target[suffix] = etag
            error = "Failed" if result == "failed" else None
            outcomes.append((suffix, size, etag, result, etag, None, 1, error, None, 0.1, 0))
        catalog.append("outcomes", outcomes)

    def rewrite(self, catalog: Catalog, counts: RewriteCounts, params: dict[str, Any]) -> None:
        """Rewrite the queue, and one row that has appeared since."""
        queue = [int(key[1:-1]) for key, _ in catalog.query(ROW_QUEUE, params)]
        counts.planned = catalog.count(PLANNED, params)
        counts.waiting = counts.planned - len(queue)
        self.application()
        verified = {name for name in self.target if self.target[name] == self.source.get(name)}
        appeared = [key for key, (name, old) in self.rows.items() if old and key not in queue and name in verified][:1]
        counts.appeared = len(appeared)
        catalog.append("appeared_rows", [("avatars.path", f"[{key}]") for key in appeared])
        for key in [*queue, *appeared]:
            name, old = self.rows.get(key, ("", False))
            planned = catalog.query("SELECT suffix FROM planned_rows WHERE key = ?", [f"[{key}]"])
            same = key in appeared or planned == [(name,)]
            if not same:
                counts.changed_by_app += 1
                catalog.append("changed_rows", [("avatars.path", f"[{key}]", f"{planned[0][0]}-True")])
            elif not old:
                counts.done += 1
            elif self.dice.randrange(6) == 0:
                counts.refused += 1
                catalog.append("refused_rows", [("avatars.path", f"[{key}]", "", "", "no")])
            else:
                counts.rewritten += 1
                self.rows[key] = (name, False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("figures")


@tries(deadline=None, max_examples=30)
@for_all(
    seed=st.integers(0, 10_000),
    passes=st.integers(1, 4),
    overwrite=st.booleans(),
    rewrite_dangling=st.booleans(),
)
@example(seed=4039, passes=2, overwrite=False, rewrite_dangling=False)  # a row appears, is refused, and is gone
def test_over_any_passes_every_figure_is_in_one_sum(
    folder: Path, seed: int, passes: int, overwrite: bool, rewrite_dangling: bool
) -> None:
    state = Path(mkdtemp(dir=folder))
    policies = {
        "on_conflict": "overwrite" if overwrite else "skip",
        "on_dangling": "rewrite" if rewrite_dangling else "keep",
    }
    settings = read_settings(given(state_dir=str(state), **policies))
    params = {"reference": "avatars.path", "rewrite_dangling": rewrite_dangling}
    world = World(random.Random(seed))
    for _ in range(4):
        world.application()
    summary = Summary.start(settings, "run", "migrate", dry_run=False)
    assert broken(summary.fields) == []
    earlier: Path | None = None
    done_before = 0
    for number in range(passes):
        with Catalog.create(state / f"{number}.duckdb", {}) as catalog:
            world.fill(catalog)
            if earlier is not None:
                rewritten = summary.fields["rows_rewritten"] > 0
                carry_over(catalog, earlier, rewritten=rewritten, rewrite_dangling=rewrite_dangling)
            plan = make_plan(catalog, settings)
            counts, found = counts_of_all_passes(summary.fields, plan)
            summary.add(counts, passes=found, failures={}, left=plan.left(after_run=True))
            assert broken(summary.fields) == []
            if number == 0:
                done_before = plan.rows["done"]
                assert summary.fields["rows_done"] == done_before
            copied = CopyCounts()
            world.copy(catalog, copied, overwrite)
            failures = {"Failed": copied.failed} if copied.failed else {}
            summary.add(add_earlier_passes(summary.fields, copied.counts()), failures=failures)
            assert broken(summary.fields) == []
            rewrite = RewriteCounts()
            world.rewrite(catalog, rewrite, params)
            summary.add(add_earlier_passes(summary.fields, rewrite.counts()))
            assert broken(summary.fields) == []
            assert summary.fields["rows_not_reached"] == 0
            earlier = state / f"{number}.duckdb"
            world.application()
    shutil.rmtree(state)


def quiet_run(folder: Path, world: World, passes: int) -> tuple[Summary, Plan]:
    """Return the summary and the last plan of a run in which nobody else does anything."""
    settings = read_settings(given(state_dir=str(folder)))
    summary = Summary.start(settings, "run", "migrate", dry_run=False)
    earlier: Path | None = None
    for number in range(passes):
        with Catalog.create(folder / f"{number}.duckdb", {}) as catalog:
            world.fill(catalog)
            if earlier is not None:
                carry_over(catalog, earlier, rewritten=True, rewrite_dangling=False)
            plan = make_plan(catalog, settings)
            counts, found = counts_of_all_passes(summary.fields, plan)
            summary.add(counts, passes=found)
            copied = CopyCounts(planned=plan.objects_to_move)
            queue = catalog.query(OBJECT_QUEUE, [False])
            copied.copied, copied.bytes_copied = len(queue), 5 * len(queue)
            world.target |= {suffix: etag for suffix, _, etag, *_ in queue}
            world.ours |= {suffix: etag for suffix, _, etag, *_ in queue}
            catalog.append(
                "outcomes",
                [(suffix, 5, etag, "copied", etag, None, 1, None, None, 0.1, 0) for suffix, _, etag, *_ in queue],
            )
            summary.add(add_earlier_passes(summary.fields, copied.counts()))
            rewrite = RewriteCounts(planned=plan.rows_to_move, rewritten=plan.rows_to_move)
            world.rows = {key: (name, False) for key, (name, _) in world.rows.items()}
            summary.add(add_earlier_passes(summary.fields, rewrite.counts()))
            earlier = folder / f"{number}.duckdb"
    return summary, plan


def test_an_object_that_is_overwritten_between_two_passes_counts_once_among_the_objects(tmp_path: Path) -> None:
    world = World(random.Random(1), source=dict.fromkeys(NAMES[:6], "a"), target={NAMES[0]: "a"})
    world.rows = {number: (name, True) for number, name in enumerate(NAMES[:6])}
    summary, _ = quiet_run(tmp_path, world, 1)
    world.source[NAMES[3]] = "b"
    # the second pass of one run
    settings = read_settings(given(state_dir=str(tmp_path)))
    with Catalog.create(tmp_path / "again.duckdb", {}) as catalog:
        world.fill(catalog)
        carry_over(catalog, tmp_path / "0.duckdb", rewritten=True, rewrite_dangling=False)
        plan = make_plan(catalog, settings)
        counts, found = counts_of_all_passes(summary.fields, plan)
        summary.add(counts, passes=found)
        copied = CopyCounts(planned=1, copied=1, bytes_copied=5)
        summary.add(add_earlier_passes(summary.fields, copied.counts()))
    fields = summary.fields
    assert (fields["objects_seen"], fields["objects_copied"], fields["objects_present"]) == (6, 6, 1)
    assert (fields["objects_copied_unseen"], fields["objects_to_copy"], fields["bytes_to_copy"]) == (1, 6, 30)
    assert (fields["rows_seen"], fields["rows_rewritten"], fields["rows_done"]) == (6, 6, 0)
    assert broken(fields) == []


def test_what_failed_counts_in_the_last_pass_alone(tmp_path: Path) -> None:
    world = World(random.Random(1), source=dict.fromkeys(NAMES[:3], "a"))
    settings = read_settings(given(state_dir=str(tmp_path)))
    summary = Summary.start(settings, "run", "migrate", dry_run=False)
    with Catalog.create(tmp_path / "0.duckdb", {}) as catalog:
        world.fill(catalog)
        counts, found = counts_of_all_passes(summary.fields, make_plan(catalog, settings))
        summary.add(counts, passes=found)
        # two of three fail, and the others are not reached
        summary.add(add_earlier_passes(summary.fields, CopyCounts(planned=3, failed=2).counts()), failures={"No": 2})
        assert (summary.fields["objects_failed"], summary.fields["objects_not_reached"]) == (2, 1)
        assert broken(summary.fields) == []
    summary, _ = quiet_run(tmp_path, world, 2)
    classes = Counter({name: summary.fields[name] for name in ("objects_to_copy", "objects_copied", "objects_failed")})  # type: ignore[literal-required]
    assert classes == {"objects_to_copy": 3, "objects_copied": 3, "objects_failed": 0}


def test_a_figure_that_does_not_add_up_is_named_with_its_parts(tmp_path: Path) -> None:
    summary = Summary.start(read_settings(given(state_dir=str(tmp_path))), "run", "migrate", dry_run=False)
    summary.add(objects_copied=6147, objects_present=2141, objects_seen=8277, objects_to_copy=6147, bytes_to_copy=1)
    (found,) = broken(summary.fields)
    assert found.startswith("objects_seen is 8277, and its parts add up to 8288 (objects_copied: 6147,")

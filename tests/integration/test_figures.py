"""The figures of real runs add up after each stage: several passes, an application that writes, stops, every verb."""

from __future__ import annotations

import itertools
import random
import runpy
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from rehome.ansible_module.run_report import RunReport
from rehome.ansible_module.stage import Stage
from rehome.ansible_module.stopping import SIGNALS, Stopping
from rehome.catalog.catalog import Catalog
from rehome.codes import Code
from rehome.config.settings import NO_WAY_BACK
from rehome.db.engines.open import connect
from rehome.errors import RehomeError
from rehome.progress import Progress
from rehome.report.fields import SummaryKind
from rehome.report.identities import broken
from rehome.run import Run

from sandbox.s3_server import S3Server
from sandbox.sqlite import SQLite
from tests.conftest import Buckets
from tests.integration.migration import Migration

LIBRARY = Path(__file__).parents[2] / "library"
WORKS: dict[str, Callable[[Stage], dict[str, Any]]] = {
    name: runpy.run_path(str(LIBRARY / f"{name}.py"))["work"]
    for name in (
        "migration_plan",
        "s3_batch_copy",
        "db_path_rewrite",
        "migration_verify",
        "db_path_rollback",
        "s3_batch_delete",
    )
}
NAMES = [f"avatar-{number}.png" for number in range(9)]


@pytest.fixture
def stopping() -> Iterator[Stopping]:
    """What a module hears signals with. This process gets its own handlers back."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield Stopping(set(), lambda: None)
    for number, handler in before.items():
        signal.signal(number, handler)


class StoppedStage(Stage):
    """A stage that is asked to stop after a while, as by SIGTERM."""

    @contextmanager
    def stoppable(self, catalog: Catalog) -> Iterator[Run]:
        """Yield a run that stops at its third piece of work."""
        calls = itertools.count()
        yield self.on(catalog, lambda: next(calls) >= 2)
        raise RehomeError("interrupted", code=Code.INTERRUPTED)


class Runs:
    """Runs of the modules' work, one by one, while the application does something in between."""

    def __init__(self, migration: Migration, dice: random.Random, stopping: Stopping, **settings: Any) -> None:
        self.migration = migration
        self.dice = dice
        self.settings = migration.as_user(migration.settings(**settings), "admin")
        self.numbers = itertools.count()
        self.stage: Stage
        self.stopping = stopping
        with connect(self.settings.database) as database:
            database.create_journal(self.settings.journal_schema)

    def begin(self, verb: str, kind: SummaryKind, *, dry: bool = False, stops: bool = False) -> None:
        stage = StoppedStage if stops else Stage
        run, progress = f"run-{next(self.numbers)}", Progress(self.settings.state_dir)
        record = RunReport(self.settings, run, "migration_plan", {})
        params = {"run_job": None}
        self.stage = stage(self.settings, progress, run, 1, verb + "-check" * dry, dry, params, self.stopping, record)
        self.stage.start_summary(kind)
        self.check()

    def work(self, name: str) -> dict[str, Any]:
        try:
            return WORKS[name](self.stage)
        finally:
            self.check()

    def check(self) -> None:
        assert broken(self.stage.summary().fields) == []

    def application(self) -> None:
        """Do what applications do: store, overwrite and delete objects, write, change and delete rows."""
        one, dice = self.migration, self.dice
        for _ in range(dice.randrange(5)):
            name, what = dice.choice(NAMES), dice.randrange(9)
            content = f"{what} {next(self.numbers)}".encode()
            if what <= 2:
                one.put(name, content)
            elif what == 3:
                one.s3.put_object(Bucket=one.source, Key=f"image/{name}", Body=content)
            elif what == 4:
                one.s3.delete_object(Bucket=one.source, Key=f"image/{name}")
            elif what == 5:
                one.target_s3.put_object(Bucket=one.target, Key=f"avatar/{name}", Body=content)
            elif what == 6:
                one.add_row(dice.choice([f"avatar/{name}", f"/image/{name}", "image/avatar-none.png"]))
            elif what == 7:
                one.sql("UPDATE avatars SET path = ? WHERE id = (SELECT max(id) FROM avatars)", f"image/{name}")
            else:
                one.sql("DELETE FROM avatars WHERE id = (SELECT min(id) FROM avatars)")

    def migrate(self, *, stops: bool = False) -> None:
        self.begin("migrate", "migration", stops=stops)
        for _ in range(self.dice.randrange(1, 3)):
            self.work("migration_plan")
            self.application()
            self.work("s3_batch_copy")
            self.application()
        self.work("db_path_rewrite")
        self.application()
        self.work("migration_plan")
        self.work("s3_batch_copy")
        self.work("db_path_rewrite")
        self.work("migration_verify")

    def alone(self, verb: str, kind: SummaryKind, name: str, *, dry: bool) -> dict[str, Any]:
        self.begin(verb, kind, dry=dry)
        return self.work(name)


@pytest.mark.parametrize("seed", range(3))
def test_the_figures_of_every_verb_add_up_whatever_happens_in_between(
    object_store: S3Server, buckets: Buckets, sqlite: SQLite, tmp_path: Path, stopping: Stopping, seed: int
) -> None:
    dice = random.Random(seed)
    migration = Migration(object_store, buckets, sqlite, tmp_path)
    runs = Runs(
        migration,
        dice,
        stopping,
        on_conflict=dice.choice(["skip", "overwrite"]),
        on_dangling=dice.choice(["keep", "rewrite"]),
        retire_after="0d",
        confirm=buckets.source,
        retire_unversioned=NO_WAY_BACK,
    )
    for name in NAMES[:6]:
        migration.put(name, name.encode())
    migration.refuse(f"avatar/{NAMES[0]}")
    runs.alone("plan", "migration", "migration_plan", dry=True)
    with suppress(RehomeError):
        runs.migrate(stops=True)
    runs.application()
    runs.migrate()
    migration.sql("DROP TRIGGER refuse")
    runs.migrate()
    # again, with nobody around
    runs.application = lambda: None  # type: ignore[method-assign]
    runs.migrate()
    fields = runs.stage.summary().fields
    assert (fields["objects_not_reached"], fields["rows_not_reached"], fields["rows_waiting"]) == (0, 0, 0)
    assert fields["objects_present"] == fields["objects_verified"]
    if fields["complete"]:
        assert fields["outcome"].startswith("complete")
        assert bool(fields["left"]) == ("but" in fields["outcome"])
    runs.alone("verify", "migration", "migration_verify", dry=True)
    if runs.stage.summary().fields["complete"]:
        runs.alone("retire", "migration", "s3_batch_delete", dry=bool(seed % 2))
    dry = runs.alone("rollback", "rollback", "db_path_rollback", dry=True)["counts"]
    done = runs.alone("rollback", "rollback", "db_path_rollback", dry=False)["counts"]
    assert done["rows_restored"] + done["rows_refused"] == dry["rows_to_restore"]
    assert done["rows_not_reached"] == 0
    again = runs.alone("rollback", "rollback", "db_path_rollback", dry=False)["counts"]
    assert again["rows_restored"] == 0
    migration.close()

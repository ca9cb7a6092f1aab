"""A table whose values Rehome's own user rewrites and rolls back while the application writes to it as well."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.config.settings import RollbackPolicy, Settings
from rehome.db import journal
from rehome.db.dialect import Change
from rehome.db.journal import JournalTarget
from rehome.db.work.chunk import ChunkOutcome, rewrite_chunk
from rehome.db.work.keyset import read_by_keyset
from rehome.progress import Progress
from rehome.run import Run
from rehome.scan.rows import read_rows
from rehome.stages import chunk_runner
from rehome.stages.rollback_rows import OBSTRUCTED, RollbackCounts, inspect_rows, plan_rollback, roll_back
from rehome.stages.verify_rows import RowsCheck, compare_rows

from tests.integration.db.conftest import Bench
from tests.unit.config.test_settings import given as given_settings


class Rows:
    """The table of `bench`. name: of the migration"""

    def __init__(self, bench: Bench, folder: Path, name: str | None = None) -> None:
        self.bench = bench
        self.name = name or bench.table
        self.folder = folder
        self._made = itertools.count()
        self._catalogs = ExitStack()
        self.database = bench.rehome()
        self.database.create_journal(bench.schema)

    def settings(self, since: datetime | None = None, **changes: Any) -> Settings:
        made = read_settings(
            given_settings(
                name=self.name,
                references=[{"table": self.bench.table, "column": "path", "form": "key"}],
                state_dir=str(self.folder),
                **changes,
            )
        )
        return replace(made, database=self.bench.settings(), rollback=RollbackPolicy(since, "restore"))

    def migrate(self, chunk_rows: int = 1_000) -> int:
        """Rewrite every row that holds an old value, as if its object were in the target."""
        made = self.settings()
        values = made.value_map(made.references[0])
        database = self.database
        facts = database.describe(self.bench.table, "path")
        changes = [
            Change(row.key, row.value, new)
            for batch in read_by_keyset(database, facts)
            for row in batch
            if row.value is not None and (new := values.to_target(row.value))
        ]
        outcome = ChunkOutcome()
        target = JournalTarget(made.journal_schema, made.name, made.fingerprint, place=made.place)
        for start in range(0, len(changes), chunk_rows):
            rewrite_chunk(database, facts, changes[start : start + chunk_rows], target, outcome)
        return outcome.rewritten

    def roll_back(self, made: Settings | None = None, chunks: int | None = None) -> tuple[RollbackCounts, Catalog]:
        """Roll back. chunks: stop after this number of chunks"""
        made = made or self.settings()
        counts, catalog = self.plan(made)
        inspect_rows(Run(made, catalog, Progress(self.folder)), counts, OBSTRUCTED)
        worked: list[int] = []

        def counted(*arguments: Any) -> None:
            rewrite_chunk(*arguments)
            worked.append(1)

        def enough() -> bool:
            return chunks is not None and len(worked) >= chunks

        with patch.object(chunk_runner, "rewrite_chunk", counted):
            roll_back(Run(made, catalog, Progress(self.folder), enough), counts)
        return counts, catalog

    def check(self, made: Settings | None = None) -> tuple[RollbackCounts, list[dict[str, str]]]:
        made = made or self.settings()
        counts, catalog = self.plan(made)
        inspect_rows(Run(made, catalog, Progress(self.folder)), counts, OBSTRUCTED)
        return counts, inspect_rows(Run(made, catalog, Progress(self.folder)), counts)

    def verify(
        self, source: Collection[str], target: Collection[str], made: Settings | None = None
    ) -> tuple[RowsCheck, Catalog]:
        """Compare the rows with the journal. source, target: the suffixes of the keys there"""
        made = made or self.settings()
        catalog = self._catalog()
        read_rows(Run(made, catalog, Progress(self.folder)))
        catalog.append("source_objects", [(suffix, 1, "a", "", "STANDARD", "", "", None) for suffix in source])
        catalog.append("target_objects", [(suffix, 1, "a") for suffix in target])
        return compare_rows(Run(made, catalog, Progress(self.folder))), catalog

    def plan(self, made: Settings) -> tuple[RollbackCounts, Catalog]:
        catalog = self._catalog()
        return plan_rollback(Run(made, catalog, Progress(self.folder))), catalog

    def _catalog(self) -> Catalog:
        return self._catalogs.enter_context(Catalog.create(self.folder / f"{next(self._made)}.duckdb", {}))

    def close(self) -> None:
        self._catalogs.close()
        self.database.close()

    def entries(self) -> list[tuple[str, int]]:
        """Return direction and number of rows of every entry, oldest first."""
        found = [
            (recorded.entry.direction, recorded.entry.row_count)
            for batch in journal.newest_first(self.database, self.bench.schema, self.name)
            for recorded in batch
        ]
        return found[::-1]

    def set(self, number: int, value: str | None) -> None:
        self.bench.execute("UPDATE T SET path = ? WHERE id = ?", value, number)

"""A migration that is rolled back, and whose copies are removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rehome.config.settings import Settings
from rehome.report.lists import REMOVE_LISTS, write_lists
from rehome.run import Run
from rehome.stages.delete_objects import DeleteCounts
from rehome.stages.remove_copies import inspect_target, plan_removal, remove_copies
from rehome.stages.rollback_rows import RollbackCounts, plan_rollback, roll_back

from tests.integration.migration import Migration


class Removal(Migration):
    """A migration that is rolled back, and the removal of its copies."""

    def side(self, label: str) -> dict[str, str]:
        return {"bucket": getattr(self, label), **self._access(label)}

    def keep_versions(self) -> None:
        self.s3.put_bucket_versioning(Bucket=self.target, VersioningConfiguration={"Status": "Enabled"})

    def wanted(self, **changes: Any) -> Settings:
        """Return settings that remove copies, with the credentials of a user who may."""
        settings = self.settings(**{"rollback_copies": "remove", "confirm": self.target} | changes)
        return self.as_user(settings, "retire")

    def migrate(self, *names: str, **objects: Any) -> None:
        for name in names:
            self.put(name, f"content of {name}".encode(), **objects)
        settings = self.settings()
        self.plan(settings)
        self.copy(settings)
        self.rewrite(settings)

    def roll_back(self) -> RollbackCounts:
        settings, catalog = self.settings(), self._new_catalog()
        counts = plan_rollback(Run(settings, catalog, self.progress))
        roll_back(Run(settings, catalog, self.progress), counts)
        return counts

    def judge(self, settings: Settings, to_roll_back: Path | None = None) -> DeleteCounts:
        self.catalog = self._new_catalog()
        self.bucket_state = inspect_target(settings, to_roll_back is not None)
        return plan_removal(Run(settings, self.catalog, self.progress), self.bucket_state, to_roll_back)

    def carry_out(self, settings: Settings, counts: DeleteCounts) -> DeleteCounts:
        remove_copies(Run(settings, self.catalog, self.progress), self.bucket_state, counts)
        return counts

    def remove(self, **changes: Any) -> DeleteCounts:
        settings = self.wanted(**changes)
        return self.carry_out(settings, self.judge(settings))

    def listed(self, name: str) -> list[dict[str, Any]]:
        lists = write_lists(self.catalog, self.settings(), REMOVE_LISTS)
        return [json.loads(line) for line in Path(lists[name]["file"]).read_text().splitlines()]

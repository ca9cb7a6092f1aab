"""A migration whose stages a test runs one by one, while it changes the data as an application does."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.db.engines.open import connect
from rehome.planning.plan import Plan, make_plan
from rehome.progress import Progress
from rehome.run import Run
from rehome.scan.scan import scan
from rehome.stages.copy_objects import CopyCounts, copy_planned
from rehome.stages.rewrite_rows import RewriteCounts, rewrite_planned
from rehome.stages.verify import Verdict, verify

from sandbox.s3_server import S3Server
from sandbox.sqlite import SQLite
from tests.conftest import Buckets
from tests.integration.s3.opening import access_of, witness


class Migration:
    """A migration from `store` to `target_store`, or within `store` if that is None."""

    def __init__(
        self, store: S3Server, buckets: Buckets, database: SQLite, folder: Path, target_store: S3Server | None = None
    ) -> None:
        self.s3 = witness(store)
        self.target_s3 = witness(target_store or store)
        self.source, self.target = buckets.source, buckets.target
        self._stores = {"source": store, "target": target_store or store}
        self._database = database
        self._folder = folder
        self._catalogs = ExitStack()
        self._made = 0
        self.catalog: Catalog

    def settings(self, **changes: Any) -> Settings:
        return read_settings(
            {
                "name": "test",
                "source": {"bucket": self.source, "prefix": "image/", **self._access("source")},
                "target": {"bucket": self.target, "prefix": "avatar/", **self._access("target")},
                "include": ["avatar-*.png"],
                "exclude": [],
                "database": self._database.database(),
                "references": [{"table": "avatars", "column": "path", "form": "key"}],
                "on_conflict": "fail",
                "on_dangling": "fail",
                "journal_schema": "rehome",
                "state_dir": str(self._folder),
            }
            | changes
        )

    def _access(self, side: str) -> dict[str, str]:
        return access_of(self._stores[side])

    def as_user(self, settings: Settings, user: str) -> Settings:
        """Return the settings with this user's credentials for both buckets."""
        sides = {}
        for label in ("source", "target"):
            keys = self._stores[label].users[user]
            side = getattr(settings, label)
            sides[label] = replace(side, access_key=keys.access_key, secret_key=keys.secret_key)
        return replace(settings, **sides)

    def put(self, name: str, body: bytes = b"content", **properties: Any) -> None:
        """Store an object in the source, and insert its row."""
        self.s3.put_object(Bucket=self.source, Key=f"image/{name}", Body=body, **properties)
        self.add_row(f"image/{name}")

    def add_row(self, path: str) -> None:
        self.sql("INSERT INTO avatars (user_id, path) VALUES (1, ?)", path)

    def refuse(self, path: str) -> None:
        """Make the database refuse every change to this path."""
        self.sql(
            f"CREATE TRIGGER refuse BEFORE UPDATE ON avatars WHEN NEW.path = '{path}'"
            " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )

    def paths(self) -> list[str]:
        return [path for (path,) in self.sql("SELECT path FROM avatars ORDER BY id")]

    def content(self, key: str) -> bytes:
        return self.target_s3.get_object(Bucket=self.target, Key=key)["Body"].read()  # type: ignore[no-any-return]

    def target_keys(self) -> list[str]:
        return [item["Key"] for item in self.target_s3.list_objects_v2(Bucket=self.target).get("Contents", [])]

    def source_keys(self) -> list[str]:
        return [item["Key"] for item in self.s3.list_objects_v2(Bucket=self.source).get("Contents", [])]

    def plan(self, settings: Settings) -> Plan:
        self.catalog = self._new_catalog()
        scan(Run(settings, self.catalog, self.progress))
        with connect(settings.database) as database:
            database.create_journal(settings.journal_schema)
        return make_plan(self.catalog, settings)

    def copy(self, settings: Settings) -> CopyCounts:
        counts = CopyCounts()
        copy_planned(self.run_with(settings), counts)
        return counts

    def run_with(self, settings: Settings) -> Run:
        """Return what a stage works on, after `plan`."""
        return Run(settings, self.catalog, self.progress)

    def run_on_nothing(self, settings: Settings) -> Run:
        """Return what a stage works on that begins with an empty catalog."""
        self.catalog = self._new_catalog()
        return self.run_with(settings)

    def rewrite(self, settings: Settings) -> RewriteCounts:
        counts = RewriteCounts()
        rewrite_planned(Run(settings, self.catalog, self.progress), counts)
        return counts

    def verify(self, settings: Settings) -> Verdict:
        return verify(Run(settings, self._new_catalog(), self.progress))

    @property
    def progress(self) -> Progress:
        """The progress file in the state folder."""
        return Progress(self._folder)

    def close(self) -> None:
        self._catalogs.close()

    def _new_catalog(self) -> Catalog:
        self._made += 1
        return self._catalogs.enter_context(Catalog.create(self._folder / f"{self._made}.duckdb", {}))

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement as the application."""
        connection = self._database.connect("admin")
        try:
            rows = connection.execute(statement, values).fetchall()
            connection.commit()
            return rows  # type: ignore[no-any-return]
        finally:
            connection.close()

"""What Rehome's Ansible modules share: their options, the hold on the state folder, and how a failure is told."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Unpack

from ..catalog.catalog import Catalog
from ..config.settings import Settings
from ..errors import RehomeError
from ..progress import Progress
from ..report.fields import ListFile, SummaryFields, SummaryKind
from ..report.lists import write_lists
from ..report.summary import Summary
from ..run import Run, never
from ..state.database_lock import migration_lock
from ..state.lock import release
from ..state.outcomes import export_leftover_outcomes
from ..state.sync import download_state, upload_state

CATALOG_FILE = "catalog.duckdb"


@dataclass(frozen=True)
class Stage:
    """What a module's work is given.

    run_id: tells this run from any other; the catalog must have been made by the same one
    run_pid: its process
    verb: what the run is: its playbook's name, and `-check` where that is only tried
    given: all that the module was given, as Ansible hands it over
    """

    settings: Settings
    progress: Progress
    run_id: str
    run_pid: int
    verb: str
    dry_run: bool
    given: Mapping[str, Any]

    def new_catalog(self, file: str = CATALOG_FILE) -> Catalog:
        """An empty catalog of this run."""
        path = self.settings.state_dir / file
        export_leftover_outcomes(path, self.settings.state_dir)
        facts = {"run": self.run_id, "fingerprint": self.settings.fingerprint}
        return Catalog.create(path, facts)

    def catalog_of_pass(self) -> Catalog:
        """An empty catalog for the plan of a pass, but for the rows that the application changed under earlier ones."""
        if not self.summary().fields["passes"]:
            return self.new_catalog()
        with self.catalog() as earlier:
            changed_rows = earlier.query("FROM changed_rows")
        catalog = self.new_catalog()
        catalog.append("changed_rows", changed_rows)
        return catalog

    def catalog(self) -> Catalog:
        """The catalog that this run's plan has made. Raises RehomeError where there is none."""
        path = self.settings.state_dir / CATALOG_FILE
        if path.exists():
            catalog = Catalog.open(path)
            facts = catalog.metadata()
            if (facts.get("run"), facts.get("fingerprint")) == (self.run_id, self.settings.fingerprint):
                return catalog
            catalog.close()
        raise RehomeError(
            f"{path} holds no plan of this run with these settings. Run the plan stage first, in the same playbook run."
        )

    def on(self, catalog: Catalog, stopping: Callable[[], bool] = never) -> Run:
        """Return what the stages of this run share, over `catalog`."""
        return Run(self.settings, catalog, self.progress, stopping)

    def report(
        self,
        catalog: Catalog,
        queries: Mapping[str, str],
        counts: Mapping[str, int],
        **fields: Unpack[SummaryFields],
    ) -> dict[str, ListFile]:
        """Write the lists of `queries`, add them, `counts` and `fields` to the summary, and return them.

        The state is saved under `rehome_state_uri` too: the next stage may be killed, and its machine be thrown away.
        """
        written = write_lists(catalog, self.settings, queries)
        summary = self.summary()
        others = {name: file for name, file in summary.fields["lists"].items() if name not in queries}
        fields["lists"] = others | written
        summary.add(counts, **fields)
        # that the state could not be kept, the run's end tells
        with suppress(RehomeError):
            upload_state(self.settings)
        return written

    def start_summary(self, kind: SummaryKind) -> Summary:
        """Begin the run, and its summary, with what runs elsewhere have left."""
        download_state(self.settings)
        return Summary.start(self.settings, self.run_id, self.verb, self.dry_run, kind)

    def summary(self) -> Summary:
        """The summary of this run. Raises RehomeError where what lies there is another's."""
        summary = Summary.load(self.settings.state_dir)
        if summary.fields.get("run") != self.run_id:
            raise RehomeError(f"{summary.path} is of another run. Run the playbook from its beginning.")
        return summary

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the migration in the database, too, for the length of the block: another machine has another folder."""
        with migration_lock(self.settings.database, self.settings.name):
            yield

    def held_unless_dry(self) -> AbstractContextManager[None]:
        """As `held`, where something is written: a dry run is in nobody's way."""
        return nullcontext() if self.dry_run else self.held()

    @contextmanager
    def stoppable(self) -> Iterator[Callable[[], bool]]:
        """Within the block, SIGTERM and SIGINT ask instead of killing; what it yields tells whether they did.

        Raises RehomeError at the end of the block where they did, so that nobody takes the work for finished.
        """
        asked: list[int] = []
        before = {
            number: signal.signal(number, lambda received, _: asked.append(received))
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield lambda: bool(asked)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if asked:
            raise RehomeError("interrupted; what was under way is finished and recorded. Run it again to go on.")

    def release(self) -> None:
        """Let go of the state folder: the run is over."""
        release(self.settings.state_dir, self.run_pid)

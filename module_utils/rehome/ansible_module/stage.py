"""What a module's work is given: the settings, the catalog, the summary, the locks, and whether to stop."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, Unpack

from ..catalog.catalog import Catalog
from ..codes import Code
from ..config.settings import Settings
from ..control.controls import REASON, Controls, add_asked
from ..errors import RehomeError
from ..job import Job, job_words, read_job, user_name
from ..planning.earlier_passes import carry_over
from ..progress import Progress
from ..report.facts import Report
from ..report.fields import ListFile, SummaryFields, SummaryKind
from ..report.lists import write_lists
from ..report.summary import Summary
from ..run import Run, never
from ..state.control_file import ControlFileWatch
from ..state.control_row import ControlRowDoor
from ..state.database_lock import DatabaseLock, migration_lock
from ..state.lock import release
from ..state.outcomes import export_leftover_outcomes
from ..state.sync import download_state, upload_state
from .run_report import RunReport
from .stopping import Stopping

CATALOG_FILE = "catalog.duckdb"
EARLIER_CATALOG_FILE = "catalog-earlier.duckdb"


@dataclass(frozen=True)
class Stage:
    """One module's part of a run.

    run_id: identifies the run; a stage works only on the catalog of its own run
    run_pid: the process of the run (ansible-playbook)
    verb: the playbook's name, with `-check` for a dry run
    params: the module's options, as Ansible passes them
    stopping: whether the run is to stop
    record: what goes into the run's report
    variables: the environment's, which settings fall back to
    """

    settings: Settings
    progress: Progress
    run_id: str
    run_pid: int
    verb: str
    dry_run: bool
    params: Mapping[str, Any]
    stopping: Stopping
    record: RunReport
    variables: Mapping[str, str] = field(default_factory=dict)
    controls: Controls = field(default_factory=Controls, init=False)
    _locks: list[DatabaseLock] = field(default_factory=list, init=False)

    @property
    def job(self) -> Job | None:
        """The job of AWX that the run is; None outside of AWX."""
        return read_job(self.params["run_job"])

    def new_catalog(self, file: str = CATALOG_FILE) -> Catalog:
        """Return an empty catalog of this run. Replaces the file of an earlier one."""
        path = self.settings.state_dir / file
        export_leftover_outcomes(path, self.settings.state_dir)
        return Catalog.create(path, self._metadata)

    def catalog_of_pass(self) -> Catalog:
        """Return a catalog for the plan of a pass, with what earlier passes of this run have moved and left."""
        before = self.summary().fields
        if not before["passes"]:
            return self.new_catalog()
        self.catalog().close()  # it is this run's
        path = self.settings.state_dir / CATALOG_FILE
        export_leftover_outcomes(path, self.settings.state_dir)
        earlier = path.replace(path.with_name(EARLIER_CATALOG_FILE))
        catalog = self.new_catalog()
        rewritten, rewrite_dangling = before["rows_rewritten"] > 0, self.settings.on_dangling == "rewrite"
        carry_over(catalog, earlier, rewritten=rewritten, rewrite_dangling=rewrite_dangling)
        earlier.unlink()
        return catalog

    def catalog(self) -> Catalog:
        """Return the catalog that this run's plan has filled. Raises RehomeError if there is none."""
        path = self.settings.state_dir / CATALOG_FILE
        if path.exists():
            catalog = Catalog.open(path)
            if self._metadata.items() <= catalog.metadata().items():
                return catalog
            catalog.close()
        raise RehomeError(
            f"{path} holds no plan of this run with these settings. Run the plan stage first, in the same playbook "
            "run.",
            code=Code.OTHER_RUN,
        )

    @property
    def _metadata(self) -> dict[str, str]:
        return {"run": self.run_id, "fingerprint": self.settings.fingerprint}

    def on(self, catalog: Catalog, stopping: Callable[[], bool] = never) -> Run:
        """Return what the stages of this run share, to work on `catalog`."""
        return Run(self.settings, catalog, self.progress, stopping, self.job, self.controls)

    def report(
        self, catalog: Catalog, queries: Mapping[str, str], counts: Mapping[str, int], **fields: Unpack[SummaryFields]
    ) -> dict[str, ListFile]:
        """Write the lists of `queries`, add them, `counts` and `fields` to the summary, and return them.

        The state is saved under `rehome_state_uri` too: the next stage may be killed, and its machine be thrown away.
        """
        with self.stopping.finishing():
            written = write_lists(catalog, self.settings, queries)
            summary = self.summary()
            others = {name: file for name, file in summary.fields["lists"].items() if name not in queries}
            fields["lists"] = others | written
            fields |= self._controlled(fields.get("throttled_s", summary.fields["throttled_s"]), summary)
            summary.add(counts, **fields)
            self.record.write(summary.fields, text=False)
            self.upload()
        return written

    def _controlled(self, throttled_s: Mapping[str, float], summary: Summary) -> SummaryFields:
        """Return what operators have asked of the run, and the pauses with theirs among them."""
        paused_s = round(throttled_s.get(REASON, 0.0) + self.controls.take_paused(), 1)
        pauses = {**throttled_s, REASON: paused_s} if paused_s >= 0.1 else dict(throttled_s)
        asked = add_asked(summary.fields.get("control", []), self.controls.asked)
        return SummaryFields(throttled_s=pauses, control=asked)

    def upload(self) -> None:
        """Save the state under `rehome_state_uri`. If that fails, the end of the run reports it."""
        with suppress(RehomeError):
            upload_state(self.settings)

    def start_summary(self, kind: SummaryKind) -> Summary:
        """Fetch the state that runs elsewhere have left, and start the summary of this run."""
        download_state(self.settings)
        self.record.start(self.verb)
        return Summary.start(self.settings, self.run_id, self.verb, self.dry_run, kind, self.job)

    def summary(self) -> Summary:
        """Return the summary of this run. Raises RehomeError if the file is of another run."""
        summary = Summary.load(self.settings.state_dir)
        if summary.fields.get("run") != self.run_id:
            raise RehomeError(
                f"{summary.path} is of another run. Run the playbook from its beginning.", code=Code.OTHER_RUN
            )
        return summary

    def write_report(self) -> Report | None:
        """Write the report of the run as people read it, and return its facts. Without a run of its own there is none.

        A module that has begun none, such as that of `grants`, has None.
        """
        try:
            fields = self.summary().fields
        except RehomeError:
            return None
        return self.record.write(fields, text=True)

    @contextmanager
    def locked_unless_dry(self) -> Iterator[None]:
        """Lock the migration in the database for the length of the block, unless this is a dry run.

        The lock on the state folder does not keep out another machine, which has another folder.
        """
        if self.dry_run:
            yield
            return
        row = ControlRowDoor(
            self.controls,
            self.settings.journal_schema,
            self.settings.name,
            self.settings.tunable,
            lambda: {**self._who, **self.progress.snapshot()},
        )
        with migration_lock(self.settings.database, self.settings.name, row) as lock:
            self._locks.append(lock)
            yield

    @contextmanager
    def stoppable(self, catalog: Catalog) -> Iterator[Run]:
        """Yield a run over `catalog` that ends by itself when it is to stop, for the length of the block.

        A lock that is lost to another run stops it, too.
        Raises StopRequestedError at the end of the block if it is to stop, or RehomeError for a lost lock, so that the
        work does not count as finished.
        """
        with self.stopping.finishing(), self._watched():
            yield self.on(catalog, lambda: self.stopping.requested or any(lock.lost for lock in self._locks))
        for lock in self._locks:
            lock.require()

    def _watched(self) -> AbstractContextManager[object]:
        """Hear the control file for the length of a block. A dry run writes nothing that could be paused."""
        if self.dry_run:
            return nullcontext()
        return ControlFileWatch(self.controls, self.settings.state_dir, self.settings.tunable, self.progress)

    @property
    def _who(self) -> dict[str, object]:
        """Who works, for those who only see the control row."""
        return {"host": socket.gethostname(), "user": user_name(), "pid": self.run_pid, "job": job_words(self.job)}

    def release(self) -> None:
        """Release the lock on the state folder: the run is over."""
        with suppress(OSError):  # a full disk must not keep the folder locked
            self.progress.finish()
        release(self.settings.state_dir, self.run_pid)

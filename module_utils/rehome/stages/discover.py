"""Find every column that names objects of the source. Reads only, and goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from ..codes import Code
from ..config.settings import Settings
from ..db import journal
from ..db.engines.open import connect
from ..db.throttle.assemble import throttle
from ..discover.listing import last_listing
from ..discover.record import TEXT_FILE, Record, Unfinished, searched_for, write_record
from ..discover.search import Asked, InterruptedSearchError, Watch, search
from ..discover.spoken import texts_for
from ..discover.words import text
from ..errors import RefusedError
from ..files import write_whole
from ..progress import Progress


def discover(settings: Settings, progress: Progress, stopping: Callable[[], bool]) -> Record | None:
    """Search the database, and keep what was found in the state folder; None if it was to stop.

    Raises RefusedError if nothing tells names from other texts, or the database cannot be reached, and DatabaseError.
    """
    unfinished = Unfinished(settings)
    with last_listing(settings) as listing:
        if listing is None and not (settings.source.prefix or texts_for(settings.keymap).hint):
            raise RefusedError.of(
                "rehome_source.prefix",
                settings.source.prefix,
                "is empty, and no glob has a text of its own: nothing tells the names of objects from other texts",
                "Run playbooks/plan.yml first, whose listing of the source tells them",
                code=Code.NOTHING_TELLS_NAMES,
            )
        asked = Asked(
            source=settings.source,
            prefix=settings.source.prefix,
            include=settings.include,
            exclude=settings.exclude,
            schemas=settings.discover.schemas,
            references=settings.references,
            ours=_ours(settings),
            whole=settings.discover.whole,
            exists=listing.exists if listing else None,
        )
        progress.stage("search the columns")
        with connect(settings.database) as database, throttle(_gentle(settings), progress) as throttling:

            def wait(busy_s: float) -> None:
                throttling.record(busy_s)
                throttling.wait(stopping, keep_alive=database.keep_alive)

            def at(done: int, total: int, found: int) -> None:
                if done == 0:
                    progress.stage("search the columns", total)
                progress.at(done, naming_objects=found)

            watch = Watch(wait, stopping, at, unfinished.done, unfinished.reached)
            try:
                columns = search(database, settings.database, asked, watch, unfinished.tables, unfinished.position)
            except InterruptedSearchError:
                unfinished.write()
                return None
    record = Record(
        searched_for=searched_for(settings),
        place=settings.place,
        began=unfinished.began,
        ended=datetime.now(UTC).isoformat(timespec="milliseconds"),
        whole=settings.discover.whole,
        listing=listing.objects if listing else None,
        columns=tuple(columns),
    )
    write_whole(settings.state_dir / TEXT_FILE, text(record))
    write_record(settings.state_dir, record)
    return record


def _ours(settings: Settings) -> tuple[tuple[str, str], ...]:
    schema = settings.journal_schema
    return (schema, journal.TABLE), ("", f"{schema}_{journal.TABLE}")


def _gentle(settings: Settings) -> Settings:
    """Return the settings of a throttle for work that writes nothing: it waits for no replica, log or vacuum."""
    limits = replace(settings.throttle, max_lag_s=0, replicas=(), max_redo_ratio=0, max_dead_ratio=0)
    return replace(settings, references=(), throttle=limits)

"""Look at a run that is at work, and tell it to pause, to go on, or to keep other limits, without taking its lock."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from ..codes import Code
from ..config.settings import Settings
from ..control.orders import (
    NOTHING,
    Order,
    OrderError,
    difference,
    limits_as_written,
    merged_limits,
    plain,
    with_limits,
)
from ..control.words import FINISHED, Standing, moment, status_lines
from ..db.control import ControlRow
from ..db.dialect import DatabaseError, Dialect
from ..db.engines.open import connect
from ..errors import RefusedError, RehomeError
from ..job import Job, job_words, user_name
from ..progress import FILE as PROGRESS_FILE
from ..state.control_file import control_file, file_door, read_control_file, write_control_file
from ..state.control_row import order_in, row_door
from ..state.folder import prepare_state_dir
from ..state.lock import Holder, holder_of

Action = Literal["status", "pause", "resume", "set"]
DoorChoice = Literal["auto", "file", "database"]
FRESH_S: Final = 30.0
"""A run says in its row how far it is every few seconds; what is older was said by one that is no more."""
TAKEN_UP_S: Final = 10.0
"""How long to wait until the run says that it has taken the order up."""
POLL_S: Final = 0.1
SETTING: Final = "do"


@dataclass(frozen=True, slots=True)
class Controlled:
    """What became of an order, or of the question how things stand."""

    lines: list[str]
    changed: bool
    standing: Standing
    did: str


def control_run(
    settings: Settings,
    action: Action,
    limits: Mapping[str, str],
    door: DoorChoice,
    *,
    job: Job | None = None,
    dry_run: bool = False,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Controlled:
    """Do what is asked of the run of these settings, and return how it stands then.

    limits: for the action `set`: name → what the operator has written
    door: `auto` is the state folder of a run that works in it, else the database
    Raises RefusedError if nothing is at work, the values are no limits, or the door cannot be used.
    """
    if bool(limits) != (action == "set"):
        raise _unusable("set", limits)
    _limited(NOTHING, limits, settings)  # what is no limit anywhere is said first
    with _Look(settings) as look:
        standing = look.standing(clock())
        if action == "status":
            return Controlled(status_lines(standing, clock()), False, standing, _did(standing))
        doors = _doors(look, standing, action, door, limits)
        changed = [way for way in doors if way.give(_asked(way, action, limits, settings, job, clock()), dry_run)]
        if changed and not dry_run and standing.place != "nowhere":
            _await(look, clock, sleep)
        after = look.standing(clock())
        asked = f"{'would be ' if dry_run else ''}{_SAID[action]}"
        said = f"{asked} in {' and '.join(way.name for way in changed)}" if changed else f"nothing to do: {action}"
        return Controlled([said, *status_lines(after, clock())], bool(changed), after, _did(after))


_SAID: Final = {"pause": "paused", "resume": "resumed", "set": "set"}


class _Look:
    """What the state folder and the database say, on one connection. Used as a context manager."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database: Dialect | None = None
        self.closed = ""
        self._connection: Any = None

    def __enter__(self) -> _Look:
        try:
            self._connection = connect(self.settings.database)
            self.database = self._connection.__enter__()
        except RehomeError as error:
            self.closed = str(error)
        return self

    def __exit__(self, *error: object) -> None:
        if self.database is not None:
            self._connection.__exit__(*error)

    @property
    def table(self) -> str:
        if self.database is None:
            return f"{self.settings.journal_schema}.control"
        return self.database.control_table(self.settings.journal_schema).replace("%%", "%")

    def row(self) -> ControlRow | None:
        """Raises DatabaseError."""
        assert self.database is not None  # noqa: S101 - the callers have looked
        return self.database.read_control(self.settings.journal_schema, self.settings.name)

    def standing(self, now: float) -> Standing:
        """Return what is known of the run."""
        settings, notes, orders = self.settings, list[str](), dict[str, Order]()
        try:
            orders[file_door(settings.state_dir).name] = read_control_file(
                control_file(settings.state_dir), settings.tunable
            )
        except OrderError as error:
            notes.append(f"{control_file(settings.state_dir)}: {error}; it changes nothing")
        said, locked_by = self._database(now, orders, notes)
        holder = holder_of(settings.state_dir) if settings.state_dir.is_dir() else None
        if holder is not None:
            progress = self._progress(holder)
            return _standing(settings, "here", _who(holder), progress, orders, notes)
        if locked_by or (said and not said.get("ended") and _age(said, now) < FRESH_S):
            return _standing(settings, "elsewhere", _elsewhere(said, locked_by), said, orders, notes)
        return _standing(settings, "nowhere", "", said, orders, notes)

    def _database(self, now: float, orders: dict[str, Order], notes: list[str]) -> tuple[Mapping[str, Any], str]:
        """Return what a run has said in the row, and who holds the lock."""
        if self.database is None:
            notes.append(f"the database cannot be reached: {self.closed}")
            return {}, ""
        locked_by, said = "", dict[str, Any]()
        with suppress(DatabaseError):
            holder = self.database.lock_holder(self.settings.name)
            locked_by = holder.words if holder else ""
        try:
            row = self.row()
        except DatabaseError as error:
            notes.append(f"{self.table}: this door is shut ({error})")
            return {}, locked_by
        if row is not None:
            with suppress(ValueError, TypeError):
                said = dict(json.loads(row.run_says or "{}"))
            try:
                orders[row_door(self.table, self.settings.name).name] = order_in(row, self.settings.tunable)
            except OrderError as error:
                notes.append(f"{self.table}: {error}; it changes nothing")
        return said, locked_by

    def _progress(self, holder: Holder) -> Mapping[str, Any]:
        try:
            progress = dict(json.loads((self.settings.state_dir / PROGRESS_FILE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return {}
        return progress if progress.get("run") == holder.identity else {}


def _standing(
    settings: Settings,
    place: Any,
    who: str,
    progress: Mapping[str, Any],
    orders: Mapping[str, Order],
    notes: list[str],
) -> Standing:
    told = [str(note) for note in (progress.get("control") or {}).get("notes", ())]
    return Standing(settings.name, place, who, progress, orders, tuple(dict.fromkeys([*notes, *told])))


def _who(holder: Holder) -> str:
    job = f" ({holder.job})" if holder.job else ""
    where = "" if holder.host == socket.gethostname() else ", as this state folder says"
    return f"{holder.verb}, process {holder.pid} of {holder.user} on {holder.host}{job}, since {holder.since}{where}"


def _elsewhere(said: Mapping[str, Any], locked_by: str) -> str:
    words = []
    if said and not said.get("ended"):
        job = f" ({said['job']})" if said.get("job") else ""
        words.append(f"{said.get('verb')}, process {said.get('pid')} of {said.get('user')} on {said.get('host')}{job}")
        words.append(f"as it said at {said.get('at')}")
    if locked_by:
        words.append(f"its lock in the database is held by {locked_by}")
    return ", ".join(words)


def _age(said: Mapping[str, Any], now: float) -> float:
    try:
        return now - datetime.fromisoformat(str(said.get("at"))).timestamp()
    except ValueError:
        return float("inf")


class _FileWay:
    """The control file, to be written."""

    def __init__(self, look: _Look) -> None:
        self._look = look
        self._path = control_file(look.settings.state_dir)
        self.name = str(self._path)

    def now(self) -> Order:
        try:
            return read_control_file(self._path, self._look.settings.tunable)
        except OrderError:
            return NOTHING

    def give(self, order: Order, dry_run: bool) -> bool:
        """Write the order, and return whether it asks for anything else than before."""
        with suppress(OrderError):  # a file that cannot be followed is replaced
            if not difference(read_control_file(self._path, self._look.settings.tunable), order):
                return False
        if not dry_run:
            prepare_state_dir(self._path.parent)
            try:
                write_control_file(self._path, order)
            except OSError as error:
                raise RefusedError.of(
                    "rehome_state_dir",
                    str(self._path.parent),
                    f"{self._path.name} cannot be written ({error.strerror})",
                    "Run it as the user who runs the migration, or reach the run by the database with -e door=database",
                    code=Code.DOOR_SHUT,
                ) from error
        return True


class _RowWay:
    """The control row, to be written."""

    def __init__(self, look: _Look) -> None:
        self._look = look
        self.name = look.table

    def now(self) -> Order:
        try:
            row = self._look.row()
            return NOTHING if row is None else order_in(row, self._look.settings.tunable)
        except (OrderError, DatabaseError):
            return NOTHING

    def give(self, order: Order, dry_run: bool) -> bool:
        """Write the order, and return whether it asks for anything else than before."""
        if not difference(self.now(), order):
            return False
        settings, database = self._look.settings, self._look.database
        assert database is not None  # noqa: S101 - without it there is no such way
        limits = json.dumps(limits_as_written(order.limits)) if order.limits else None
        if not dry_run:
            try:
                if database.read_control(settings.journal_schema, settings.name) is None:
                    database.add_control(settings.journal_schema, settings.name)
                database.order_control(
                    settings.journal_schema, settings.name, paused=order.paused, settings=limits, asked_by=order.by
                )
            except DatabaseError as error:
                statement = (
                    f"UPDATE {self.name} SET paused = {'TRUE' if order.paused else 'FALSE'} WHERE migration = "
                    f"'{settings.name}'"
                )
                raise RefusedError.of(
                    "rehome_database.user",
                    settings.database.user,
                    f"{self.name} cannot be written: {error}",
                    f"Let grants set up its rights, or let somebody who may run {statement}",
                    code=Code.DOOR_SHUT,
                ) from error
        return True


Way = _FileWay | _RowWay


def _doors(look: _Look, standing: Standing, action: Action, door: DoorChoice, limits: Mapping[str, str]) -> list[Way]:
    """Return the doors by which to give the order. Raises RefusedError."""
    ways: dict[str, Callable[[], Way]] = {"file": lambda: _FileWay(look), "database": lambda: _RowWay(look)}
    if look.database is None and (door == "database" or (door == "auto" and standing.place == "elsewhere")):
        raise RefusedError.of(
            "rehome_database",
            look.settings.database.host,
            f"cannot be reached: {look.closed}",
            "Correct what it names, or give the order on the machine where the run works",
            code=Code.DOOR_SHUT,
        )
    if door != "auto":
        return [ways[door]()]
    if action == "resume" and standing.place != "here":
        # a pause that was left on, by whichever door
        made = [way() for name, way in ways.items() if name == "file" or look.database is not None]
        return [way for way in made if way.now().paused]
    if standing.place == "nowhere":
        given = action if action == "pause" else f"set {' '.join(f'{name}={text}' for name, text in limits.items())}"
        raise RefusedError.of(
            SETTING,
            given,
            f"nothing is at work: no run has locked {look.settings.state_dir}, and none is seen in the database"
            + (f" ({standing.notes[0]})" if look.database is None else ""),
            "To have the next run begin with it, give it with -e door=file; do=status tells what is known",
            code=Code.NOTHING_RUNS,
        )
    return [ways["file" if standing.place == "here" else "database"]()]


def _asked(
    way: Way, action: Action, limits: Mapping[str, str], settings: Settings, job: Job | None, now: float
) -> Order:
    before = way.now()
    order = replace(before, by=plain(job_words(job) or f"{user_name()}@{socket.gethostname()}"), since=moment(now))
    if action == "pause":
        return before if before.paused else replace(order, paused=True)
    if action == "resume":
        return replace(order, paused=False)
    return _limited(order, limits, settings)


def _limited(order: Order, limits: Mapping[str, str], settings: Settings) -> Order:
    try:
        return with_limits(order, limits, settings.tunable)
    except OrderError as error:
        name = next((name for name in limits if str(error).startswith(name)), "set")
        raise RefusedError.of(
            name,
            plain(limits.get(name)),
            str(error).partition(") ")[2] or str(error),
            "Nothing has changed",
            code=Code.ORDER_UNUSABLE,
        ) from error


def _unusable(action: str, limits: Mapping[str, str]) -> RefusedError:
    if limits:
        given = " ".join(f"{name}={plain(text)}" for name, text in limits.items())
        problem, way_out = f"limits are given ({given}), and it does not say set", "Add -e do=set"
        return RefusedError.of(SETTING, None, problem, way_out, code=Code.ORDER_UNUSABLE)
    way_out = "Name at least one, such as -e requests=32 or -e objects_per_second=200; docs/control.md lists them"
    return RefusedError.of(SETTING, action, "no limit is given", way_out, code=Code.ORDER_UNUSABLE)


def _await(look: _Look, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
    """Wait until the run says that it has taken up what is asked. A stage that only reads never does."""
    until = clock() + TAKEN_UP_S
    while clock() < until:
        standing = look.standing(clock())
        control = standing.progress.get("control")
        limits = limits_as_written(merged_limits(standing.orders.values()))
        if not control or (control.get("paused"), control.get("set")) == (standing.paused, limits):
            return
        sleep(POLL_S)


def _did(standing: Standing) -> str:
    if standing.place == "nowhere":
        return "nothing is at work"
    stage = standing.progress.get("stage")
    state = "paused" if (standing.progress.get("control") or {}).get("paused") else "at work"
    return f"{state}, in {stage}" if stage and stage != FINISHED else state

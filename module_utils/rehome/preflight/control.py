"""Whether the run that begins is paused already, and whether a DBA can pause it by the control row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..checks import Check, warn
from ..codes import Code
from ..config.settings import Settings
from ..control.controls import Controls, Door
from ..control.orders import Order, OrderError, limits_as_written
from ..db.dialect import DatabaseError, Dialect, MissingRightError
from ..state.control_file import control_file, file_door, read_control_file
from ..state.control_row import order_in, row_door

NAME = "control"
_TRIAL = ".trial"
"""The name of a row that is added and rolled back: no migration has it."""


def check_control(database: Dialect, settings: Settings, dry_run: bool) -> list[Check]:
    """Return what operators have asked of the next run, and which right the control row lacks.

    dry_run: the rights to write are not tried, and a table that is not there yet is not missed: the run makes it
    """
    checks = list(_asked("this machine", file_door(settings.state_dir), lambda: _file_order(settings)))
    schema, name = settings.journal_schema, settings.name
    table = database.control_table(schema).replace("%%", "%")
    missing, is_there = _missing(database, schema, dry_run)
    if "SELECT" not in missing:
        door = row_door(table, name)
        checks += _asked("database", door, lambda: _row_order(database, settings))
    if missing and (is_there or not dry_run):
        found = f"this user has no {' and no '.join(missing)} on {table}: {next(iter(missing.values()))}"
        use = "a DBA cannot pause the run by its row there; control.yml on this machine can"
        needs = use if "SELECT" in missing else "the run does not say there how far it is"
        checks.append(Check("database", NAME, "info", f"{found}; {needs}"))
    return checks


def _missing(database: Dialect, schema: str, dry_run: bool) -> tuple[dict[str, str], bool]:
    """Return the rights that are missing, with what the server says, and whether the table is there."""
    needed: dict[str, Callable[[], object]] = {"SELECT": lambda: database.read_control(schema, _TRIAL)}
    if not dry_run:
        needed["INSERT"] = lambda: database.add_control(schema, _TRIAL)
        needed["UPDATE"] = lambda: database.say_control(schema, _TRIAL, "")
    missing: dict[str, str] = {}
    for right, attempt in needed.items():
        try:
            if right == "SELECT":
                attempt()
            else:
                with database.rolling_back(), database.transaction():
                    attempt()
        except DatabaseError as error:
            missing[right] = str(error)
            if not isinstance(error, MissingRightError):
                return missing, False
    return missing, True


def _file_order(settings: Settings) -> Order:
    return read_control_file(control_file(settings.state_dir), settings.tunable)


def _row_order(database: Dialect, settings: Settings) -> Order:
    row = database.read_control(settings.journal_schema, settings.name)
    return Order() if row is None else order_in(row, settings.tunable)


def _asked(subject: str, door: Door, read: Callable[[], Order]) -> Iterator[Check]:
    try:
        order = read()
    except OrderError as error:
        yield warn(subject, NAME, f"{door.name}: {error}; it changes nothing", code=Code.ORDER_UNUSABLE)
        return
    controls = Controls()
    controls.hear(door, order)
    if pause := controls.pause:
        why = pause.why.partition("; ")[0]
        yield warn(
            subject, NAME, f"a run will wait as soon as it would write: {why}", pause.way_out, code=Code.STILL_PAUSED
        )
    if order.limits:
        words = ", ".join(f"{name}={value}" for name, value in limits_as_written(order.limits).items())
        yield Check(subject, NAME, "info", f"limits that were set in {door.name} are in force: {words}")

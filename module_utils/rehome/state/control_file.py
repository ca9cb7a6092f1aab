"""The control file: what an operator asks of the run that works in this state folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from ..control.controls import Controls, Door
from ..control.orders import NOTHING, Order, OrderError, Range, document_of, read_order
from ..files import write_json
from ..progress import Progress

FILE: Final = "control.json"
LOOK_EVERY_S: Final = 0.5
END_TIMEOUT_S: Final = 5.0
"""How long the end of a stage waits for a look at a folder on a disk that hangs."""


def control_file(state_dir: Path) -> Path:
    """Return where the control file is, if there is one."""
    return state_dir / FILE


def file_door(state_dir: Path) -> Door:
    """Return the control file as a door."""
    path = control_file(state_dir)
    return Door(str(path), "resume with playbooks/control.yml -e do=resume, or delete the file")


def read_control_file(path: Path, allowed: Mapping[str, Range]) -> Order:
    """Return what the control file asks; `NOTHING` if there is none.

    Raises OrderError if it cannot be read or followed.
    """
    try:
        return read_order(json.loads(path.read_bytes()), allowed)
    except FileNotFoundError:
        return NOTHING
    except OSError as error:
        raise OrderError(f"it cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise OrderError(f"it is not JSON: {error}") from error


def write_control_file(path: Path, order: Order) -> None:
    """Replace the control file; an order that asks for nothing removes it. Raises OSError."""
    document = document_of(order)
    if order.paused or order.limits:
        write_json(path, document)
    else:
        path.unlink(missing_ok=True)


class ControlFileWatch:
    """A thread that hears the control file, and shows in the progress what is in force, for the length of a block.

    allowed: see `read_order`
    """

    def __init__(self, controls: Controls, state_dir: Path, allowed: Mapping[str, Range], progress: Progress) -> None:
        self._controls = controls
        self._path = control_file(state_dir)
        self._door = file_door(state_dir)
        self._allowed = allowed
        self._progress = progress
        self._seen: object = None
        self._shown: object = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self.look()  # what is there already counts from the first object on
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(END_TIMEOUT_S)

    def look(self) -> None:
        """Hear the file if it has changed, and show what is in force."""
        now = self._signature()
        if now != self._seen:
            self._seen = now
            try:
                self._controls.hear(self._door, read_control_file(self._path, self._allowed))
            except OrderError as error:
                self._controls.refuse(self._door, str(error))
        shown = self._controls.snapshot()
        if shown != self._shown:
            self._shown = shown
            self._progress.control(shown)

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self.look()

    def _signature(self) -> object:
        try:
            found = self._path.stat()
        except OSError as error:
            return error.errno
        return found.st_ino, found.st_mtime_ns, found.st_size

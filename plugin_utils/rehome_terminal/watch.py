"""Show a task while it runs: a block that is redrawn in place on a terminal, and lines elsewhere."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast

from rich.console import Console
from rich.live import Live

from .block import Block
from .lines import FIRST_LINE_S, LINE_AT_LEAST_EVERY_S, LINE_EVERY_S, progress_line, until_next_line
from .pace import Pace
from .stages import heading

LOOK_EVERY_S: Final = 0.05
"""So soon is an interrupt noticed, before the worker says how far the module came."""
REDRAW_EVERY_S: Final = 0.3
LAST_STEP: Final = "REHOME_LAST_STEP"
"""The variable by which the action plugin tells which module runs last (`plugin_utils/foreground.py`)."""


class Terminal(io.TextIOBase):
    """The terminal by its descriptor: no buffer that a forked worker would write a second time."""

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__()
        self._fd = os.dup(sys.stdout.fileno())
        self._encoding = "ascii" if ascii_only else "utf-8"

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What the terminal shows."""
        return self._encoding

    def isatty(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def write(self, text: str) -> int:
        """Write at once. A terminal that is gone is no error: whoever runs the modules notices it."""
        data = text.encode(self._encoding, "replace")
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._fd, data) :]
        return len(text)


class Screen(Console):
    """The console of the block. It never hides the cursor: a run that is killed would leave it hidden."""

    def __init__(self, *, ascii_only: bool, color: bool) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        super().__init__(
            file=cast(IO[str], Terminal(ascii_only=ascii_only)),
            force_terminal=True,
            color_system="standard" if color else None,
            no_color=not color,
            highlight=False,
            markup=False,
            emoji=False,
            _environ=environment,  # the terminal itself says how wide it is, also after it was resized
        )

    def show_cursor(self, show: bool = True) -> bool:
        """Leave the cursor as it is."""
        return False


class Above(io.TextIOBase):
    """What others print while the block is there: it makes room first, and comes back below it.

    make_room: takes the block away
    """

    def __init__(self, file: IO[str], make_room: Callable[[str], AbstractContextManager[None]]) -> None:
        super().__init__()
        self.file, self._make_room = file, make_room

    def write(self, text: str) -> int:
        """Write in place of the block."""
        with self._make_room(text):
            return self.file.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def flush(self) -> None:
        """Flush the file."""
        self.file.flush()

    def isatty(self) -> bool:
        """Return what the file says."""
        return self.file.isatty()

    def fileno(self) -> int:
        """Return the file's descriptor."""
        return self.file.fileno()


@dataclass(frozen=True)
class Running:
    """A task that runs.

    name: of the task
    stage: of the run, if the task is one
    quiet: it may ask somebody something, so that nothing is to be drawn
    began: Unix time
    """

    name: str
    stage: str | None
    quiet: bool = False
    began: float = field(default_factory=time.time)

    @property
    def at(self) -> str:
        """The clock at its begin."""
        return clock(self.began)


def clock(at: float) -> str:
    """Return the time of day as everywhere in Rehome: in UTC."""
    return f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%H:%M:%S} UTC"


def snapshot_of_run(since: float) -> dict[str, Any]:
    """Return what progress.json says of a stage of this process that began after `since`; nothing if there is none."""
    pid = os.getpid()
    playbook, _, fd = os.environ.get(LAST_STEP, "").partition(":")
    if playbook != str(pid):
        return {}
    try:
        step = json.loads(os.pread(int(fd), 65536, 0))
        found = json.loads((Path(step["state_dir"]) / "progress.json").read_text(encoding="utf-8"))
        ours = f":{pid}:" in found["run"] and found["began"] >= since
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if ours else {}


def is_ending() -> bool:
    """Return whether Ansible has been interrupted: it leaves a second interrupt to the kernel."""
    return signal.getsignal(signal.SIGINT) is signal.SIG_DFL


class Watch:
    """Shows one running task, from `start` to `stop`, in a thread.

    screen: where the block is drawn; None: lines are said instead
    say: prints a line that stays
    read: returns the present snapshot of a task that began at this time
    """

    def __init__(
        self,
        running: Running,
        screen: Screen | None,
        say: Callable[[str], None],
        read: Callable[[float], Mapping[str, Any]] = snapshot_of_run,
    ) -> None:
        self.running = running
        self.said_heading = False
        self._screen, self._say, self._read = screen, say, read
        self._snapshot: Mapping[str, Any] = {}
        self._pace = Pace()
        self._over = threading.Event()
        self._live: Live | None = None
        self._drawing = threading.RLock()
        """Held while the block changes, and while others print. Whoever holds it takes no lock of Ansible's."""
        self._begins_line = True
        self._thread = threading.Thread(target=self._run, name="rehome-terminal", daemon=True)

    @property
    def heading(self) -> str:
        """The name of the stage, or of the task."""
        return heading(self.running.stage, self._snapshot) if self.running.stage else self.running.name

    def start(self) -> None:
        """Begin to show it."""
        self._thread.start()

    def stop(self) -> None:
        """Take away what is not to stay. The heading is that of the last snapshot."""
        self._over.set()
        self._thread.join()
        self._erase()
        for name in ("stdout", "stderr"):
            if isinstance(file := getattr(sys, name), Above):
                setattr(sys, name, file.file)
        self._look()

    def _run(self) -> None:
        with contextlib.suppress(Exception):  # what shows a run must not end it
            try:
                self._redraw_until_over() if self._screen and not self.running.quiet else self._tell_until_over()
            finally:
                self._erase()

    def _redraw_until_over(self) -> None:
        due = time.monotonic()
        while not self._over.wait(LOOK_EVERY_S):
            if is_ending():
                self._erase()
                self._say(f"stopping: {self.heading} ends what is in flight")
                return
            if time.monotonic() >= due:
                due = time.monotonic() + REDRAW_EVERY_S
                self._look()
                if self._snapshot or self._elapsed_s >= FIRST_LINE_S:
                    self._draw()

    def _draw(self) -> None:
        now = time.time()
        self._pace.add(self._snapshot, now)
        block = Block(self.running.at, self.heading, self._snapshot, self._pace, self._elapsed_s, now)
        self._redirect()
        with self._drawing:
            if not self._begins_line:
                return
            if self._live is None:
                self._live = Live(
                    block,
                    console=self._screen,
                    auto_refresh=False,
                    transient=True,
                    vertical_overflow="crop",
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._live.start(refresh=True)
            else:
                self._live.update(block, refresh=True)

    def _erase(self) -> None:
        with self._drawing:
            live, self._live = self._live, None
            if live is not None:
                live.stop()

    def _redirect(self) -> None:
        """Have what others print appear above the block."""
        for name in ("stdout", "stderr"):
            file = getattr(sys, name)
            if not isinstance(file, Above) and file.isatty():
                file.flush()
                setattr(sys, name, Above(file, self._room_for))

    @contextlib.contextmanager
    def _room_for(self, text: str) -> Iterator[None]:
        with self._drawing:
            self._erase()
            yield
            self._begins_line = text.endswith("\n") if text else self._begins_line

    def _tell_until_over(self) -> None:
        due = FIRST_LINE_S if self.running.stage else LINE_EVERY_S
        while not self._over.wait(LOOK_EVERY_S * 4):
            if self._elapsed_s < due:
                continue
            self._look()
            if self.running.stage and not self._snapshot and self._elapsed_s < LINE_EVERY_S:
                continue  # its module is only starting, and the heading is to have the pass
            if self.running.stage or self._snapshot:
                due = self._elapsed_s + until_next_line(self._elapsed_s)
                begins = not self.said_heading and str(self._snapshot.get("stage", "start")).startswith("start")
                self._say_heading()
                if not begins:  # the heading says it
                    self._say(self._line())
            elif not self.running.quiet:
                due = self._elapsed_s + LINE_AT_LEAST_EVERY_S
                self._say(self._line())

    def _say_heading(self) -> None:
        if not self.said_heading:
            self._say(f"{self.running.at}  {self.heading}")
            self.said_heading = True

    def _line(self) -> str:
        with contextlib.suppress(KeyError, TypeError, ValueError, ZeroDivisionError):
            if self._snapshot:
                return progress_line(self._snapshot)
        return f"  {self.running.name}  for {datetime.timedelta(seconds=round(self._elapsed_s))}"

    @property
    def _elapsed_s(self) -> float:
        return max(time.time() - self.running.began, 0.0)

    def _look(self) -> None:
        self._snapshot = self._read(self.running.began) or self._snapshot

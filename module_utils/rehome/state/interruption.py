"""The last line of a run that was interrupted: also in the state folder, as the terminal may be gone by then."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..files import write_whole
from ..progress import Progress

FILE = "interrupted.txt"


def interruption(verb: str, progress: Progress, *, in_time: bool) -> str:
    """Return how far an interrupted run came, and how to go on.

    verb: the playbook's name
    in_time: whether the stage has ended by itself, rather than in the middle of its work
    """
    recorded = "what was done is recorded" if in_time else "it was ended in the middle of its work"
    return (
        f"interrupted: {verb} was stopped {progress.reached()}; {recorded}, and the next run settles what was in "
        "flight. Run the same command to go on."
    )


def note_interruption(state_dir: Path, line: str) -> None:
    """Keep the line in the state folder, as far as that is possible."""
    with suppress(OSError):
        write_whole(state_dir / FILE, f"{line}\n")


def forget_interruption(state_dir: Path) -> None:
    """Remove the line of an earlier run: this one goes on."""
    (state_dir / FILE).unlink(missing_ok=True)

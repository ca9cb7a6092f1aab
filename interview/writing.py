"""Write several files, all of them or none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from rehome.codes import Code
from rehome.errors import RefusedError


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to write. private: readable by its owner only"""

    content: bytes
    private: bool = False


def write_all(files: Mapping[Path, NewFile]) -> None:
    """Write each file whole, and all of them: whatever fails or interrupts, the files are as they were.

    Raises RefusedError if a file cannot be written.
    """
    with ExitStack() as done, ExitStack() as undo:
        try:
            made = {path: _prepare(path, new, undo) for path, new in files.items()}
            for path, temporary in made.items():
                _replace(path, temporary, undo, done)
        except OSError as error:
            way_out = "Make the folder writable, or name another (INVENTORY=…)"
            raise RefusedError.of(
                "INVENTORY",
                str(error.filename or ""),
                f"cannot be written ({error.strerror})",
                way_out,
                Code.NOT_WRITABLE,
            ) from None
        undo.pop_all()


def _prepare(path: Path, new: NewFile, undo: ExitStack) -> Path:
    """Write the content beside the file, and return where."""
    _make_folders(path.parent, undo)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    undo.callback(lambda: temporary.unlink(missing_ok=True))
    with os.fdopen(descriptor, "wb") as file:
        file.write(new.content)
        file.flush()
        os.fsync(file.fileno())
    temporary.chmod(_mode(path, new))
    return temporary


def _mode(path: Path, new: NewFile) -> int:
    if new.private:
        return 0o600
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _make_folders(folder: Path, undo: ExitStack) -> None:
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir()
        undo.callback(_remove_folder, one)


def _remove_folder(folder: Path) -> None:
    with suppress(OSError):  # somebody else's files came into it
        folder.rmdir()


def _replace(path: Path, temporary: Path, undo: ExitStack, done: ExitStack) -> None:
    if path.exists():
        backup = temporary.with_name(f"{temporary.name}.old")
        os.link(path, backup)
        undo.callback(backup.replace, path)
        done.callback(lambda: backup.unlink(missing_ok=True))
    else:
        undo.callback(lambda: path.unlink(missing_ok=True))
    temporary.replace(path)

"""Write files whole, and read the state files that were written so.

A file is replaced in one step: a reader, and a run that follows a kill or a power cut, finds the old content or the
new one, never a part of either.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from .codes import Code
from .errors import RehomeError

T = TypeVar("T")


def write_whole(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Replace the file at `path` by `content` (a str as UTF-8). See `replacing`."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, value: object) -> None:
    """Replace the file at `path` by `value` as indented JSON, as people read it."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Generator[Path, None, None]:
    """Yield a temporary file in the folder of `path`, which takes the place of `path` when the block ends.

    The file is created empty with mode 0600, less what the umask forbids. If the block fails, `path` stays as it was.

    durable: the content is on the disk before it replaces the old one (fsync), and so survives a power cut
    """
    temporary = path.with_name(f"{path.name}.new")
    os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    try:
        yield temporary
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json_lines(path: Path, way_out: str, *, may_be_cut: bool = False) -> Iterator[Any]:
    """Yield the value of each line of a file of JSON lines.

    may_be_cut: the file is appended to, so a last line without its newline is what a killed run left, and is skipped

    Raises RehomeError if a line is not JSON; `way_out` as in `read_json`.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if may_be_cut and not line.endswith(b"\n"):
                return
            try:
                value = json.loads(line)
            except ValueError as error:
                raise RehomeError(
                    f"{path}: line {number} is not JSON ({error}). {way_out}.", code=Code.STATE_FILE
                ) from error
            yield value


def read_json(path: Path, parse: Callable[[Any], T], way_out: str) -> T | None:
    """Return what `parse` makes of the JSON in the file at `path`; None if there is no such file.

    parse: raises KeyError, TypeError or ValueError if the JSON is not what the file should hold
    way_out: what the operator can do if the file is of no use, as a sentence without its full stop

    Raises RehomeError if the file cannot be read, is not JSON (cut short, for example), or `parse` objects.
    """
    try:
        return parse(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise RehomeError(
            f"{path} cannot be read ({error.strerror}). Run it as the user who runs the migration.",
            code=Code.STATE_FILE,
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RehomeError(
            f"{path} cannot be read ({type(error).__name__}: {error}). {way_out}.", code=Code.STATE_FILE
        ) from error

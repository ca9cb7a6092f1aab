"""`python -m sandbox.seed --objects N [--oddities] [--reset]`: fills the running sandbox."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import uvloop
from rehome.errors import RehomeError
from tqdm import tqdm

from ..__main__ import FOLDER
from ..errors import SandboxError
from ..files import read_json
from ..lifecycle import Sandbox
from .manifest import expected
from .planting import Planted, plant

LINE_EVERY_S = 10
"""Seconds between two progress lines without a terminal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Return the exit status."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()
    try:
        made = fill(
            Sandbox(options.folder.absolute()),
            objects=options.objects,
            with_oddities=options.oddities,
            reset=options.reset,
        )
    except (SandboxError, RehomeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    seconds = time.monotonic() - started
    whole = expected(options.objects, with_oddities=options.oddities)
    sys.stdout.write(
        f"The sandbox holds {whole.source_objects} objects and {whole.rows} rows of this seed; "
        f"this run put {made.objects} objects and made {made.rows} rows "
        f"in {seconds:.1f} s ({made.objects / seconds:.0f} objects/s).\n"
    )
    return 0


def fill(sandbox: Sandbox, *, objects: int, with_oddities: bool, reset: bool) -> Planted:
    """Fill a running sandbox, with a progress bar. Return what was made.

    objects: how many avatars
    with_oddities: add what real data has beside the regular
    reset: empty both buckets and the table first

    Raises SandboxError if no sandbox runs.
    """
    if (record := read_json(sandbox.record)) is None:
        raise SandboxError("no sandbox is running; start it with: make sandbox-up")
    with _bar(objects) as bar:
        return uvloop.run(
            plant(
                sandbox.store,
                sandbox.database(record["db"]),
                objects=objects,
                with_oddities=with_oddities,
                reset=reset,
                progress=bar.update,
            )
        )


def _bar(objects: int) -> tqdm[NoReturn]:
    if sys.stderr.isatty() or objects == 0:
        return tqdm(total=objects, desc="seeding", unit="object", disable=objects == 0)
    # One line each, for a log.
    line = "{desc}: {n_fmt} of {total_fmt}, {rate_fmt}, {elapsed} elapsed\n"
    return tqdm(total=objects, desc="seeding", unit="object", mininterval=LINE_EVERY_S, bar_format=line)


def _count(text: str) -> int:
    if (count := int(text)) < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.seed", description="Fill the running sandbox.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the sandbox (%(default)s)")
    parser.add_argument("--objects", type=_count, required=True, help="how many avatars")
    parser.add_argument("--oddities", action="store_true", help="add what real data has beside the regular")
    parser.add_argument("--reset", action="store_true", help="empty both buckets and the table first")
    return parser


if __name__ == "__main__":
    sys.exit(main())

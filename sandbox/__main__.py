"""`python -m sandbox up|down|status|missing` prints one line of JSON: whether anything changed, and the state."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import SandboxError
from .lifecycle import DATABASES, Sandbox

FOLDER = Path(__file__).absolute().parent.parent / ".sandbox"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Return the exit status."""
    options = _parser().parse_args(arguments)
    sandbox = Sandbox(options.folder.absolute())
    try:
        result = _run(sandbox, options)
    except SandboxError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


def _run(sandbox: Sandbox, options: argparse.Namespace) -> dict[str, Any]:
    if options.verb == "missing":
        missing = sandbox.missing(options.db)
        return {
            "changed": False,
            "programs": sorted(missing),
            "packages": sorted(set(missing.values())),
            "apt": shutil.which("apt-get") is not None,
            "root": os.geteuid() == 0,
        }
    if options.verb == "up":
        changed = sandbox.up(options.db)
    elif options.verb == "down":
        changed = sandbox.down()
    else:
        changed = False
    return {"changed": changed, **sandbox.status()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="Real servers for trying Rehome.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where everything is kept (%(default)s)")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, purpose in (("up", "start what isn't running"), ("missing", "say what must be installed first")):
        parser_of_verb = verbs.add_parser(verb, help=purpose)
        parser_of_verb.add_argument("--db", choices=DATABASES, default="mariadb", help="(%(default)s)")
    verbs.add_parser("down", help="end and remove everything")
    verbs.add_parser("status", help="say what runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())

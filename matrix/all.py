"""`python -m matrix.all [SERVER …]`: run the tests of each server, keep the results, write docs/servers.md."""

from __future__ import annotations

import argparse
import signal
import sys

from sandbox.errors import SandboxError

from . import page, results
from .servers import full_version
from .tried import Tried, all_tried


def main() -> int:
    """Run the servers that the command line names, or all. Return the exit status."""
    tried = all_tried()
    parser = argparse.ArgumentParser(prog="python -m matrix.all")
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"some of: {', '.join(tried)} (all)")
    parser.add_argument("--page", action="store_true", help="only write the page anew from what is kept")
    options = parser.parse_args()
    if unknown := [name for name in options.servers if name not in tried]:
        parser.error(f"{', '.join(unknown)}: no such server; there are {', '.join(tried)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [] if options.page else [tried[name] for name in options.servers or tried]
    bad = [one.name for number, one in enumerate(chosen, 1) if not _run(one, f"{number} of {len(chosen)}")]
    page.write({name: results.kept(name) for name in tried})
    sys.stderr.write(f"{page.PAGE}\n")
    if bad:
        sys.stderr.write(f"not all passed on: {', '.join(bad)}\n")
    return 1 if bad else 0


def _run(tried: Tried, place: str) -> bool:
    """Run one server's tests and keep their result. Return whether all passed."""
    sys.stderr.write(f"{tried.name} ({place})\n")
    try:
        version = full_version(tried.name)
    except SandboxError as error:
        sys.stderr.write(f"{tried.name} cannot be had: {error}\n")
        return False
    result = results.run(tried, version)
    results.keep(result)
    return result.good


if __name__ == "__main__":
    sys.exit(main())

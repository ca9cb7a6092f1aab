"""`python -m interview`: what `make init` runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rehome.errors import RehomeError

from .answers import Answers, missing
from .command_line import missing_answers, parser
from .prompts import has_terminal, prompter

INTERRUPTED = 130
"""The exit status of a program that Ctrl-C has ended, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Return the exit status."""
    options = vars(parser().parse_args(arguments))
    without_questions, plain = options.pop("yes"), options.pop("plain")
    try:
        if not without_questions and not has_terminal():
            raise missing([*missing_answers(options, os.environ), "yes"])
        if without_questions and (lacking := missing_answers(options, os.environ)):
            raise missing(lacking)
        asking = None if without_questions else prompter(os.environ, plain=plain)
        # it imports Ansible, which takes a second
        from .dialog import Interview  # noqa: PLC0415

        Interview(Answers(options, asking, _say), os.environ).hold()
    except RehomeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (KeyboardInterrupt, EOFError):
        sys.stderr.write("\nEnded. Nothing was written.\n")
        return INTERRUPTED
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())

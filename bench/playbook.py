"""`python -m bench.playbook`: the whole playbook, as a suite among the others."""

from __future__ import annotations

import sys

from .migrate import measure
from .suite import run_suite

if __name__ == "__main__":
    sys.exit(run_suite("playbook", measure))

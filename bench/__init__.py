"""Benchmarks: Rehome and its peers on the same machine, against the same servers.

`python -m bench.all` runs every suite and writes docs/benchmarks.md; `python -m bench.<suite>` runs one and prints it.
`python -m bench.scale` measures big catalogs and writes docs/scale.md.
"""

import sys
from pathlib import Path

# Rehome is run from its checkout: its engine is where Ansible expects it, not where Python looks.
_ENGINE = str(Path(__file__).absolute().parents[1] / "module_utils")
if _ENGINE not in sys.path:
    sys.path.append(_ENGINE)

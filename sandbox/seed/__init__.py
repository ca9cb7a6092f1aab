"""The sandbox's contents: avatars in `legacy-s3`, and the rows that name them.

`python -m sandbox.seed --objects N [--oddities] [--reset]`. An object is stored before its row, so an existing row
means that its object was stored: seeding again, also after a kill, only adds what has no row yet. A row counts under
its path before and after a migration, so a migrated sandbox stays as it is. `--reset` empties both buckets, the table
and Rehome's journal first: the same contents every time.
"""

import sys
from pathlib import Path

# Rehome is run from its checkout: its engine is where Ansible expects it, not where Python looks.
_ENGINE = str(Path(__file__).absolute().parents[2] / "module_utils")
if _ENGINE not in sys.path:
    sys.path.append(_ENGINE)

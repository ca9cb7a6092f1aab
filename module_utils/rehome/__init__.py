"""The engine of Rehome: a pure core (settings, key map, plan) with the effects at its edge (`s3`, `db`, files).

A room imports only rooms below it: tests/unit/test_rooms.py has the floors, CONTRIBUTING.md the map.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an inventory may name any interpreter, and every module imports this first
    raise ImportError(f"Python {sys.version.partition(' ')[0]} is older than 3.11")

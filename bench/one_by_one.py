"""`python -m bench.one_by_one DATABASE --rows N`: the script that people write.

One UPDATE for each row, one COMMIT for each thousand. It reads the rows first, all at once. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import closing
from pathlib import Path

from .application import connect

COMMIT_ROWS = 1_000


def main() -> int:
    """Rewrite so many rows. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.one_by_one")
    parser.add_argument("database", type=Path, help="a file with a `rehome_database` in it")
    parser.add_argument("--rows", type=int, required=True)
    options = parser.parse_args()
    with closing(connect(json.loads(options.database.read_text()))) as connection, connection.cursor() as cursor:
        began = time.monotonic()
        cursor.execute("SELECT id, path FROM avatars WHERE path LIKE 'image/%%' ORDER BY id LIMIT %s", (options.rows,))
        rows = cursor.fetchall()
        for start in range(0, len(rows), COMMIT_ROWS):
            cursor.execute("BEGIN")
            for number, path in rows[start : start + COMMIT_ROWS]:
                cursor.execute(
                    "UPDATE avatars SET path = %s WHERE id = %s", (path.replace("image/", "avatar/", 1), number)
                )
            cursor.execute("COMMIT")
        took = time.monotonic() - began
    sys.stdout.write(json.dumps({"rows": len(rows), "wall_s": took}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

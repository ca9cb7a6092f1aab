"""`python -m bench.application DATABASE --rows N`: an application at work, until its standard input ends.

Several sessions take a turn at a fixed interval: one turn updates a row by its key, the next inserts one. A turn's time
counts from when it was due, so the turns that wait behind a slow one count too. Prints one line of JSON: the time of
each turn, in milliseconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

SESSIONS = 4
EVERY_S = 0.02


class Session(threading.Thread):
    """One connection and its turns."""

    def __init__(self, database: dict[str, Any], rows: int, number: int, over: threading.Event) -> None:
        super().__init__()
        self.ready = threading.Event()
        self.took_ms: list[float] = []
        self._database = database
        self._chance = random.Random(number)  # noqa: S311 - the same rows each time
        self._rows = rows
        self._number = number
        self._over = over

    def run(self) -> None:
        """Take turns until the end."""
        with closing(connect(self._database)) as connection, connection.cursor() as cursor:
            self.ready.set()
            due = time.monotonic() + EVERY_S * self._number / SESSIONS
            for turn in itertools.count():
                over = self._over.wait(max(0.0, due - time.monotonic()))
                if over and turn:
                    return
                self._take(cursor, turn)
                self.took_ms.append((time.monotonic() - due) * 1000)
                due += EVERY_S

    def _take(self, cursor: Any, turn: int) -> None:
        if turn % 2:
            row = self._chance.randint(1, self._rows)
            cursor.execute("UPDATE avatars SET user_id = user_id + 1 WHERE id = %s", (row,))
        else:
            path = f"avatar/new-{self._number}-{time.monotonic_ns()}.png"
            cursor.execute("INSERT INTO avatars (user_id, path) VALUES (%s, %s)", (turn, path))


def connect(database: dict[str, Any]) -> Any:
    """Return a connection that commits each statement."""
    if database["engine"] == "mariadb":
        import pymysql  # noqa: PLC0415 - an application has one of the drivers

        return pymysql.connect(
            host=database["host"],
            port=database["port"],
            user=database["user"],
            password=database["password"],
            database=database["name"],
            autocommit=True,
        )
    import psycopg  # noqa: PLC0415

    return psycopg.connect(
        host=database["host"],
        port=database["port"],
        user=database["user"],
        password=database["password"],
        dbname=database["name"],
        autocommit=True,
    )


def main() -> int:
    """Run the sessions. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.application")
    parser.add_argument("database", type=Path, help="a file with a `rehome_database` in it")
    parser.add_argument("--rows", type=int, required=True)
    options = parser.parse_args()
    database, over = json.loads(options.database.read_text()), threading.Event()
    sessions = [Session(database, options.rows, number, over) for number in range(SESSIONS)]
    for session in sessions:
        session.start()
        session.ready.wait()
    sys.stdout.write("at work\n")
    sys.stdout.flush()
    sys.stdin.read()
    over.set()
    for session in sessions:
        session.join()
    sys.stdout.write(json.dumps([took for session in sessions for took in session.took_ms]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The application whose data is migrated: a process that continuously stores, overwrites, deletes and reads pictures.

It stores an object before the row that names it, and deletes a row before its object. Its old release knows the source
only; the new release reads rows as they are and writes to the target. It logs each act to disk before it carries it
out. Acts are idempotent: one that was interrupted by a server restart or by the process's own death is repeated until
it succeeds. The log therefore says what the data must be.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.lifecycle import Sandbox
from sandbox.s3_server import SOURCE_BUCKET, TARGET_BUCKET
from tests.statements import execute

OLD, NEW = "image/", "avatar/"
BUCKETS = {OLD: SOURCE_BUCKET, NEW: TARGET_BUCKET}
LENGTH = 64
"""Bytes of every picture. All sizes are equal, so that a size never identifies a picture."""
PATIENCE_S = 60.0
RETRY_S = 0.05
CHECK_INTERVAL_S = 0.02

Verb = Literal["create", "overwrite", "replace", "delete"]
T = TypeVar("T")


def object_name(number: int, seed: int) -> str:
    """Return an object name that only the story with this seed uses, so that stray objects are detected."""
    return f"avatar-{seed}{number:04}-a.png"


def picture(name: str, version: int) -> bytes:
    """Return the content of an object: its name and version, padded to LENGTH."""
    return f"{name}|{version}|".encode().ljust(LENGTH, b".")


@dataclass(frozen=True)
class Act:
    """One change that the application makes.

    name: of the object, without its prefix; None for a deletion
    old_name: of the object that the row named before, if it is deleted
    place: where the object is stored
    ids: the rows that name it
    """

    verb: Verb
    place: str
    ids: tuple[int, ...]
    name: str | None = None
    version: int = 0
    old_name: str | None = None


@dataclass
class Data:
    """What the buckets and the table must contain according to the application's log.

    rows: id → path that the application wrote last
    stored: prefix → name → content
    ever: name → every content that the application ever stored under it, in either bucket
    cleared: names that it has deleted in the target
    """

    rows: dict[int, str] = field(default_factory=dict)
    stored: dict[str, dict[str, bytes]] = field(default_factory=lambda: {OLD: {}, NEW: {}})
    ever: dict[str, set[bytes]] = field(default_factory=dict)
    cleared: set[str] = field(default_factory=set)

    def take(self, act: Act) -> None:
        """Apply one act."""
        if act.name is not None:
            content = picture(act.name, act.version)
            self.stored[act.place][act.name] = content
            self.ever.setdefault(act.name, set()).add(content)
            # an overwrite in the source changes no row
            if act.verb != "overwrite" or act.place == NEW:
                self.rows.update(dict.fromkeys(act.ids, act.place + act.name))
        else:
            for row in act.ids:
                del self.rows[row]
        if act.old_name is not None:
            for place in _places_to_clear(act):
                self.stored[place].pop(act.old_name, None)
                if place == NEW:
                    self.cleared.add(act.old_name)

    def names(self, row: int) -> str:
        """Return the name of this row's object."""
        path = self.rows[row]
        return path.removeprefix(OLD if path.startswith(OLD) else NEW)

    def others(self, name: str, but: int) -> list[int]:
        """Return the other rows that name this object."""
        return [row for row in self.rows if row != but and self.names(row) == name]


def _now() -> str:
    return datetime.now(UTC).time().isoformat("milliseconds")


def _places_to_clear(act: Act) -> tuple[str, ...]:
    """Return the prefixes to delete from. The old release does not know the target."""
    return (OLD,) if act.place == OLD else (OLD, NEW)


def acts_on(log: Path, name: str) -> list[str]:
    """Return the log lines about the object of this name."""
    lines = log.read_text().splitlines()
    numbers = [number for number, line in enumerate(lines) if f'"{name}"' in line]
    # the line after each shows whether the act was completed before the next one began
    return [line for number in numbers for line in lines[number : number + 2]]


def read_log(log: Path) -> tuple[Data, list[str]]:
    """Return what the application's data must be, and the dangling rows that it reported."""
    data, complaints = Data(), []
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        if "complaint" in entry:
            complaints.append(entry["complaint"])
        elif "act" in entry:
            data.take(Act(**{**entry["act"], "ids": tuple(entry["act"]["ids"])}))
    return data, complaints


class RetryingClient:
    """A client of the object store and the database that retries every call until it succeeds or PATIENCE_S is over."""

    def __init__(self, folder: Path, db: str) -> None:
        sandbox = Sandbox(folder)
        self._store = sandbox.store.client(
            connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1, "mode": "standard"}
        )
        self._open = lambda: sandbox.database(db).connect("admin")
        self._mark = "?" if db == "sqlite" else "%s"
        self._connection: Any = None

    def put(self, place: str, name: str, content: bytes) -> None:
        self._persist(lambda: self._store.put_object(Bucket=BUCKETS[place], Key=place + name, Body=content))

    def delete(self, place: str, name: str) -> None:
        self._persist(lambda: self._store.delete_object(Bucket=BUCKETS[place], Key=place + name))

    def read(self, path: str) -> bytes | None:
        """Return the object that a path names, or None if it does not exist."""
        place = OLD if path.startswith(OLD) else NEW
        try:
            reply = self._persist(lambda: self._store.get_object(Bucket=BUCKETS[place], Key=path))
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return None
        return self._persist(reply["Body"].read) if reply["ContentLength"] else b""

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement in its own transaction, repeatedly until a commit is confirmed."""
        return self._persist(lambda: self._execute(statement.replace("?", self._mark), values))

    def _execute(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            if self._connection is None:
                self._connection = self._open()
            return execute(self._connection, statement, values)
        except Exception:
            lost, self._connection = self._connection, None
            if lost is not None:
                lost.close()
            raise

    def _persist(self, call: Callable[[], T]) -> T:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return call()
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] < 500 or time.monotonic() > deadline:
                    raise
            except BotoCoreError:
                if time.monotonic() > deadline:
                    raise
            except Exception as error:
                # the drivers' errors for an unavailable server and for a deadlock
                if type(error).__name__ not in _TRANSIENT or time.monotonic() > deadline:
                    raise
            time.sleep(RETRY_S)


_TRANSIENT = {
    "OperationalError",
    "InterfaceError",
    "AdminShutdown",
    "CannotConnectNow",
    "CrashShutdown",
    "DeadlockDetected",
}


class Application:
    """The process. One thread writes while ordered to; another reads continuously."""

    def __init__(self, folder: Path, db: str, log: Path, seed: int, pace_s: float, *, overwrites: bool) -> None:
        self._seed = seed
        self._dice = random.Random(seed)
        self._pace_s = pace_s
        self._place = OLD
        self._overwrites = overwrites
        self._writing, self._reading = RetryingClient(folder, db), RetryingClient(folder, db)
        self._db = db
        known = log.exists()
        self._log = log.open("a")
        self._log_lock = threading.Lock()
        self._data = read_log(log)[0] if known else Data()
        self._next = max(self._data.rows, default=0) + 1_000
        self._over = threading.Event()
        if known:
            self._finish_last(log)

    def serve(self, orders: Connection) -> None:
        """Obey "work", "pause", "switch" and "end"; confirm each order by sending it back."""
        reader = threading.Thread(target=self._check_rows, daemon=True)
        reader.start()
        at_work = False
        while True:
            if orders.poll(self._pace_s * self._dice.uniform(0.2, 2.0) if at_work else None):
                order = orders.recv()
                at_work = order == "work" if order in ("work", "pause") else at_work
                if order == "switch":
                    self._place = NEW
                if order == "end":
                    self._over.set()
                    reader.join()
                orders.send(order)
                if order == "end":
                    return
            elif at_work:
                self._do(self._choose())

    def _finish_last(self, log: Path) -> None:
        """Repeat the last act, which an earlier process may not have completed."""
        acts = [entry["act"] for entry in map(json.loads, log.read_text().splitlines()) if "act" in entry]
        if acts:
            self._carry_out(Act(**{**acts[-1], "ids": tuple(acts[-1]["ids"])}))
            self._place = NEW if any(act["place"] == NEW for act in acts) else OLD

    def _choose(self) -> Act:
        dice, data = self._dice, self._data
        self._next += 1
        name = object_name(self._next, self._seed)
        verb: Verb = dice.choice(["create", "replace", "replace", "delete", "overwrite", "overwrite"])
        if verb == "create" or not data.rows or (verb == "delete" and len(data.rows) < 8):
            return Act("create", self._place, (self._next,), name, self._next)
        row = dice.choice(list(data.rows))
        old = data.names(row)
        others = data.others(old, but=row)
        if verb == "overwrite" and self._overwrites:
            return Act(verb, self._place, (row, *others), old, self._next)
        unused = None if others else old
        if verb == "delete":
            return Act(verb, self._place, (row,), old_name=unused)
        twin = old.replace("-a.", "-A.") if "-a." in old else old.replace("-A.", "-a.")
        if dice.random() < 0.4 and twin not in data.ever:
            name = twin  # many collations consider it equal to the old name
        return Act("replace", self._place, (row,), name, self._next, unused if name != old else None)

    def _do(self, act: Act) -> None:
        self._write(act=asdict(act))
        self._data.take(act)
        self._carry_out(act)
        self._write(done=act.version)

    def _carry_out(self, act: Act) -> None:
        writing = self._writing
        path = act.place + (act.name or "")
        if act.name is not None:
            writing.put(act.place, act.name, picture(act.name, act.version))
        for row in act.ids:
            if act.verb == "create":
                writing.execute(_INSERT[self._db], row, row, path)
            elif act.verb == "delete":
                writing.execute("DELETE FROM avatars WHERE id = ?", row)
            elif act.verb == "replace" or act.place == NEW:
                writing.execute("UPDATE avatars SET path = ? WHERE id = ?", path, row)
        if act.old_name is not None:
            for place in _places_to_clear(act):
                writing.delete(place, act.old_name)

    def _check_rows(self) -> None:
        """Read random rows and their objects, as a user of the application would (P1)."""
        dice = random.Random(0)
        while not self._over.wait(CHECK_INTERVAL_S):
            rows = self._reading.execute("SELECT id, path FROM avatars")
            if rows:
                row, path = dice.choice(rows)
                if trouble := check_row(self._reading, row, path):
                    self._write(complaint=f"{trouble}, seen by the application at {_now()}")

    def _write(self, **entry: object) -> None:
        """Log an `act` before it is carried out, `done` after it, or a `complaint` about a dangling row."""
        with self._log_lock:
            self._log.write(json.dumps(entry | {"at": _now()}) + "\n")
            self._log.flush()
            os.fsync(self._log.fileno())


_INSERT = {
    "mariadb": "INSERT IGNORE INTO avatars (id, user_id, path) VALUES (?, ?, ?)",
    "postgresql": "INSERT INTO avatars (id, user_id, path) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    "sqlite": "INSERT OR IGNORE INTO avatars (id, user_id, path) VALUES (?, ?, ?)",
}
"""Idempotent: a statement whose reply was lost is sent again."""


_NAMED = re.compile(f"(?:{OLD}|{NEW})(avatar-[0-9]+-[aA]\\.png)")
"""Paths that the application writes. Other rows never named an object."""


def check_row(client: RetryingClient, row: int, path: str) -> str | None:
    """Return what is wrong with a row that held this path a moment ago, or None.

    A row dangles if its object is missing and the row still holds the path afterwards.
    """
    while found := _NAMED.fullmatch(path):
        content, name = client.read(path), found[1]
        if content is not None:
            return None if content.startswith((f"{name}|".encode(), b"other|")) else f"{path} has another one's content"
        now = client.execute("SELECT path FROM avatars WHERE id = ?", row)
        if not now:
            return None
        if now[0][0] == path:
            return f"row {row} names {path}, which does not exist"
        path = now[0][0]
    return None


def run(folder: Path, db: str, log: Path, orders: Connection, seed: int, pace_s: float, overwrites: bool) -> None:
    """Run the application; the entry point of its process."""
    Application(folder, db, log, seed, pace_s, overwrites=overwrites).serve(orders)

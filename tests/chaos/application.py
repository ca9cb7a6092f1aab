"""The application whose data is moved: a process that stores, overwrites, deletes and reads pictures all along.

It is a sane one: it stores an object before the row that names it, and deletes a row before its object. Its old release
knows the old place only; the new one reads rows as they are and writes to the new place. What it is about to do stands
in its log, on the disk, before it does it; each act can be done again, so that one which was interrupted (by a server's
restart, or by its own death) is done in the end. The log is therefore the truth about what its data must be.
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
from sandbox.seaweedfs import SOURCE_BUCKET, TARGET_BUCKET

OLD, NEW = "image/", "avatar/"
BUCKETS = {OLD: SOURCE_BUCKET, NEW: TARGET_BUCKET}
LENGTH = 64
"""Bytes of every picture: a size tells nothing about which one it is."""
PATIENCE_S = 60.0
RETRY_S = 0.05
LOOK_EVERY_S = 0.02

Verb = Literal["create", "overwrite", "replace", "delete"]
T = TypeVar("T")


def name_of(number: int, seed: int) -> str:
    """The name of an object of the story with this seed: no other story's has it, so that a stray one is seen."""
    return f"avatar-{seed}{number:04}-a.png"


def picture(name: str, version: int) -> bytes:
    """The content of an object: whose it is, and which of its versions."""
    return f"{name}|{version}|".encode().ljust(LENGTH, b".")


@dataclass(frozen=True)
class Act:
    """One thing that the application does.

    name: of the object after its prefix; None for what is deleted
    old_name: of the object that the row named before, where it is deleted
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
    """What the buckets and the table must be, by the application's own account.

    rows: id → path as the application has written it last
    stored: prefix → name → content
    ever: name → every content that the application ever stored under it, anywhere
    cleared: names that it has deleted in the new place
    """

    rows: dict[int, str] = field(default_factory=dict)
    stored: dict[str, dict[str, bytes]] = field(default_factory=lambda: {OLD: {}, NEW: {}})
    ever: dict[str, set[bytes]] = field(default_factory=dict)
    cleared: set[str] = field(default_factory=set)

    def take(self, act: Act) -> None:
        """Grow by one act."""
        if act.name is not None:
            content = picture(act.name, act.version)
            self.stored[act.place][act.name] = content
            self.ever.setdefault(act.name, set()).add(content)
            # who overwrites in the old place leaves rows as they are
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
        """The name of the object of this row."""
        path = self.rows[row]
        return path.removeprefix(OLD if path.startswith(OLD) else NEW)

    def others(self, name: str, but: int) -> list[int]:
        """The other rows that name this object."""
        return [row for row in self.rows if row != but and self.names(row) == name]


def _now() -> str:
    return datetime.now(UTC).time().isoformat("milliseconds")


def _places_to_clear(act: Act) -> tuple[str, ...]:
    """The old release knows nothing of the new place."""
    return (OLD,) if act.place == OLD else (OLD, NEW)


def acts_on(log: Path, name: str) -> list[str]:
    """What the application did with the object of this name, and when, as its log has it."""
    lines = log.read_text().splitlines()
    told = [number for number, line in enumerate(lines) if f'"{name}"' in line]
    # with the line after each: whether it was done before something else was
    return [line for number in told for line in lines[number : number + 2]]


def read_log(log: Path) -> tuple[Data, list[str]]:
    """What the application's log says: its data, and the rows that it has found to dangle."""
    data, complaints = Data(), []
    for line in log.read_text().splitlines():
        fact = json.loads(line)
        if "complaint" in fact:
            complaints.append(fact["complaint"])
        elif "act" in fact:
            data.take(Act(**{**fact["act"], "ids": tuple(fact["act"]["ids"])}))
    return data, complaints


class Hands:
    """The application's ways to its servers: each does what it says in the end, whatever fails meanwhile."""

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
        """The object that a path names, or None where there is none."""
        place = OLD if path.startswith(OLD) else NEW
        try:
            reply = self._persist(lambda: self._store.get_object(Bucket=BUCKETS[place], Key=path))
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return None
        return self._persist(reply["Body"].read) if reply["ContentLength"] else b""

    def ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement in a transaction of its own, once or more often, until it is known to be done."""
        return self._persist(lambda: self._ask(statement.replace("?", self._mark), values))

    def _ask(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            if self._connection is None:
                self._connection = self._open()
            cursor = self._connection.cursor()
            cursor.execute(statement, values)
            rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
            self._connection.commit()
        except Exception:
            lost, self._connection = self._connection, None
            if lost is not None:
                lost.close()
            raise
        return rows

    def _persist(self, what: Callable[[], T]) -> T:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return what()
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] < 500 or time.monotonic() > deadline:
                    raise
            except BotoCoreError:
                if time.monotonic() > deadline:
                    raise
            except Exception as error:
                # three drivers' ways to say that the server is away, or that somebody else was first
                if type(error).__name__ not in _PASSING or time.monotonic() > deadline:
                    raise
            time.sleep(RETRY_S)


_PASSING = {
    "OperationalError",
    "InterfaceError",
    "AdminShutdown",
    "CannotConnectNow",
    "CrashShutdown",
    "DeadlockDetected",
}


class Application:
    """The process: one thread writes, when it is told to, another one reads all along."""

    def __init__(self, folder: Path, db: str, log: Path, seed: int, pace_s: float, *, overwrites: bool) -> None:
        self._seed = seed
        self._dice = random.Random(seed)
        self._pace_s = pace_s
        self._place = OLD
        self._overwrites = overwrites
        self._hands, self._eyes = Hands(folder, db), Hands(folder, db)
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
        """Work and rest as told, until told to end; answers each order when it is obeyed."""
        reader = threading.Thread(target=self._look, daemon=True)
        reader.start()
        at_work = False
        while True:
            if orders.poll(self._pace_s * self._dice.uniform(0.2, 2.0) if at_work else None):
                order = orders.recv()
                at_work = order == "work" if order in ("work", "rest") else at_work
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
        """Do again what an earlier process of this application may have left half done."""
        acts = [fact["act"] for fact in map(json.loads, log.read_text().splitlines()) if "act" in fact]
        if acts:
            self._carry_out(Act(**{**acts[-1], "ids": tuple(acts[-1]["ids"])}))
            self._place = NEW if any(act["place"] == NEW for act in acts) else OLD

    def _choose(self) -> Act:
        dice, data = self._dice, self._data
        self._next += 1
        name = name_of(self._next, self._seed)
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
            name = twin  # which many collations take for the old one
        return Act("replace", self._place, (row,), name, self._next, unused if name != old else None)

    def _do(self, act: Act) -> None:
        self._write(act=asdict(act))
        self._data.take(act)
        self._carry_out(act)
        self._write(done=act.version)

    def _carry_out(self, act: Act) -> None:
        hands = self._hands
        path = act.place + (act.name or "")
        if act.name is not None:
            hands.put(act.place, act.name, picture(act.name, act.version))
        for row in act.ids:
            if act.verb == "create":
                hands.ask(_INSERT[self._db], row, row, path)
            elif act.verb == "delete":
                hands.ask("DELETE FROM avatars WHERE id = ?", row)
            elif act.verb == "replace" or act.place == NEW:
                hands.ask("UPDATE avatars SET path = ? WHERE id = ?", path, row)
        if act.old_name is not None:
            for place in _places_to_clear(act):
                hands.delete(place, act.old_name)

    def _look(self) -> None:
        """Read one row after the other, and its object: the promise as a user sees it."""
        dice = random.Random(0)
        while not self._over.wait(LOOK_EVERY_S):
            rows = self._eyes.ask("SELECT id, path FROM avatars")
            if rows:
                row, path = dice.choice(rows)
                if trouble := look_at(self._eyes, row, path):
                    self._write(complaint=f"{trouble}, seen by the application at {_now()}")

    def _write(self, **fact: object) -> None:
        """`act`: is about to be done · `done`: the last one was · `complaint`: a row dangles."""
        with self._log_lock:
            self._log.write(json.dumps(fact | {"at": _now()}) + "\n")
            self._log.flush()
            os.fsync(self._log.fileno())


_INSERT = {
    "mariadb": "INSERT IGNORE INTO avatars (id, user_id, path) VALUES (?, ?, ?)",
    "postgresql": "INSERT INTO avatars (id, user_id, path) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    "sqlite": "INSERT OR IGNORE INTO avatars (id, user_id, path) VALUES (?, ?, ?)",
}
"""Done twice, where the reply to the first was lost, it is done once."""


_NAMED = re.compile(f"(?:{OLD}|{NEW})(avatar-[0-9]+-[aA]\\.png)")
"""Paths that the application has ever written; other rows name nothing, and never did."""


def look_at(eyes: Hands, row: int, path: str) -> str | None:
    """What is wrong with a row that named this path a moment ago: it has no object, and went on naming it."""
    while found := _NAMED.fullmatch(path):
        content, name = eyes.read(path), found[1]
        if content is not None:
            return None if content.startswith((f"{name}|".encode(), b"other|")) else f"{path} has another one's content"
        now = eyes.ask("SELECT path FROM avatars WHERE id = ?", row)
        if not now:
            return None
        if now[0][0] == path:
            # it named no object while nobody changed it
            return f"row {row} names {path}, which is not there"
        path = now[0][0]
    return None


def run(folder: Path, db: str, log: Path, orders: Connection, seed: int, pace_s: float, overwrites: bool) -> None:
    """Be the application, as a process of its own."""
    Application(folder, db, log, seed, pace_s, overwrites=overwrites).serve(orders)

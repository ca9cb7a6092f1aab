"""Whole playbooks against a private sandbox, with the inventory that users have."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from rehome.report.identities import broken

from sandbox.lifecycle import Sandbox, Servers
from sandbox.seed.__main__ import fill
from tests.e2e.forked import Forked
from tests.e2e.surroundings import export
from tests.statements import execute_as

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PLAY_TIMEOUT_S = 240
READ_BY_PYTHON = "PYTHON"
"""How the names of variables begin that are read when Python starts."""
PATIENCE_S = 60
"""For how long a test waits for what a run is to do."""


SLOW = {
    "mariadb": ["CREATE TRIGGER slow BEFORE UPDATE ON avatars FOR EACH ROW DO SLEEP(0.001)"],
    "postgresql": [
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END'",
        "CREATE TRIGGER slow BEFORE UPDATE ON avatars FOR EACH ROW EXECUTE FUNCTION slow()",
    ],
    # SQLite has no function that sleeps: it counts
    "sqlite": [
        "CREATE TRIGGER slow AFTER UPDATE OF path ON avatars BEGIN SELECT max(n) FROM (WITH RECURSIVE count(n) AS"
        " (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < 5000) SELECT n FROM count); END"
    ],
}
SLOW_NO_MORE = {
    "mariadb": ["DROP TRIGGER slow"],
    "postgresql": ["DROP TRIGGER slow ON avatars", "DROP FUNCTION slow"],
    "sqlite": ["DROP TRIGGER slow"],
}


RECAP = re.compile(r"^(?:recap  |PLAY RECAP)", re.MULTILINE)
"""Where the recap begins, in the output of Rehome's callback and in that of Ansible's own."""
ERROR = re.compile(r"^(?:error: |interrupted|fatal: )", re.MULTILINE)


@dataclass(frozen=True)
class Played:
    """The exit code and output of a playbook run. `changed` is the recap's, summed over all hosts."""

    code: int
    output: str

    @property
    def before_recap(self) -> str:
        """What was printed before the recap."""
        return RECAP.split(self.output, maxsplit=1)[0]

    def _recap(self, word: str) -> int:
        recap = self.output[len(self.before_recap) :]
        return sum(int(count) for count in re.findall(rf"{word}=(\d+)", recap))

    @property
    def changed(self) -> int:
        return self._recap("changed")

    @property
    def message(self) -> str:
        """The message of the failed task, and what was printed after it, on one line."""
        error = ERROR.search(self.before_recap)
        return " ".join(self.before_recap[error.start() :].split()) if error else ""

    @property
    def errors(self) -> int:
        """The number of errors that were printed."""
        return len(ERROR.findall(self.output))


def start_program(program: str, *arguments: str, folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start one of Ansible's programs in this folder, in a session of its own. Its output has no colours."""
    return subprocess.Popen(
        [BIN / program, *arguments],
        cwd=folder,
        env={
            # operators do not set it, and would see a line late without it
            **{name: value for name, value in environment.items() if name != "PYTHONUNBUFFERED"},
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
            "PATH": f"{BIN}:{os.environ['PATH']}",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def play_to_end(process: subprocess.Popen[str], timeout_s: int = PLAY_TIMEOUT_S) -> Played:
    """Wait until a program ends. Kills it and raises subprocess.TimeoutExpired after `timeout_s`."""
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return Played(process.returncode, output)


class World:
    """A sandbox, its inventory, and the playbooks that run against both."""

    def __init__(self, folder: Path, db: str, servers: Servers) -> None:
        self.folder = folder
        self.db = db
        self.sandbox = Sandbox(folder / ".sandbox", servers)
        self.state = folder / ".sandbox" / "state"
        self._listings: dict[tuple[str, str], Any] = {}

    @property
    def record(self) -> dict[str, Any]:
        return json.loads(self.sandbox.record.read_text())  # type: ignore[no-any-return]

    def seed(self, objects: int, oddities: bool = False) -> None:
        """Reset buckets, table and state folder, and store this many avatars."""
        shutil.rmtree(self.state, ignore_errors=True)
        fill(self.sandbox, objects=objects, with_oddities=oddities, reset=True)

    def start(
        self,
        *arguments: str,
        playbook: str = "migrate.yml",
        env: str | None = "sandbox",
        exported: Mapping[str, str] | None = None,
        **variables: object,
    ) -> subprocess.Popen[str]:
        """Start a playbook run as an operator does, with exported and with extra variables."""
        options = self.arguments(*arguments, playbook=playbook, env=env, **variables)
        return start_program("ansible-playbook", *options, folder=ROOT, environment={**os.environ, **(exported or {})})

    def arguments(
        self, *arguments: str, playbook: str = "migrate.yml", env: str | None = "sandbox", **variables: object
    ) -> list[str]:
        """Return the arguments of `ansible-playbook`."""
        extra = variables if env is None else {"env": env, **variables}
        return [playbook, "-i", str(self.folder / "inventory"), "-e", json.dumps(extra), *arguments]

    def play(self, *arguments: str, exported: Mapping[str, str] | None = None, **variables: Any) -> Played:
        """Run a playbook to its end: in a fork, or as operators do with -vvv or with variables of Python's own."""
        exported = dict(exported or {})
        if "-vvv" in arguments or any(name.startswith(READ_BY_PYTHON) for name in exported):
            played = play_to_end(self.start(*arguments, exported=exported, **variables))
        else:
            run = Forked(self.folder, self.arguments(*arguments, **variables), partial(export, exported))
            output = run.wait(PLAY_TIMEOUT_S)
            run.close()
            played = Played(run.code(), output)
        self.assert_figures_add_up()
        self.assert_troubles_have_codes()
        return played

    def assert_figures_add_up(self) -> None:
        """Assert that every figure of the summaries in the state folder adds up, whatever became of their runs."""
        for file in self.state.glob("summary*.json"):
            assert broken(json.loads(file.read_text())) == [], file.name

    def assert_troubles_have_codes(self) -> None:
        """Assert that whatever the last report tells of trouble ends with its code."""
        file = self.state / "report.json"
        facts = json.loads(file.read_text()) if file.exists() else {}
        told = [text for name in ("refusals", "warnings", "problems") for text in facts.get(name, [])]
        told += facts["error"].splitlines() if facts.get("error") else []
        assert [text for text in told if not re.search(r" \[RH-\d{3}\]$", text)] == []
        checks = facts["preflight"]["checks"] if "preflight" in facts else []
        assert all((check["code"] is not None) == (check["status"] in ("warn", "stop")) for check in checks)

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.state / "summary.json").read_text())  # type: ignore[no-any-return]

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of a list in the state folder."""
        return [json.loads(line) for line in (self.state / "lists" / f"{name}.jsonl").read_text().splitlines()]

    # What a test sees from outside

    def objects(self, bucket: str) -> dict[str, tuple[str, int, str]]:
        """Return key → ETag, size, last modified of all objects in a bucket."""
        pages = self._listing().paginate(Bucket=bucket)
        return {
            item["Key"]: (item["ETag"], item["Size"], item["LastModified"].isoformat())
            for page in pages
            for item in page.get("Contents", [])
        }

    def _listing(self) -> Any:
        """Return a paginator of a client that is made once for each store: to make one costs more than a short list."""
        store = self.sandbox.store
        at = (store.endpoint_url, store.users["admin"].secret_key)
        if at not in self._listings:
            self._listings[at] = store.client().get_paginator("list_objects_v2")
        return self._listings[at]

    def has_copied(self, count: int) -> bool:
        """Return whether so many objects are in the target. It costs no more, however many others are there.

        The scratch objects of a preflight do not count.
        """
        paging = {"MaxItems": count, "PageSize": min(count, 1000)}
        pages = self._listing().paginate(Bucket="production-s3", Prefix="avatar/avatar-", PaginationConfig=paging)
        return sum(len(page.get("Contents", [])) for page in pages) == count

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as the database's administrator."""
        return execute_as(self.sandbox.database(self.db), "admin", statement)

    def rows(self) -> list[tuple[int, str]]:
        """Return user and path of every row, in the order of their ids."""
        return [(user, path) for user, path in self.query("SELECT user_id, path FROM avatars ORDER BY id")]

    def everything(self) -> dict[str, Any]:
        """Return everything that a dry run must not change."""
        return {
            "source": self.objects("legacy-s3"),
            "target": self.objects("production-s3"),
            "rows": self.query("SELECT * FROM avatars ORDER BY id"),
            "tables": self.query(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
                if self.db == "sqlite"
                else "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2"
            ),
        }

    @contextmanager
    def slow_rows(self) -> Iterator[None]:
        """Make every rewritten row take a millisecond within the block, so that a kill interrupts the rewrite."""
        for statement in SLOW[self.db]:
            self.query(statement)
        try:
            yield
        finally:
            for statement in SLOW_NO_MORE[self.db]:
                self.query(statement)

    def assert_no_row_dangles(self) -> None:
        """Assert P1: the object of every row exists."""
        existing = {*self.objects("legacy-s3"), *self.objects("production-s3")}
        missing = [path for _, path in self.rows() if path not in existing]
        assert not missing, f"{len(missing)} rows dangle, such as {missing[:3]}"

    def assert_no_more_rows_dangle(self, before: list[tuple[Any, ...]]) -> None:
        """Assert P1 in a table of whose rows some dangled before: the object of every changed row exists."""
        existing = {*self.objects("legacy-s3"), *self.objects("production-s3")}
        old = {row[0]: row[2] for row in before}
        changed = [path for number, _, path, *_ in self.query("SELECT * FROM avatars") if path != old[number]]
        missing = [path for path in changed if path not in existing]
        assert not missing, f"{len(missing)} rows dangle, such as {missing[:3]}"


def copied(world: World) -> int:
    """Return how many objects are in the target, without the scratch objects of a preflight."""
    return sum(key.startswith("avatar/avatar-") for key in world.objects("production-s3"))


def until_it_copies(world: World, patience_s: float = PATIENCE_S) -> None:
    until = time.monotonic() + patience_s
    while not world.has_copied(5):
        assert time.monotonic() < until
        time.sleep(0.1)


def until(happened: Callable[[], bool], runs: Callable[[], bool]) -> None:
    """Wait until `happened` returns true, with most of the machine left to the run that it waits for.

    runs: whether that run is at work. Raises AssertionError once it is not.
    """
    while True:
        began = time.monotonic()
        if happened():
            return
        assert runs(), "the run ended before it happened"
        time.sleep(max(0.005, 2 * (time.monotonic() - began)))


def kill_when(world: World, happened: Callable[[], bool], **variables: Any) -> None:
    """Start a migration, and kill -9 all its processes as soon as `happened` returns true."""
    run = Forked(world.folder, world.arguments(**variables))
    family = psutil.Process(run.pid)
    try:
        until(happened, run.running)
    finally:
        for one in [family, *family.children(recursive=True)]:
            try:
                os.kill(one.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        run.wait(PATIENCE_S)
        run.close()


class Worlds:
    """The worlds of a session by database; each is started when a test asks for it."""

    def __init__(self, folders: pytest.TempPathFactory, servers: Servers) -> None:
        self._folders = folders
        self._servers = servers
        self._made: dict[str, World] = {}

    def of(self, db: str) -> World:
        """Return the running world with this database."""
        if db not in self._made:
            folder = self._folders.mktemp(db)
            shutil.copytree(ROOT / "inventory", folder / "inventory")
            self._made[db] = World(folder, db, self._servers)
            self._made[db].sandbox.up(db)
        return self._made[db]

    def down(self) -> None:
        """Remove them all."""
        for world in self._made.values():
            world.sandbox.down()


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[Worlds]:
    made = Worlds(tmp_path_factory, servers)
    yield made
    made.down()


@pytest.fixture
def signals_of_a_shell() -> Iterator[None]:
    """Let what a test starts hear the signals that it sends, also if the tests run under nohup or in the background."""
    handlers = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def own_settings(world: World) -> dict[str, Any]:
    """Return the settings of a world as users write them into their group_vars: values only."""
    store, database = world.record["s3"], world.record["database"]
    service = {"endpoint_url": store["endpoint_url"], "region": store["region"], **store["users"]["migrate"]}
    server = {name: value for name, value in database.items() if name != "users"}
    return {
        "rehome_name": "avatars",
        "rehome_source": {"bucket": store["source_bucket"], "prefix": "image/", **service},
        "rehome_target": {"bucket": store["target_bucket"], "prefix": "avatar/", **service},
        "rehome_include": ["avatar-*.png"],
        "rehome_database": {**server, **database["users"].get("migrate", {})},
        "rehome_references": [{"table": "avatars", "column": "path", "form": "key"}],
    }


@pytest.fixture
def world(worlds: Worlds, chosen_engine: str | None) -> World:
    """A world with MariaDB, or with the database that --database names."""
    return worlds.of(chosen_engine or "mariadb")


@pytest.fixture(params=["mariadb", "postgresql", "sqlite"])
def any_world(request: pytest.FixtureRequest, worlds: Worlds) -> World:
    """A world with each of the databases."""
    return worlds.of(request.param)

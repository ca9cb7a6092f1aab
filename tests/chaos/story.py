"""One scenario, played: a world is filled, runs are started and struck, and the promises are checked all along."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sandbox.database import DatabaseServer
from sandbox.errors import SandboxError
from sandbox.seaweedfs import SOURCE_BUCKET, TARGET_BUCKET, SeaweedFS
from sandbox.seed.rows import Rows
from sandbox.sqlite import SQLite
from tests.chaos import application
from tests.chaos.application import NEW, OLD, Act, Data, Hands, acts_on, look_at, name_of, picture, read_log
from tests.chaos.doors import DatabaseDoor, Fault, Schedule, StoreDoor
from tests.chaos.runs import FORKS, BrokenPromiseError, ForkedRun, Run, StartedRun, promise
from tests.chaos.scenario import Scenario, Step
from tests.e2e.conftest import Played, World

SCRATCH_NAME = ".rehome-probe-"
ORDER_PATIENCE_S = 90
SLOW_COPIES_PER_S = 15
"""So that the application comes in between."""
UNTOLD = ("Traceback (most recent call last)", "Module result deserialization failed", "Unexpected failure")
"""What no failure may look like, as long as nobody was killed."""
UNHEARD = re.compile(
    r"Exception ignored in: <function \w+ at 0x\w+>\nTraceback \(most recent call last\):\n(?: .*\n|\n)*?"
    r" .*/ansible/executor/task_queue_manager\.py\", line \d+, in _signal_handler\n(?: .*\n)+\w+: ?.*\n"
)
"""What Python says where an interrupt falls into the moment in which Ansible forks a worker: it ignores what functions
raise that are called around a fork, and so what Ansible's handler of signals raises in them. It is Ansible's own, and
the run goes on, or ends, as it would."""


class Writer:
    """The application's process, which is started again where it was killed."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments  # of application.run, but for the orders
        self._lock = threading.RLock()
        self._closed = False
        self._start()

    def order(self, order: str) -> None:
        """Have it obey."""
        with self._lock:
            self._orders.send(order)
            if not self._orders.poll(ORDER_PATIENCE_S):
                raise BrokenPromiseError("the application does not answer")
            try:
                self._orders.recv()
            except EOFError:
                raise BrokenPromiseError("the application has died, by itself") from None
            self._last = order if order in ("work", "rest") else self._last

    def kill(self) -> None:
        """Kill it and start it anew, as its supervisor would."""
        with self._lock:
            if self._closed:
                return
            last = self._last
            self._process.kill()
            self._process.join()
            self._start()
            if last == "work":
                self.order("work")

    def close(self) -> None:
        """Kill it for good: a blow that comes too late starts nothing."""
        with self._lock:
            self._closed = True
            self._process.kill()
            self._process.join()

    def _start(self) -> None:
        self._last = "rest"
        self._orders, others = FORKS.Pipe()
        folder, db, log, *more = self._arguments
        self._process = FORKS.Process(target=application.run, args=(folder, db, log, others, *more))
        self._process.start()
        others.close()


class Story:
    """A scenario under way. `struck` counts what was dealt."""

    def __init__(self, world: World, scenario: Scenario) -> None:
        self.world = world
        self.scenario = scenario
        self.struck: Counter[str] = Counter()
        self._log = world.folder / "application.log"
        self._eyes = Hands(world.sandbox.folder, world.db)
        self._fixed_rows: dict[int, str] = {}
        self._bystanders: dict[str, bytes] = {}
        self._runs: list[Run] = []
        self._blows: list[str] = []
        self._undealt: SandboxError | None = None

    def play(self) -> None:
        """From an empty world to the rollback. Raises BrokenPromiseError."""
        scenario = self.scenario
        with ExitStack() as stack:
            self._empty()
            self._fill()
            if scenario.slow:
                stack.enter_context(self.world.slow_rows())
            self._variables = stack.enter_context(self._doors())
            self._writer = Writer(
                self.world.sandbox.folder,
                self.world.db,
                self._log,
                scenario.dice,
                scenario.pace_s,
                scenario.overwrites,
            )
            stack.callback(self._writer.close)
            stack.callback(self._end_runs)
            self._writer.order("work")
            for step in scenario.steps:
                self._step(step)
            self._writer.order("rest")
            self._settle()
            self._finish()
            self._undo()
            self._writer.order("end")
            self._no_complaints()

    def acts(self) -> int:
        """How much the application has done meanwhile."""
        return self._log.read_text().count('{"act": ') - self.scenario.objects

    # What happens

    def _step(self, step: Step) -> Played:
        if step.switch:
            self._writer.order("switch")
        before: Any = None
        if step.verb == "check":
            self._writer.order("rest")
            # what a killed worker's module had under way is no dry run's
            for run in self._runs:
                run.alone()
            before = self.world.everything()
        played = self._struck_run(step)
        self._look("after a step")
        if step.verb == "check":
            self._compare_all(before, "P6: a dry run has written something", played)
            self._writer.order("work")
        return played

    def _struck_run(self, step: Step) -> Played:
        schedule = Schedule(step.faults, lambda blow: self._strike(run, step, blow))
        self._store_door.schedule = schedule
        if self._database_door is not None:
            self._database_door.schedule = schedule
        run = self._start(step.verb)
        if step.full_at is not None:
            run.limit_files(step.full_at)
            self.struck["full disk"] += 1
        timed = [fault for fault in step.faults if fault.kind.startswith(("during ", "from the "))]
        keeper = threading.Thread(target=self._keep_time, args=(run, step, schedule, timed), daemon=True)
        keeper.start()
        played = run.end()
        keeper.join()
        for other in self._runs:
            if other is not run:
                other.end()
        self.struck.update(schedule.struck)
        self._quiet_doors()
        if self._undealt is not None:
            raise self._undealt
        writes = self._store_door.source_writes
        promise(not writes, f"P3: a run has written to the source: {writes[:3]}")
        killed = any(name.startswith("kill the ") for name in schedule.struck)
        if not killed:
            told = UNHEARD.sub("", played.output) if schedule.struck["interrupt the run"] else played.output
            for words in UNTOLD:
                at = told.find(words)
                promise(at < 0, f"a failure is told as {words!r}:\n{told[max(at - 1000, 0) : at + 3000]}")
        return played

    def _keep_time(self, run: Run, step: Step, schedule: Schedule, faults: list[Fault]) -> None:
        """Deal the blows that fall by the clock."""
        began = time.monotonic()
        due = [(fault.nth / 1000, fault) for fault in faults if fault.kind == "from the start"]
        waiting = [fault for fault in faults if fault.kind != "from the start"]
        progress = self.world.state / "progress.json"
        while run.running() and (due or waiting):
            now = time.monotonic() - began
            stage = ""
            if waiting:
                with suppress(OSError, ValueError):
                    stage = json.loads(progress.read_text())["stage"]
            for fault in [fault for fault in waiting if stage.startswith(fault.kind.removeprefix("during "))]:
                waiting.remove(fault)
                due.append((now + fault.nth / 1000, fault))
            for when, fault in [one for one in due if one[0] <= now]:
                due.remove((when, fault))
                schedule.struck[fault.trouble] += 1
                self._strike(run, step, fault.trouble)
            time.sleep(0.002 if waiting or (due and min(due)[0] - now < 0.02) else 0.02)

    def _strike(self, run: Run, step: Step, blow: str) -> None:
        sandbox = self.world.sandbox
        self._blows.append(f"{datetime.now(UTC).time().isoformat('milliseconds')} {blow}")
        if blow == "kill the application":
            self._writer.kill()
        elif blow == "start a second run":
            self._start("check" if step.verb == "check" else "migrate", step.second)
        elif blow.endswith(("the store", "the database")):
            server = sandbox.store if blow.endswith("the store") else sandbox.database(self.world.db)
            if isinstance(server, SQLite):
                return
            try:
                _restart(server, blow.partition(" ")[0])
            except SandboxError as error:
                # a run without a server proves nothing; the thread that deals the blows is heard by nobody
                self._undealt = error
                run.strike("kill the run")
        else:
            run.strike(blow)

    def _settle(self) -> None:
        """A run that nothing befalls finishes what is left, whatever has happened."""
        for run in self._runs:
            run.alone()
        played = self._calm_run("migrate")
        promise(played.code == 0, f"P4: what was struck does not finish when run again:\n{played.output[-4000:]}")
        promise(self.world.summary["complete"], "P4: the summary does not say that it is complete")
        self._look("after the end")
        self._compare_rows(self._rows_after_migration())
        self._compare_objects()

    def _finish(self) -> None:
        """Repeated, it changes nothing, and says so."""
        before = self.world.everything()
        played = self._calm_run("migrate")
        promise(
            (played.code, played.changed) == (0, 0), f"P4: repeated, it changes something:\n{played.output[-4000:]}"
        )
        self._compare_all(before, "P4: repeated, it changes something and does not say so", played)

    def _undo(self) -> None:
        kept = self._rows_that_rollback_keeps()
        if self.scenario.undo is not None:
            self._struck_run(self.scenario.undo)
            self._look("after a rollback that was struck")
            for run in self._runs:
                run.alone()
        played = self._calm_run("rollback")
        promise(played.code == 0 or kept, f"P5: the rollback does not finish:\n{played.output[-4000:]}")
        data = self._data()
        self._compare_rows({**data.rows, **self._fixed_rows})
        self._compare_objects()
        self._look("after the rollback")

    def _calm_run(self, verb: str) -> Played:
        # nobody writes meanwhile: one pass is enough, and a second one would find nothing
        return self._start(verb, rehome_max_passes=1).end()

    def _start(self, verb: str, state: str = "same state", **more: object) -> Run:
        variables = self._variables | more
        # who may write must not do so either
        if verb == "check" and self.scenario.dice % 2:
            variables["sandbox_user"] = "reader"
        if state == "other state":
            variables["rehome_state_dir"] = str(self.world.folder / ".sandbox" / "other-state")
        run = (StartedRun if self.scenario.cold else ForkedRun)(self.world, verb, variables)
        self._runs.append(run)
        return run

    # What must be

    def _look(self, when: str) -> None:
        """P1: every row that names an object names one that is there, while the application goes on."""
        self._no_complaints()
        for row, path in self._eyes.ask("SELECT id, path FROM avatars"):
            trouble = look_at(self._eyes, row, path)
            promise(trouble is None, f"P1, {when}: {trouble}")

    def _no_complaints(self) -> None:
        complaints = read_log(self._log)[1]
        promise(not complaints, f"P1: {'; '.join(complaints[:3])}")

    def _data(self) -> Data:
        return read_log(self._log)[0]

    def _objects_after_migration(self, data: Data) -> dict[str, bytes]:
        """Name → content, of what must be in the target."""
        theirs = {name: content for name, content in self._bystanders.items() if name not in data.cleared}
        return data.stored[OLD] | theirs | data.stored[NEW]

    def _rows_after_migration(self) -> dict[int, str]:
        data = self._data()
        target = self._objects_after_migration(data)
        rows = dict(self._fixed_rows)
        for row, path in data.rows.items():
            name = data.names(row)
            moves = path.startswith(OLD) and target.get(name) == data.stored[OLD][name]
            rows[row] = NEW + name if moves else path
        return rows

    def _rows_that_rollback_keeps(self) -> bool:
        """Whether there are rows in whose place in the target the application has stored something newer."""
        data = self._data()
        return any(path.startswith(NEW) and data.names(row) in data.stored[OLD] for row, path in data.rows.items())

    def _compare_all(self, before: dict[str, Any], otherwise: str, played: Played) -> None:
        """All is as it was before a run."""
        now = self.world.everything()
        wrong: dict[str, Any] = {place: (before[place], now[place]) for place in before if now[place] != before[place]}
        keys = []
        for place, bucket in (("source", SOURCE_BUCKET), ("target", TARGET_BUCKET)):
            if place in wrong:
                wrong[place] = _some_of(before[place], now[place])
                keys += [(bucket, key) for key in wrong[place]]
        promise(
            not wrong,
            f"{otherwise} (before, now): {str(wrong)[:6000]}\n{self._account(keys)}\n{played.output[-4000:]}",
        )

    def _compare_rows(self, expected: dict[int, str]) -> None:
        found = {row: (user, path) for row, user, path in self._eyes.ask("SELECT id, user_id, path FROM avatars")}
        wanted = {row: (row, path) for row, path in expected.items()}
        promise(found == wanted, f"P2, P4, P5: rows are wrong (found, expected), such as {_some_of(found, wanted)}")

    def _compare_objects(self) -> None:
        data = self._data()
        source = {key: etag for key, (etag, _, _) in self.world.objects(SOURCE_BUCKET).items()}
        wanted = {OLD + name: _etag(content) for name, content in data.stored[OLD].items()}
        wanted[f"{OLD}readme.txt"] = _etag(b"not under the map")
        wrong = _some_of(source, wanted)
        promise(
            not wrong,
            f"P3: source objects are not as the application has left them, such as {wrong}\n"
            f"{self._account((SOURCE_BUCKET, key) for key in wrong)}",
        )
        target = {key: etag for key, (etag, _, _) in self.world.objects(TARGET_BUCKET).items()}
        wanted = {NEW + name: _etag(content) for name, content in self._objects_after_migration(data).items()}
        wanted[f"{NEW}readme.txt"] = _etag(b"somebody else's")
        wrong = _some_of({key: target.get(key) for key in wanted}, wanted)
        promise(not wrong, f"P2, P3, P4: target objects are wrong (found, expected), such as {wrong}")
        # copies of what the application has deleted since stay, as nothing is ever deleted
        for key in target.keys() - wanted.keys():
            if key.startswith(NEW + SCRATCH_NAME):
                continue  # of a preflight that was killed; a later one removes it, after an hour
            allowed = {_etag(content) for content in data.ever.get(key.removeprefix(NEW), ())}
            promise(target[key] in allowed, f"P3: {key} is in the target, and nobody has put it there")

    def _account(self, places: Iterable[tuple[str, str]]) -> str:
        """What is known of these buckets' keys, for whoever must understand a failure."""
        told = [f"struck: {', '.join(self._blows)}"]
        for bucket, key in places:
            entry = _entry(self.world.sandbox.store, bucket, key)
            told += [f"{bucket}/{key}, in the store: {entry}", *acts_on(self._log, key.rpartition("/")[2])]
        return "\n".join(told)

    # The world

    def _empty(self) -> None:
        client = self.world.sandbox.store.client()
        for bucket in (SOURCE_BUCKET, TARGET_BUCKET):
            # one by one: the scratch objects of a preflight that was killed have keys that XML cannot have
            for key in self.world.objects(bucket):
                client.delete_object(Bucket=bucket, Key=key)
        rows = Rows(self.world.sandbox.database(self.world.db))
        rows.reset()
        rows.close()
        for name in ("state", "other-state"):
            shutil.rmtree(self.world.folder / ".sandbox" / name, ignore_errors=True)
        self._log.unlink(missing_ok=True)

    def _fill(self) -> None:
        """The application's data before it all, in its own log, and what is nobody's."""
        dice = random.Random(self.scenario.dice)
        row = 1
        with self._log.open("w") as log:
            for number in range(self.scenario.objects):
                name = name_of(number, self.scenario.dice)
                ids = (row, row + 1) if dice.random() < 0.1 else (row,)
                row += len(ids)
                act = Act("create", OLD, ids, name)
                log.write(json.dumps({"act": asdict(act)}) + "\n")
                self._eyes.put(OLD, name, picture(name, 0))
                for one in ids:
                    self._insert(one, OLD + name)
                if self.scenario.skip and number < 2:
                    self._bystanders[name] = b"other|".ljust(application.LENGTH, b".")
        for name, content in self._bystanders.items():
            self._eyes.put(NEW, name, content)
        self._eyes.put(OLD, "readme.txt", b"not under the map")
        self._eyes.put(NEW, "readme.txt", b"somebody else's")
        first = OLD + name_of(0, self.scenario.dice)
        nobody = (f"{OLD}avatar-without-object.png", first.title(), f"{first} ", "")
        for number, path in enumerate(nobody, start=500):
            self._fixed_rows[number] = path
            self._insert(number, path)

    def _insert(self, row: int, path: str) -> None:
        self._eyes.ask("INSERT INTO avatars (id, user_id, path) VALUES (?, ?, ?)", row, row, path)

    @contextmanager
    def _doors(self) -> Iterator[dict[str, Any]]:
        """The doors, and the variables that lead a run through them."""
        record = self.world.record
        self._store_door = StoreDoor(int(record["s3"]["endpoint_url"].rpartition(":")[2]))
        self._database_door: DatabaseDoor | None = None
        record["s3"]["endpoint_url"] = f"http://127.0.0.1:{self._store_door.port}"
        if "port" in record["database"]:
            self._database_door = DatabaseDoor(record["database"]["port"])
            record["database"]["port"] = self._database_door.port
        file = self.world.folder / "through-the-doors.json"
        file.write_text(json.dumps(record))
        try:
            yield {
                "environment_file": str(file),
                "rehome_on_dangling": "keep",
                "rehome_on_conflict": "skip" if self.scenario.skip else "fail",
                "rehome_copy_method": self.scenario.method,
                "rehome_objects_per_second": SLOW_COPIES_PER_S if self.scenario.slow else None,
            }
        finally:
            self._store_door.close()
            if self._database_door is not None:
                self._database_door.__exit__()

    def _quiet_doors(self) -> None:
        quiet = Schedule((), lambda _: None)
        self._store_door.schedule = quiet
        if self._database_door is not None:
            self._database_door.schedule = quiet

    def _end_runs(self) -> None:
        for run in self._runs:
            if run.running():
                run.strike("kill the run")
            with suppress(BrokenPromiseError):
                run.end()
            run.close()
        self.struck.update("Ansible stuck" for run in self._runs if run.stuck)


def _restart(server: SeaweedFS | DatabaseServer, how: str) -> None:
    """End a server, politely or not, and start it again where it was."""
    if how == "kill":
        for process in server.processes:
            os.killpg(process.pid, signal.SIGKILL)
            while process.is_running():
                time.sleep(0.01)
    else:
        server.stop()
    server.up()


def _entry(store: SeaweedFS, bucket: str, key: str) -> str:
    """What the filer knows of an object, as JSON: its pieces, and to the nanosecond when each was written."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    place = urllib.parse.quote(f"/buckets/{bucket}/{key}")
    try:
        with direct.open(f"http://127.0.0.1:{store.state.ports['filer']}{place}?metadata=true", timeout=5) as reply:
            return str(reply.read().decode())
    except urllib.error.URLError as error:
        return str(error)


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def _some_of(found: Mapping[Any, Any], expected: Mapping[Any, Any]) -> dict[Any, tuple[Any, Any]]:
    """A few of the places where two mappings differ, each with what both have there."""
    wrong = sorted((key for key in {*found, *expected} if found.get(key) != expected.get(key)), key=str)
    return {key: (found.get(key), expected.get(key)) for key in wrong[:3]}

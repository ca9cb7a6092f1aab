"""Play one scenario: fill a world, start runs, inject faults, and check the promises throughout."""

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
from typing import Any, cast

from rehome.report.fields import SummaryFields
from rehome.report.identities import broken

from sandbox.database import DatabaseServer
from sandbox.errors import SandboxError
from sandbox.s3_server import SOURCE_BUCKET, TARGET_BUCKET
from sandbox.seaweedfs import SeaweedFS
from sandbox.seed.rows import Rows
from sandbox.sqlite import SQLite
from tests.chaos import application
from tests.chaos.application import (
    NEW,
    OLD,
    Act,
    Data,
    RetryingClient,
    acts_on,
    check_row,
    object_name,
    picture,
    read_log,
)
from tests.chaos.movers import MOVER_FAULTS, Movers
from tests.chaos.proxies import DatabaseProxy, Fault, Schedule, StoreProxy
from tests.chaos.runs import FORKS, BrokenPromiseError, ForkedRun, Run, StartedRun, promise
from tests.chaos.scenario import KILLS, Scenario, Step
from tests.e2e.conftest import ROOT, Played, World

SCRATCH_NAME = ".rehome-probe-"
ORDER_PATIENCE_S = 90
SLOW_COPIES_PER_S = 15
"""Slow enough for the application to change data between two copies."""
UNEXPECTED_OUTPUT = ("Traceback (most recent call last)", "Module result deserialization failed", "Unexpected failure")
"""Output that no failure may produce unless a process was killed."""
IGNORED_INTERRUPT = re.compile(
    r"Exception ignored in: <function \w+ at 0x\w+>\nTraceback \(most recent call last\):\n(?: .*\n|\n)*?"
    r" .*/ansible/executor/task_queue_manager\.py\", line \d+, in _signal_handler\n(?: .*\n)+\w+: ?.*\n"
)
"""Python's message if an interrupt arrives while Ansible forks a worker. Python ignores exceptions in functions that it
calls around a fork, including those that Ansible's signal handler raises. It is not caused by Rehome, whose next step
notices the interrupt and ends the run."""
INTERRUPTED_START = re.compile(
    rf"Traceback \(most recent call last\):\n(?:(?!.*{re.escape(str(ROOT))}/(?!\.venv/)) .*\n)+KeyboardInterrupt.*\n?"
)
"""Python's message if an interrupt arrives before it has come to a line of Rehome: it starts, or imports Ansible."""


class ApplicationProcess:
    """The application's process, which is restarted after a kill."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments  # of application.run, without the orders
        self._lock = threading.RLock()
        self._closed = False
        self._start()

    def order(self, order: str) -> None:
        """Send an order, and wait for its confirmation. Raises BrokenPromiseError if none comes."""
        with self._lock:
            self._orders.send(order)
            if not self._orders.poll(ORDER_PATIENCE_S):
                raise BrokenPromiseError("the application does not answer")
            try:
                self._orders.recv()
            except EOFError:
                raise BrokenPromiseError("the application has died, by itself") from None
            self._last = order if order in ("work", "pause") else self._last

    def kill(self) -> None:
        """Kill and restart it, as a supervisor would."""
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
        """Kill it. A later `kill` starts nothing."""
        with self._lock:
            self._closed = True
            self._process.kill()
            self._process.join()

    def _start(self) -> None:
        self._last = "pause"
        self._orders, others = FORKS.Pipe()
        folder, db, log, *more = self._arguments
        self._process = FORKS.Process(target=application.run, args=(folder, db, log, others, *more))
        self._process.start()
        others.close()


class Story:
    """A scenario in flight. `injected` counts the faults by name, `outcomes` the runs with faults by verb and end.

    movers: copy, if the scenario says so
    """

    def __init__(self, world: World, scenario: Scenario, movers: Movers) -> None:
        self.world = world
        self.scenario = scenario
        self._movers = movers if scenario.cluster else None
        self.injected: Counter[str] = Counter()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._log = world.folder / "application.log"
        self._reading = RetryingClient(world.sandbox.folder, world.db)
        self._fixed_rows: dict[int, str] = {}
        self._foreign_objects: dict[str, bytes] = {}
        self._runs: list[Run] = []
        self._disruptions: list[str] = []
        self._restart_error: SandboxError | None = None

    def play(self) -> None:
        """Play the scenario from an empty world to the final rollback. Raises BrokenPromiseError."""
        scenario = self.scenario
        with ExitStack() as stack:
            self._empty()
            self._fill()
            if scenario.slow:
                stack.enter_context(self.world.slow_rows())
            self._variables = stack.enter_context(self._proxies())
            self._application = ApplicationProcess(
                self.world.sandbox.folder,
                self.world.db,
                self._log,
                scenario.dice,
                scenario.pace_s,
                scenario.overwrites,
            )
            stack.callback(self._application.close)
            stack.callback(self._end_runs)
            if self._movers is not None:
                self._variables |= self._movers.settings()
                stack.callback(self._movers.wake)
            self._application.order("work")
            for step in scenario.steps:
                self._step(step)
            self._application.order("pause")
            self._settle()
            self._finish()
            self._undo()
            self._application.order("end")
            self._no_complaints()

    def acts(self) -> int:
        """Return the number of acts of the application, without the initial data."""
        return self._log.read_text().count('{"act": ') - self.scenario.objects

    # What happens

    def _step(self, step: Step) -> Played:
        if self._movers is not None and step.verb != "check":
            # in so many seconds the application would move everything itself
            self._application.order("pause")
            self._mend(step.verb)
            self._application.order("work")
        if step.switch:
            self._application.order("switch")
        before: Any = None
        if step.verb == "check":
            self._application.order("pause")
            # a module of a killed worker may still write, which is not the dry run's doing
            for run in self._runs:
                run.wait_until_gone()
            if self._movers is not None:
                # those of a killed run may still copy
                self._movers.stop()
            before = self.world.everything()
        played = self._disrupted_run(step)
        self._check_rows("after a step")
        if step.verb == "check":
            self._compare_all(before, "P6: a dry run has written something", played)
            self._application.order("work")
        return played

    def _disrupted_run(self, step: Step) -> Played:
        schedule = Schedule(step.faults, lambda disruption: self._disrupt(run, step, disruption))
        self._store_proxy.schedule = schedule
        if self._database_proxy is not None:
            self._database_proxy.schedule = schedule
        self._mend(step.verb)
        run = self._start(step.verb)
        if step.full_at is not None:
            run.limit_files(step.full_at)
            self.injected["full disk"] += 1
        timed = [fault for fault in step.faults if fault.kind.startswith(("during ", "from the "))]
        keeper = threading.Thread(target=self._keep_time, args=(run, step, schedule, timed), daemon=True)
        keeper.start()
        played = run.end()
        keeper.join()
        for other in self._runs:
            if other is not run:
                other.end()
        self.injected.update(schedule.injected)
        self._stop_faults()
        if self._restart_error is not None:
            raise self._restart_error
        writes = self._store_proxy.source_writes
        promise(not writes, f"P3: a run has written to the source: {writes[:3]}")
        killed = any(name.startswith("kill the ") for name in schedule.injected if name not in MOVER_FAULTS)
        self.outcomes[step.verb, _outcome(schedule.injected, played)] += 1
        if not killed:
            output = played.output
            if schedule.injected["interrupt the run"]:
                output = INTERRUPTED_START.sub("", IGNORED_INTERRUPT.sub("", output))
            for words in UNEXPECTED_OUTPUT:
                at = output.find(words)
                promise(at < 0, f"a failure is reported as {words!r}:\n{output[max(at - 1000, 0) : at + 3000]}")
        return played

    def _keep_time(self, run: Run, step: Step, schedule: Schedule, faults: list[Fault]) -> None:
        """Carry out the disruptions that are due at a time rather than at a request."""
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
                schedule.injected[fault.trouble] += 1
                self._disrupt(run, step, fault.trouble)
            time.sleep(0.002 if waiting or (due and min(due)[0] - now < 0.02) else 0.02)

    def _disrupt(self, run: Run, step: Step, disruption: str) -> None:
        sandbox = self.world.sandbox
        self._disruptions.append(f"{datetime.now(UTC).time().isoformat('milliseconds')} {disruption}")
        if disruption == "kill the application":
            self._application.kill()
        elif disruption in MOVER_FAULTS:
            if self._movers is not None:
                self._movers.disrupt(disruption)
        elif disruption == "start a second run":
            self._start("check" if step.verb == "check" else "migrate", step.second)
        elif disruption.endswith(("the store", "the database")):
            server = sandbox.store if disruption.endswith("the store") else sandbox.database(self.world.db)
            if isinstance(server, SQLite):
                return
            try:
                _restart(server, disruption.partition(" ")[0])
            except SandboxError as error:
                # a run without a server proves nothing; this thread cannot raise into the test
                self._restart_error = error
                run.disrupt("kill the run")
        else:
            run.disrupt(disruption)

    def _settle(self) -> None:
        """P4: a run without faults completes the migration, whatever happened before."""
        for run in self._runs:
            run.wait_until_gone()
        if self.scenario.dice % 2:
            # without the cluster it goes on as well, also if movers of a killed run still copy
            self._variables["rehome_cluster"] = {}
        played = self._undisturbed_run("migrate")
        promise(played.code == 0, f"P4: a run after the faults completes no migration:\n{played.output[-4000:]}")
        promise(self.world.summary["complete"], "P4: the summary does not say that it is complete")
        wrong = broken(cast("SummaryFields", self.world.summary))
        promise(not wrong, f"the figures of the summary do not add up: {wrong}")
        if self.outcomes.total() > self.outcomes["migrate", "finished"] + self.outcomes["check", "finished"]:
            self.outcomes["migrate", "went on after faults, and finished"] += 1
        self._check_rows("after the end")
        self._compare_rows(self._rows_after_migration())
        self._compare_objects()

    def _finish(self) -> None:
        """P4: a repeated run changes nothing, and reports changed=0."""
        before = self.world.everything()
        played = self._undisturbed_run("migrate")
        promise(
            (played.code, played.changed) == (0, 0), f"P4: repeated, it changes something:\n{played.output[-4000:]}"
        )
        self._compare_all(before, "P4: repeated, it changes something and does not say so", played)

    def _undo(self) -> None:
        kept = self._rows_that_rollback_keeps()
        if self.scenario.undo is not None:
            self._disrupted_run(self.scenario.undo)
            self._check_rows("after a rollback with faults")
            for run in self._runs:
                run.wait_until_gone()
        played = self._undisturbed_run("rollback")
        # the application may have replaced every row itself; what is compared next shows whether that is true
        nothing = "has no rows that avatars has rewritten" in played.output
        promise(played.code == 0 or kept or nothing, f"P5: the rollback does not finish:\n{played.output[-4000:]}")
        data = self._data()
        self._compare_rows({**data.rows, **self._fixed_rows})
        self._compare_objects()
        self._check_rows("after the rollback")

    def _undisturbed_run(self, verb: str) -> Played:
        if self._movers is not None:
            self._movers.wake()
        self._mend(verb)
        # the application is paused: a second pass would find nothing
        return self._start(verb, rehome_max_passes=1).end()

    def _mend(self, verb: str) -> None:
        """Start what is dead of the cluster, as an operator does before the next run that needs it."""
        if self._movers is not None and verb != "rollback" and self._variables["rehome_cluster"]:
            self._movers.mend()

    def _start(self, verb: str, state: str = "same state", **more: object) -> Run:
        variables = self._variables | more
        # half of the dry runs have credentials that could write
        if verb == "check" and self.scenario.dice % 2:
            variables["sandbox_user"] = "reader"
        if state == "other state":
            variables["rehome_state_dir"] = str(self.world.folder / ".sandbox" / "other-state")
        run = (StartedRun if self.scenario.cold else ForkedRun)(self.world, verb, variables)
        self._runs.append(run)
        return run

    # What must be

    def _check_rows(self, when: str) -> None:
        """P1: the object of every row exists, while the application goes on."""
        self._no_complaints()
        for row, path in self._reading.execute("SELECT id, path FROM avatars"):
            trouble = check_row(self._reading, row, path)
            promise(trouble is None, f"P1, {when}: {trouble}")

    def _no_complaints(self) -> None:
        complaints = read_log(self._log)[1]
        promise(not complaints, f"P1: {'; '.join(complaints[:3])}")

    def _data(self) -> Data:
        return read_log(self._log)[0]

    def _objects_after_migration(self, data: Data) -> dict[str, bytes]:
        """Return name → content of the objects that must be in the target."""
        theirs = {name: content for name, content in self._foreign_objects.items() if name not in data.cleared}
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
        """Return whether a rollback must keep rows, because the source holds another object under their name."""
        data = self._data()
        return any(path.startswith(NEW) and data.names(row) in data.stored[OLD] for row, path in data.rows.items())

    def _compare_all(self, before: dict[str, Any], otherwise: str, played: Played) -> None:
        """Check that buckets and table are as they were before a run."""
        now = self.world.everything()
        wrong: dict[str, Any] = {place: (before[place], now[place]) for place in before if now[place] != before[place]}
        keys = []
        for place, bucket in (("source", SOURCE_BUCKET), ("target", TARGET_BUCKET)):
            if place in wrong:
                wrong[place] = _some_of(before[place], now[place])
                keys += [(bucket, key) for key in wrong[place]]
        promise(
            not wrong,
            f"{otherwise} (before, now): {str(wrong)[:6000]}\n{self._describe(keys)}\n{played.output[-4000:]}",
        )

    def _compare_rows(self, expected: dict[int, str]) -> None:
        found = {
            row: (user, path) for row, user, path in self._reading.execute("SELECT id, user_id, path FROM avatars")
        }
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
            f"P3: source objects are not as the application left them, such as {wrong}\n"
            f"{self._describe((SOURCE_BUCKET, key) for key in wrong)}",
        )
        target = {key: etag for key, (etag, _, _) in self.world.objects(TARGET_BUCKET).items()}
        wanted = {NEW + name: _etag(content) for name, content in self._objects_after_migration(data).items()}
        wanted[f"{NEW}readme.txt"] = _etag(b"somebody else's")
        wrong = _some_of({key: target.get(key) for key in wanted}, wanted)
        promise(not wrong, f"P2, P3, P4: target objects are wrong (found, expected), such as {wrong}")
        # copies of objects that the application has deleted since remain, as a migration deletes nothing
        for key in target.keys() - wanted.keys():
            if key.startswith(NEW + SCRATCH_NAME):
                continue  # left by a killed preflight; a later one removes it after an hour
            allowed = {_etag(content) for content in data.ever.get(key.removeprefix(NEW), ())}
            promise(target[key] in allowed, f"P3: {key} is in the target, and nobody stored it")

    def _describe(self, places: Iterable[tuple[str, str]]) -> str:
        """Return what is known about these (bucket, key) pairs, to explain a failure."""
        lines = [f"disruptions: {', '.join(self._disruptions)}"]
        for bucket, key in places:
            entry = _entry(self.world.sandbox.store, bucket, key)
            lines += [f"{bucket}/{key}, in the store: {entry}", *acts_on(self._log, key.rpartition("/")[2])]
        return "\n".join(lines)

    # The world

    def _empty(self) -> None:
        client = self.world.sandbox.store.client()
        for bucket in (SOURCE_BUCKET, TARGET_BUCKET):
            # one by one: scratch objects of a killed preflight have keys that XML cannot represent
            for key in self.world.objects(bucket):
                client.delete_object(Bucket=bucket, Key=key)
        rows = Rows(self.world.sandbox.database(self.world.db))
        rows.reset()
        rows.close()
        for name in ("state", "other-state"):
            shutil.rmtree(self.world.folder / ".sandbox" / name, ignore_errors=True)
        self._log.unlink(missing_ok=True)

    def _fill(self) -> None:
        """Store the application's initial data, its log, and foreign objects and rows."""
        dice = random.Random(self.scenario.dice)
        row = 1
        with self._log.open("w") as log:
            for number in range(self.scenario.objects):
                name = object_name(number, self.scenario.dice)
                ids = (row, row + 1) if dice.random() < 0.1 else (row,)
                row += len(ids)
                act = Act("create", OLD, ids, name)
                log.write(json.dumps({"act": asdict(act)}) + "\n")
                self._reading.put(OLD, name, picture(name, 0))
                for one in ids:
                    self._insert(one, OLD + name)
                if self.scenario.skip and number < 2:
                    self._foreign_objects[name] = b"other|".ljust(application.LENGTH, b".")
        for name, content in self._foreign_objects.items():
            self._reading.put(NEW, name, content)
        self._reading.put(OLD, "readme.txt", b"not under the map")
        self._reading.put(NEW, "readme.txt", b"somebody else's")
        first = OLD + object_name(0, self.scenario.dice)
        foreign_paths = (f"{OLD}avatar-without-object.png", first.title(), f"{first} ", "")
        for number, path in enumerate(foreign_paths, start=500):
            self._fixed_rows[number] = path
            self._insert(number, path)

    def _insert(self, row: int, path: str) -> None:
        self._reading.execute("INSERT INTO avatars (id, user_id, path) VALUES (?, ?, ?)", row, row, path)

    @contextmanager
    def _proxies(self) -> Iterator[dict[str, Any]]:
        """Run the proxies. Yields the variables that make a run connect through them."""
        record = self.world.record
        self._store_proxy = StoreProxy(int(record["s3"]["endpoint_url"].rpartition(":")[2]))
        self._database_proxy: DatabaseProxy | None = None
        record["s3"]["endpoint_url"] = f"http://127.0.0.1:{self._store_proxy.port}"
        if "port" in record["database"]:
            self._database_proxy = DatabaseProxy(record["database"]["port"])
            record["database"]["port"] = self._database_proxy.port
        file = self.world.folder / "through-the-proxies.json"
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
            self._store_proxy.close()
            if self._database_proxy is not None:
                self._database_proxy.__exit__()

    def _stop_faults(self) -> None:
        quiet = Schedule((), lambda _: None)
        self._store_proxy.schedule = quiet
        if self._database_proxy is not None:
            self._database_proxy.schedule = quiet

    def _end_runs(self) -> None:
        for run in self._runs:
            if run.running():
                run.disrupt("kill the run")
            with suppress(BrokenPromiseError):
                run.end()
            run.close()
        self.injected.update("Ansible stuck" for run in self._runs if run.stuck)


def _outcome(injected: Counter[str], played: Played) -> str:
    """Return how a run with these faults ended."""
    if played.code == 0:
        return "finished"
    stopped = {"interrupted": {"interrupt the run"}, "killed": {one for one in KILLS if one.startswith("kill")}}
    return next((how for how, names in stopped.items() if names & injected.keys()), "failed")


def _restart(server: SeaweedFS | DatabaseServer, how: str) -> None:
    """Stop or kill a server, and start it again on the same ports and data."""
    if how == "kill":
        for process in server.processes:
            os.killpg(process.pid, signal.SIGKILL)
            while process.is_running():
                time.sleep(0.01)
    else:
        server.stop()
    server.up()


def _entry(store: SeaweedFS, bucket: str, key: str) -> str:
    """Return the filer's entry of an object as JSON: its chunks with their modification times in nanoseconds."""
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
    """Return up to three keys at which two mappings differ, with both values."""
    wrong = sorted((key for key in {*found, *expected} if found.get(key) != expected.get(key)), key=str)
    return {key: (found.get(key), expected.get(key)) for key in wrong[:3]}

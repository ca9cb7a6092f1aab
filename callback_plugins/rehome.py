"""The output of a run in a terminal and in a log; DOCUMENTATION says how to have Ansible's own."""

from __future__ import annotations

import sys
import textwrap
import time
from pathlib import Path
from typing import Any

from ansible import context
from ansible.executor.task_result import CallbackTaskResult
from ansible.playbook.block import Block
from ansible.playbook.play import Play
from ansible.playbook.task import Task
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as DefaultCallback
from ansible.utils.color import ANSIBLE_COLOR
from ansible.utils.display import Display

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parent if HERE.name == "plugins" else HERE
"""Of the project, or of the collection."""
if str(HERE / "plugin_utils") not in sys.path:
    sys.path.append(str(HERE / "plugin_utils"))

try:
    from rehome_terminal import entries
    from rehome_terminal.printer import Printer
    from rehome_terminal.stages import STAGES, module_of
    from rehome_terminal.watch import Running, Watch, clock
    from rich.text import Text
except ModuleNotFoundError as error:
    if error.name != "rich":
        raise
    IS_COMPLETE = False
else:
    IS_COMPLETE = True

DOCUMENTATION = r"""
name: rehome
type: stdout
short_description: What an operator wants to know of a migration, and nothing else
version_added: "0.2.0"
description:
  - Shows one line for each stage of a run, with what it did. On a terminal, a block that is redrawn in place shows how
    far a stage is, how fast, what holds it, and how long it takes still. Elsewhere, and with C(TERM=dumb), lines tell
    it, every 10 seconds at first and every 60 seconds in the end.
  - Errors and warnings are shown once, in their own words. Tasks that say and change nothing are not shown.
  - With C(-v) and more, everything is as M(ansible.builtin.default) shows it. To have that always, set
    E(ANSIBLE_STDOUT_CALLBACK=default).
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout_callback in the configuration; the one of this project is
  - the Python package rich, without which everything is as ansible.builtin.default shows it
"""


OWN = (ROOT / "playbooks", ROOT / "roles")
"""Where the tasks are that are no operator's."""
ASKING = "pause"
"""A module that asks the operator something."""
UNSPECIFIC = "One or more items failed"


class Quiet(DefaultCallback):  # type: ignore[misc] # Ansible ships no types
    """One line for each stage, and what people have to know."""

    CALLBACK_NAME = "rehome"
    SHOWS_PROGRESS = True
    """Tells the action plugin that it need not print lines itself."""

    def __init__(self) -> None:
        super().__init__()
        self._printer = Printer(self._display, color=bool(ANSIBLE_COLOR))
        self._watch: Watch | None = None
        self._titled = False
        self._told: set[str] = set()
        self._held: list[tuple[str, list[str]]] = []
        self._diffs: list[str] = []
        self._items_failed = False

    # What begins

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Print nothing: the play knows more."""

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Print what runs: the verb and its environment, or the play of another playbook."""
        self._play = play
        if not _is_own(play.get_path()):
            self._entry(entries.title_entry(clock(time.time()), play.get_name().strip()))
        elif not self._titled:
            self._titled = True
            env = play.get_variable_manager().extra_vars.get("env")
            parts = [Path(context.CLIARGS["args"][0]).stem, *([f"env={env}"] if env else [])]
            dry = ["dry run: nothing is written"] if context.CLIARGS["check"] else []
            self._entry(entries.title_entry(clock(time.time()), " · ".join([*parts, *dry])))

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:
        """Begin to show a task."""
        self._end_watch()
        self._diffs, self._items_failed = [], False
        module = module_of(task.action)
        running = Running(task.name or task.get_name(), STAGES.get(module), quiet=module == ASKING)
        self._watch = Watch(running, self._printer.screen, self._printer.say)
        self._watch.start()

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        """Begin to show a handler."""
        self.v2_playbook_on_task_start(task, False)

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """Print nothing."""

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        """Print nothing: the error has been printed."""

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Print that a play has no host."""
        self._entry(entries.task_entry("skipped", "no host matches"))

    # What ends

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Print what a stage did, what a message says, and what has changed."""
        watch = self._end_watch()
        if isinstance(result.task, TaskInclude):
            return
        facts = result.result
        if module_of(result.task.action) == "debug":
            self._print_message(result)
        elif did := self._did(result, watch):
            self._print_stage(result, watch, did)
        elif not (result.task.loop and "results" in facts):
            self._print_task(result, "")
        self._print_diffs()
        self._print_warnings(result)

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        """Print the same of an item of a loop."""
        self._end_watch()
        if isinstance(result.task, TaskInclude):
            return
        if module_of(result.task.action) == "debug":
            self._print_message(result)
        else:
            self._print_task(result, str(self._get_item_label(result.result)))
        self._print_warnings(result)

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        """Print nothing but warnings."""
        self._end_watch()
        self._print_warnings(result)

    def v2_runner_item_on_skipped(self, result: CallbackTaskResult) -> None:
        """Print nothing."""

    def v2_on_file_diff(self, result: CallbackTaskResult) -> None:
        """Keep the difference until it is said what has changed."""
        facts = result.result
        for one in facts["results"] if result.task.loop and "results" in facts else [facts]:
            if one.get("diff") and one.get("changed") and (text := self._get_diff(one["diff"])):
                self._diffs.append(text)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Print an error in its own words, once."""
        watch = self._end_watch()
        self._print_warnings(result)
        if watch and watch.running.stage and not ignore_errors:
            took = f"stopped after {time.time() - watch.running.began:,.1f} s"
            self._print_stage(result, watch, took)
        if not (self._items_failed and result.result.get("msg") == UNSPECIFIC):
            self._print_error(result, "", ignored=ignore_errors)

    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        """Print the error of an item of a loop."""
        self._end_watch()
        self._print_warnings(result)
        self._items_failed = True
        label = str(self._get_item_label(result.result))
        self._print_error(result, label, ignored=bool(result.task.ignore_errors))

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Print that a host cannot be reached, but for a task of ours that ignores it: the next one says it better."""
        self._end_watch()
        ignored = bool(result.task.ignore_unreachable)
        if not (ignored and _is_own(result.task.get_path())):
            self._print_error(result, "", ignored=ignored)

    def v2_runner_retry(self, result: CallbackTaskResult) -> None:
        """Print that a task is tried again."""
        self._end_watch()
        left = result.result["retries"] - result.result["attempts"]
        self._entry(entries.task_entry("again", _name_of(result), f"{left} attempts left"))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print how many tasks did what."""
        self._end_watch()
        self._print_held("")
        for host in sorted(stats.processed):
            counts = stats.summarize(host)
            counts["failed"] = counts.pop("failures")
            self._entry(entries.recap_entry(host, counts))
        if stats.custom and self.get_option("show_custom_stats"):
            self._entry(entries.text_entry(self._dump_results(stats.custom).strip("\n")))

    # How it is printed

    def _end_watch(self) -> Watch | None:
        watch, self._watch = self._watch, None
        if watch:
            watch.stop()
        return watch

    def _entry(self, text: Text, *, stderr: bool = False) -> None:
        self._print_held("")
        self._printer.entry(text, stderr=stderr)

    def _did(self, result: CallbackTaskResult, watch: Watch | None) -> str:
        """Return what a stage did; empty: the task is no stage."""
        did = result.result.get("did")
        if not did and watch and watch.running.stage:
            return f"ended after {time.time() - watch.running.began:,.1f} s"
        return str(did or "")

    def _print_stage(self, result: CallbackTaskResult, watch: Watch | None, did: str) -> None:
        if watch is None or watch.said_heading:
            self._entry(entries.text_entry(f"  {did}"))
        else:
            self._entry(entries.stage_entry(watch.running.at, watch.heading, did, self._printer.width))

    def _print_message(self, result: CallbackTaskResult) -> None:
        facts = dict(result.result)
        self._clean_results(facts, result.task.action)
        message = facts.get("msg")
        if isinstance(message, list) and all(isinstance(line, str) for line in message):
            message = "\n".join(message)
        if not isinstance(message, str):
            for name in ("item", *(name for name in facts if name.startswith("_"))):
                facts.pop(name, None)
            message = textwrap.dedent(self._dump_results(facts)).strip("\n")
        message = message.rstrip("\n")
        self._entry(entries.message_entry(f"\n{message}" if "\n" in message else message, self._printer.width))

    def _print_task(self, result: CallbackTaskResult, item: str) -> None:
        """Print a task that has changed something; of another playbook, also one that has not."""
        changed = bool(result.result.get("changed"))
        if changed or not _is_own(self._play.get_path()):
            about = ", ".join(filter(None, [item, self._host_of(result)]))
            self._entry(entries.task_entry("changed" if changed else "ok", _name_of(result), about))

    def _print_error(self, result: CallbackTaskResult, item: str, *, ignored: bool) -> None:
        facts = result.result
        message = str(facts.get("censored") or facts.get("msg") or "it has failed without a message")
        more: list[str] = []
        if not _is_own(result.task.get_path()):
            about = ", ".join(filter(None, [item, self._host_of(result)]))
            message = f"{_name_of(result)}{f' ({about})' if about else ''}: {message}"
            more += entries.output_of(facts, ("stderr", "stdout"))
        more += entries.output_of(facts, ("module_stderr", "module_stdout"))  # of a module that did not end by itself
        if isinstance(facts.get("so_far"), list):
            more += entries.summary_of(facts["so_far"])
        more += _origin(result)
        if ignored:
            self._entry(entries.task_entry("ignored", message))
        elif _is_rescued(result.task):
            self._held.append((message, more))
        else:
            self._print_held(message)
            self._printer.entry(entries.error_entry(message, more))

    def _print_held(self, message: str) -> None:
        """Print the errors that a rescue was to deal with, but those that the message of the rescue repeats."""
        held, self._held = self._held, []
        for text, more in held:
            if " ".join(text.split()) not in " ".join(message.split()):
                self._printer.entry(entries.error_entry(text, more))

    def _print_diffs(self) -> None:
        for text in self._diffs:
            self._entry(entries.diff_entry(text))
        self._diffs = []

    def _print_warnings(self, result: CallbackTaskResult) -> None:
        facts = result.result
        for name in ("exception", "warnings"):
            facts.pop(name, None)
        for warning in result.warnings:
            text = str(warning.event.msg)
            if text not in self._told:
                self._told.add(text)
                self._entry(entries.warning_entry(text), stderr=True)
        self._handle_warnings(facts)  # of what is deprecated

    def _host_of(self, result: CallbackTaskResult) -> str:
        """Return the host where the playbook is an operator's own, and there may be several."""
        label = self.host_label(result)
        return "" if _is_own(self._play.get_path()) or label == "localhost" else label


def _name_of(result: CallbackTaskResult) -> str:
    """Return the task's name without that of its role, which the newer Ansible puts before it."""
    role = result.task._role
    return str(result.task_name).removeprefix(f"{role.get_name()} : " if role else "")


def _is_own(path: str | None) -> bool:
    """Return whether this place (`file:line`) is in a role or playbook of Rehome's."""
    file = Path((path or "").rpartition(":")[0]).resolve()
    return any(file.is_relative_to(folder) for folder in OWN)


def _is_rescued(task: Task) -> bool:
    """Return whether a rescue deals with the failure of this task."""
    child: Any = task
    while (parent := getattr(child, "_parent", None)) is not None:
        if isinstance(parent, Block) and parent.rescue and any(one._uuid == child._uuid for one in parent.block):
            return True
        child = parent
    return False


def _origin(result: CallbackTaskResult) -> list[str]:
    """Return where the cause of an error is, if it is in a file of the operator's."""
    event = result.exception.event if result.exception else None
    places = []
    while event is not None:
        if event.formatted_source_context:
            places.append(event.formatted_source_context.partition("\n")[0].removeprefix("Origin: "))
        event = event.chain.event if event.chain else None
    theirs = [place for place in places if place.startswith("/") and not _is_own(place.rpartition(":")[0])]
    return [f"  in {theirs[-1]}"] if theirs else []


# Ansible finds a plugin, and the kind that it is, by the name of its class.
if IS_COMPLETE and not Display().verbosity:

    class CallbackModule(Quiet):
        """The output without -v."""

else:

    class CallbackModule(DefaultCallback):  # type: ignore[misc, no-redef]
        """Ansible's own output: for -v, and where the package rich is missing."""

        CALLBACK_NAME = "rehome"
        SHOWS_PROGRESS = False

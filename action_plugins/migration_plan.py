"""Run the module of the same name in the foreground, and say meanwhile how far it is.

One file under the names of all modules that may run long: a module has no channel to speak through while it works,
but the action plugin's Display reaches the terminal, and AWX, at once.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

FIRST_LINE_S = 3.0
LINE_EVERY_S = 10.0
LOOK_EVERY_S = 0.5
ENGINE = Path(__file__).resolve().parents[1] / "module_utils"


class ActionModule(ActionBase):
    """Gives the module the process that the run belongs to and the verb that it is, and tails its progress file."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _refuse_parts()
        parent = os.getppid()
        settings = self._task.args.get("settings")
        state_dir = settings.get("state_dir") if isinstance(settings, dict) else None
        over = threading.Event()
        watcher = threading.Thread(target=_watch, args=(state_dir, parent, over), daemon=True)
        watcher.start()
        try:
            arguments = {**self._task.args, "run_pid": parent, "run_verb": self._verb()}
            # The engine is imported from where it is, as compiled by an earlier run: packing it into each module and
            # compiling it there took longer than most stages. The modules run on this machine in any case.
            path = os.pathsep.join(filter(None, [str(ENGINE), os.environ.get("PYTHONPATH")]))
            self._task.environment = [*(self._task.environment or []), {"PYTHONPATH": path}]
            return self._execute_module(module_args=arguments, task_vars=task_vars)
        finally:
            over.set()
            watcher.join()

    def _verb(self) -> str:
        """The name of the playbook; with --check it is another verb, whose summary must not replace the real run's."""
        playbook = Path(str(self._task.get_play().get_path()).rpartition(":")[0])
        return playbook.stem + ("-check" if context.CLIARGS.get("check") else "")


def _refuse_parts() -> None:
    """The playbooks look for what is left out, and `always` would leave out just that."""
    skipped = list(context.CLIARGS.get("skip_tags") or ())
    if "always" in skipped:
        raise AnsibleError(
            f"--skip-tags ({', '.join(skipped)}): they would leave out stages, and the run would still look like a "
            "success. Run it without them."
        )


def _watch(state_dir: str | None, parent: int, over: threading.Event) -> None:
    due = time.monotonic() + FIRST_LINE_S
    while not over.wait(LOOK_EVERY_S):
        if os.getppid() != parent:
            # ansible-playbook was killed outright: this worker and its module would live on unseen
            os.killpg(0, signal.SIGTERM)
        if state_dir and time.monotonic() >= due:
            due = time.monotonic() + LINE_EVERY_S
            # a line that cannot be shown must not take the watch over the parent with it
            with contextlib.suppress(Exception):
                Display().display(progress_line(json.loads((Path(state_dir) / "progress.json").read_text())))


def progress_line(facts: dict[str, Any], now: float | None = None) -> str:
    """How far a stage is, on one line for people and for grep, from what the module wrote (`Progress`)."""
    done, total, now = facts["done"], facts["total"], now or time.time()
    waiting = facts.get("waiting")
    told = [_waiting(waiting, now)] if waiting else []
    if not done:
        return "  ".join([f"  {facts['stage']}", *told])
    paused = facts.get("paused_s", 0.0) + (now - waiting["since"] if waiting else 0.0)
    rate = done / max(now - facts["began"] - paused, 0.001)
    parts = [
        f"  {facts['stage']}",
        f"{done:,}/{total:,} {done / total:.1%}" if total else f"{done:,}",
        f"{rate:,.0f}/s",
    ]
    parts += [f"{name}={count:,}" for name, count in facts.get("counts", {}).items()]
    if total:
        parts.append(f"eta {datetime.timedelta(seconds=round((total - done) / rate))}")
    return "  ".join(parts + told)


def _waiting(facts: dict[str, Any], now: float) -> str:
    since = datetime.datetime.fromtimestamp(facts["since"], datetime.UTC)
    for_s = datetime.timedelta(seconds=round(now - facts["since"]))
    return f"waiting since {since:%H:%M:%S} UTC ({for_s}): {facts['why']}"

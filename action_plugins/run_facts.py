"""Tell what a run was and how it ended; the module of the same name documents the options.

It is an action plugin, so that it also tells of a run whose modules could not start, and costs no process.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from ansible.plugins.action import ActionBase

SUMMARY, REPORT, FACTS = "summary.json", "report.md", "report.json"
COUNTED = ("objects_", "copies_", "rows_", "bytes_", "ranges_")
"""The beginnings of the names of the summary's counts."""
LAST_STEP = "REHOME_LAST_STEP"
"""The variable by which the action plugin of the other modules leaves what the last of them was, and its failure."""
PROBLEMS, LONGEST = 20, 1000
"""How many problems are told, and how many characters of each: AWX keeps what a job hands on in its database."""
_CODE = re.compile(r"\[(RH-\d{3})\]")
"""The heading in docs/runbook.md that a message leads to."""
ELSEWHERE = "a task that is not Rehome's own has failed; the output of the run has its message"


class ActionModule(ActionBase):
    """Reads the summary of this run, if it has one yet."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return `artifacts`, which the next job of a workflow may be given, and `run`, which hooks are given."""
        super().run(tmp, task_vars)
        _, params = self.validate_argument_spec(
            {
                "state_dir": {"type": "str"},
                "failed": {"type": "bool", "required": True},
                "counts": {"type": "dict", "default": {}},
                "outcome": {"type": "str"},
            }
        )
        summary = summary_of(Path(params["state_dir"] or os.devnull), os.getppid())
        playbook = Path(str(self._task.get_play().get_path()).rpartition(":")[0])
        told = run_facts(
            summary=summary,
            verb=playbook.stem,
            env=str((task_vars or {}).get("env", "")),
            dry_run=bool(self._task.check_mode),
            failed=params["failed"],
            failure=last_failure(),
            counts=params["counts"],
            outcome=params["outcome"],
            has_report=has_report(Path(params["state_dir"] or os.devnull), summary),
        )
        lines = card_of(Path(params["state_dir"] or os.devnull), summary)
        return {"changed": False, "artifacts": artifacts(told), "run": told, "lines": lines}


def summary_of(state_dir: Path, pid: int) -> dict[str, Any]:
    """Return the summary in the state folder if it is of the run whose process is `pid`; else nothing."""
    try:
        kept: dict[str, Any] = json.loads((state_dir / SUMMARY).read_text(encoding="utf-8"))
        host, number, since = str(kept["run"]).split(":", 2)
        began = datetime.datetime.fromisoformat(since).timestamp()
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    # in a container, another job's process may have had the same number, and the machine the same name
    ours = (host, number) == (socket.gethostname(), str(pid)) and began > psutil.Process(pid).create_time() - 2
    return kept if ours else {}


def has_report(state_dir: Path, summary: Mapping[str, Any]) -> bool:
    """Return whether the state folder has a report of the run of this summary, and not of an earlier one."""
    try:
        written = (state_dir / REPORT).stat().st_mtime
        return written > datetime.datetime.fromisoformat(summary["started_at"]).timestamp() - 1
    except (OSError, KeyError, ValueError):
        return False


def card_of(state_dir: Path, summary: Mapping[str, Any]) -> list[str]:
    """Return the lines that this run's report has for the terminal; none if it has left no report yet."""
    try:
        report: dict[str, Any] = json.loads((state_dir / FACTS).read_text(encoding="utf-8"))
        return list(map(str, report["card"])) if report["run"] == summary["run"] else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def last_failure() -> str:
    """Return the message of the run's last module, if it failed; else nothing."""
    try:
        fd = int(os.environ[LAST_STEP].partition(":")[2])
        return str(json.loads(os.pread(fd, 65536, 0)).get("failure") or "")
    except (KeyError, OSError, ValueError):
        return ""


def run_facts(
    *,
    summary: Mapping[str, Any],
    verb: str,
    env: str,
    dry_run: bool,
    failed: bool,
    failure: str,
    counts: Mapping[str, Any],
    outcome: str | None,
    has_report: bool = False,
) -> dict[str, Any]:
    """Return what the run was, for hooks.

    summary: of the run; empty if it has none: its verb writes none, or it has failed before
    failed: whether a task of the run has failed
    failure: the message of its last module, if that failed
    counts: of verbs without counts in a summary
    outcome: in words, of verbs that have none in a summary
    has_report: whether the run has left a report beside its summary
    """
    dry_run = bool(summary.get("dry_run", dry_run))
    # a verb without a summary has no more to do than its tasks
    complete = not failed and bool(summary["complete"] if summary else not dry_run)
    problems = summary.get("problems", [])
    # after a verdict, a hook may have failed
    words = outcome if outcome and (problems or not failed) else "NOT COMPLETE" if failed else summary.get("outcome")
    message = (failure or "; ".join(problems) or ELSEWHERE) if failed else ""
    folder = summary.get("kept_in", "")
    return {
        "verb": verb,
        "env": env,
        "dry_run": dry_run,
        "failed": failed,
        "complete": complete,
        "outcome": words or ("a dry run: nothing was written" if dry_run else "complete"),
        "message": message[: PROBLEMS * LONGEST],
        "problems": [problem[:LONGEST] for problem in problems[:PROBLEMS]],
        "codes": list(dict.fromkeys(_CODE.findall(" ".join([message, *problems])))),
        "plan_sha256": summary.get("plan_sha256") or None,
        "counts": {name: count for name, count in summary.items() if name.startswith(COUNTED)} | dict(counts),
        "summary": f"{folder}{SUMMARY}" if summary else None,
        "report": f"{folder}{REPORT}" if has_report else None,
        "job": summary.get("job"),
    }


def artifacts(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the run hands on: `rehome_artifacts`, and the digest of a plan that may be approved.

    run: as `run_facts` returns it
    """
    names = ("verb", "env", "dry_run", "complete", "outcome", "codes", "plan_sha256", "counts", "summary", "report")
    handed_on: dict[str, Any] = {"rehome_artifacts": {name: run[name] for name in names}}
    if run["verb"] == "plan" and run["plan_sha256"] and not run["failed"]:
        handed_on["approved_plan"] = run["plan_sha256"]
    return handed_on

"""Run a module's work under the lock on the state folder, and report its result or its failure to Ansible."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .. import duckdb_engine as duckdb
from ..codes import Code, codes_in, marked
from ..config.cluster import Waited
from ..config.confirmation import unconfirmed_verb
from ..config.environment import Exported
from ..config.read import read_settings
from ..config.settings import Settings
from ..errors import Finding, RefusedError, RehomeError
from ..job import read_job
from ..progress import Progress
from ..report.ahead import ahead_s
from ..report.did import did
from ..report.document import measured
from ..report.facts import Report
from ..report.fields import counts_in
from ..state.folder import prepare_state_dir
from ..state.interruption import forget_interruption, interruption, note_interruption
from ..state.lock import acquire
from ..state.sync import upload_state
from ..version import VERSION
from .argument_spec import ARGUMENT_SPEC
from .metrics import Metrics, MetricsFile, NoMetrics
from .run_report import RunReport
from .stage import Stage
from .stopping import Stopping, StopRequestedError

WAITED_FILE = "workers-waited.txt"


def _hide_secrets(module: AnsibleModule) -> None:
    """Hide from Ansible's output what its argument spec does not know: the environment's secrets, passwords in URLs.

    A URL with a password is refused, but Ansible shows the options of a refused task, too.
    """
    exported = Exported(os.environ)
    exported.add_to(module.params["settings"])
    exported.add_to_grants(module.params.get("grants") or {})
    module.no_log_values.update(exported.secrets())
    for label in ("source", "target"):
        url = (module.params["settings"][label] or {}).get("endpoint_url") or ""
        secret = url.rpartition("@")[0].rpartition(":")[2]
        if secret:
            module.no_log_values.add(secret)
    # the text of a key where its path belongs is refused, too
    cluster = module.params["settings"].get("cluster") or {}
    files = [cluster.get(name) or "" for name in ("ca", "cert", "key", "record")]
    module.no_log_values.update(file for file in files if "\n" in file or "-----BEGIN" in file)


Beside = Callable[[Mapping[str, Any], Mapping[str, str]], list[Finding]]


def _nothing(_settings: Mapping[str, Any], _variables: Mapping[str, str]) -> list[Finding]:
    return []


def run_module(
    module_class: type[AnsibleModule],
    work: Callable[[Stage], dict[str, Any]],
    options: Mapping[str, Any] | None = None,
    beside: Beside = _nothing,
) -> None:
    """Run `work` as an Ansible module, under the lock on the state folder, and exit with what it returns.

    Every expected failure ends as one message and never as a traceback, and so does a stop. With a stop, `so_far`
    has the card of the run: the tasks that show it are not reached any more.

    module_class: AnsibleModule. The module imports it itself: by that import Ansible knows that it takes JSON options
    work: its result may have `warnings` (a list), and a `diff`, which is left out without --diff. The codes of what it
        refuses, warns of or says is left are added to it as `codes`, as they are to a failure
    options: of this module, beside those of `ARGUMENT_SPEC`
    beside: what else to tell if the settings are refused, from the option `settings` and the environment's variables
    """
    module = module_class({**ARGUMENT_SPEC, **(options or {})}, supports_check_mode=True)
    os.umask(0o077)  # the state folder may be the operator's own; its files name keys and rows
    _hide_secrets(module)
    state_dir = Path(module.params["settings"]["state_dir"])
    progress = Progress(state_dir)
    stopping = Stopping(_works_for(module.params["run_pid"]), lambda: _end_now(module, progress))
    failure: dict[str, Any]
    try:
        result = _locked(module, work, progress, stopping, beside)
    except RehomeError as error:
        failure = {"msg": error.told}
    except (OSError, duckdb.Error) as error:
        # the other expected failures: a full disk, a folder of another owner, a damaged catalog
        failure = {"msg": _of_state_folder(state_dir, error)}
    except StopRequestedError as stop:
        line = str(stop) or interruption(module.params["run_verb"], progress, in_time=True)
        failure = {"msg": marked(line, Code.INTERRUPTED), **_so_far(stop)}
    else:
        stopping.ignore()
        _exit(module, result)
    stopping.ignore()
    failure["codes"] = codes_in(failure["msg"])
    if stopping.requested:
        failure["interrupted"] = True
        note_interruption(state_dir, str(failure["msg"]))
    # not inside the handlers: Ansible would add the exception to the message again
    module.fail_json(**failure)


def _exit(module: AnsibleModule, result: dict[str, Any]) -> None:
    if codes := _codes_of(result):
        result["codes"] = codes
    for text in result.pop("warnings", ()):
        module.warn(text)
    if not module._diff:
        result.pop("diff", None)
    module.exit_json(**result)


def _of_state_folder(state_dir: object, error: Exception) -> str:
    # DuckDB's errors have no number
    is_full = any(os.strerror(number) in str(error) for number in (ENOSPC, EDQUOT))
    way_out = ". Make room there, then run the same command again: it goes on from here" if is_full else ""
    return marked(f"rehome_state_dir ({state_dir}): {error}{way_out}", Code.STATE_FOLDER)


def _codes_of(result: Mapping[str, Any]) -> list[str]:
    """Return the codes of what a result refuses, warns of, or says is left."""
    texts = [text for name in ("refusals", "problems", "warnings") for text in result.get(name, ())]
    return codes_in(*texts, *result.get("summary", {}).get("problems", ()))


def run_beside(
    module_class: type[AnsibleModule],
    work: Callable[[Settings, Mapping[str, Any], bool], dict[str, Any]],
    options: Mapping[str, Any],
) -> None:
    """Run `work` as an Ansible module that takes no lock, beside a run that is at work, and exit with what it returns.

    work: is given the settings, the module's options, and whether to write nothing
    """
    module = module_class({**ARGUMENT_SPEC, **options}, supports_check_mode=True)
    os.umask(0o077)
    _hide_secrets(module)
    try:
        settings = read_settings(module.params["settings"], os.environ)
        result = work(settings, module.params, module.check_mode)
    except RehomeError as error:
        message = error.told
    except (OSError, duckdb.Error) as error:
        message = _of_state_folder(module.params["settings"]["state_dir"], error)
    else:
        _exit(module, result)
    module.fail_json(msg=message, codes=codes_in(message))


def _works_for(run_pid: int) -> set[int]:
    """Return the processes that this module works for: ansible-playbook, and the worker that leads our session."""
    return {run_pid, os.getsid(0)} - {os.getpid()}


def _end_now(module: AnsibleModule, progress: Progress) -> None:
    """End this process in the middle of its work, which was asked to stop and does not."""
    message = interruption(module.params["run_verb"], progress, in_time=False)
    note_interruption(Path(module.params["settings"]["state_dir"]), message)
    failure = {"failed": True, "changed": True, "msg": message, "interrupted": True}
    with suppress(OSError):
        os.write(1, json.dumps(failure).encode())
    os._exit(1)


def _locked(
    module: AnsibleModule,
    work: Callable[[Stage], dict[str, Any]],
    progress: Progress,
    stopping: Stopping,
    beside: Beside,
) -> dict[str, Any]:
    """Run `work` while this run has locked the state folder. A stage that fails ends the run, and so its lock."""
    try:
        settings = read_settings(module.params["settings"], os.environ)
    except RefusedError as refusal:
        more = beside(module.params["settings"], os.environ)
        raise RefusedError([*refusal.findings, *more]) from None
    verb, dry_run = module.params["run_verb"], module.check_mode
    if wrong := unconfirmed_verb(settings, verb):
        raise RefusedError(wrong)
    prepare_state_dir(settings.state_dir)
    holder = acquire(settings.state_dir, module.params["run_pid"], verb, read_job(module.params["run_job"]))
    forget_interruption(settings.state_dir)
    settings = _waiting_once(settings, holder.identity)
    exported = Exported(os.environ)
    exported.add_to(module.params["settings"])
    origin = {**(module.params["run_origin"] or {}), "exported": sorted({*exported.taken.values()})}
    record = RunReport(settings, holder.identity, module._name.rpartition(".")[2], origin)
    stage = Stage(
        settings, progress, holder.identity, holder.pid, verb, dry_run, module.params, stopping, record, os.environ
    )
    progress.of_run(verb=verb, run=holder.identity, **_known_of_run(stage))
    began = time.monotonic()
    metrics = _metrics(stage)
    try:
        with metrics:
            try:
                progress.stage(f"start {module._name}")
                result = work(stage)
            except BaseException:
                metrics.failed = True
                raise
        if metrics.problem:
            result["warnings"] = [*result.get("warnings", ()), metrics.problem]
        line = did(record.stage, result, dry_run=dry_run, seconds=time.monotonic() - began)
        return result if line is None else {**result, "did": line}
    except (Exception, StopRequestedError) as error:  # of any kind: it is raised again
        # a library may turn what a signal's handler raises into an error of its own
        line = interruption(verb, progress, in_time=True)
        ended = StopRequestedError(line) if stopping.requested else error
        record.keep(error=_told(ended))
        with suppress(Exception):  # the report of a failure must not take its place
            _note_card(ended, stage.write_report())
        stage.release()
        # Report the original error. A failed upload of the state surfaces in the next run.
        with suppress(RehomeError):
            upload_state(settings)
        raise ended from error.__cause__
    finally:
        with suppress(OSError):  # a full disk has been reported by what met it first
            progress.end()


def _waiting_once(settings: Settings, run: str) -> Settings:
    """Return settings by which all stages of a run together wait once for the workers of its cluster."""
    if settings.cluster is None:
        return settings
    waited = Waited(settings.state_dir / WAITED_FILE, run)
    return replace(settings, cluster=replace(settings.cluster, waited=waited))


def _known_of_run(stage: Stage) -> dict[str, float | None]:
    """Return what the progress of a migration says in addition: the pass, and how long the later stages take."""
    if stage.verb != "migrate":
        return {}
    try:
        fields = stage.summary().fields
    except (RehomeError, OSError):
        return {}
    name, rates = stage.record.stage, measured(stage.settings.state_dir)
    rows = counts_in(fields)["rows_not_reached"]
    return {
        "pass": len(fields["passes"]) + (name == "plan"),
        "ahead_s": ahead_s(name, stage.record.kept.get("stages", []), rows, rates.rows_per_second),
    }


def _metrics(stage: Stage) -> Metrics:
    if stage.settings.metrics_file is None:
        return NoMetrics()
    origin = stage.params["run_origin"] or {}
    labels = {
        "migration": stage.settings.name,
        "env": str(origin.get("env", "")),
        "verb": stage.verb,
        "run": stage.run_id,
        "version": VERSION,
    }
    return MetricsFile(stage.settings, stage.progress, stage.run_id, labels)


def _told(error: BaseException) -> str:
    """Return what the operator is told of an error. The text of one that nobody expects may hold a secret."""
    if isinstance(error, RehomeError):
        return error.told
    if isinstance(error, (OSError, duckdb.Error)):
        return marked(str(error), Code.STATE_FOLDER)
    if isinstance(error, StopRequestedError):
        return marked(str(error), Code.INTERRUPTED)
    return marked(f"an unexpected error, {type(error).__name__}: see the task's output", Code.UNEXPECTED)


def _note_card(error: BaseException, report: Report | None) -> None:
    """Add the card of a run that was stopped to the error. That of one that fails is shown by the role `ending`."""
    if report is not None and isinstance(error, StopRequestedError):
        for line in report["card"]:
            error.add_note(line)


def _so_far(error: BaseException) -> dict[str, list[str]]:
    lines = getattr(error, "__notes__", [])
    return {"so_far": lines} if lines else {}

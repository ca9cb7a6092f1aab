"""TODO-DOC."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .. import duckdb_engine as duckdb
from ..config.read import read_settings
from ..errors import RehomeError
from ..progress import Progress
from ..state.folder import prepare_state_dir
from ..state.lock import acquire, release
from ..state.sync import upload_state
from .stage import Stage


def _hide_passwords_in_urls(module: AnsibleModule) -> None:
    """A URL with a password is refused, but Ansible shows the options of a refused task too."""
    for label in ("source", "target"):
        url = (module.params["settings"][label] or {}).get("endpoint_url") or ""
        secret = url.rpartition("@")[0].rpartition(":")[2]
        if secret:
            module.no_log_values.add(secret)


def run_stage(module: AnsibleModule, work: Callable[[Stage], dict[str, Any]]) -> None:
    """Hold the state folder, do `work`, and answer with what it returns, as an Ansible module.

    module: takes what `ARGUMENT_SPEC` describes, and may take more

    Every expected failure ends as one message and never as a traceback.
    """
    os.umask(0o077)  # the state folder may be the operator's own; its files name keys and rows
    _hide_passwords_in_urls(module)
    try:
        result = _held(module, work)
    except RehomeError as error:
        failure = {"msg": str(error), **_so_far(error)}
    except (OSError, duckdb.Error) as error:
        # what is left of expected trouble: a full disk, a folder that somebody else owns, a damaged catalog
        failure = {"msg": f"rehome_state_dir ({module.params['settings']['state_dir']}): {error}", **_so_far(error)}
    else:
        for text in result.pop("warnings", ()):
            module.warn(text)
        if not module._diff:
            result.pop("diff", None)
        module.exit_json(**result)
    # not inside the handlers: Ansible would add the exception to the message once more
    module.fail_json(**failure)


def _held(module: AnsibleModule, work: Callable[[Stage], dict[str, Any]]) -> dict[str, Any]:
    """Do `work` while this run holds the state folder. A stage that fails ends the run, and so its hold."""
    settings = read_settings(module.params["settings"])
    prepare_state_dir(settings.state_dir)
    holder = acquire(settings.state_dir, module.params["run_pid"])
    progress = Progress(settings.state_dir)
    told = (holder.identity, holder.pid, module.params["run_verb"], module.check_mode, module.params)
    stage = Stage(settings, progress, *told)
    try:
        return work(stage)
    except Exception as error:  # whatever it was, it goes on its way: only the hold must not outlive it
        _note_so_far(stage, error)
        release(settings.state_dir, holder.pid)
        # what failed is what is to be told; that the state could not be kept either, the next run tells
        with suppress(RehomeError):
            upload_state(settings)
        raise
    finally:
        progress.end()


def _note_so_far(stage: Stage, error: Exception) -> None:
    """A run that fails does not come to its summary: what it has written until then is told with the failure."""
    with suppress(RehomeError, OSError):
        summary = stage.summary()
        if summary.has_written:
            for line in summary.lines():
                error.add_note(line)


def _so_far(error: Exception) -> dict[str, list[str]]:
    lines = getattr(error, "__notes__", [])
    return {"so_far": lines} if lines else {}

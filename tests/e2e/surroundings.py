"""What a forked `ansible-playbook` has otherwise than the process that it is a fork of: variables, and forked modules.

Imports little, as each fork of tests.e2e.forked would import it anew.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

READ_BY_ANSIBLE = "ANSIBLE_"
"""How the names of variables begin that are read when Ansible is imported: those of tests.e2e.warm hold."""


def export(exported: Mapping[str, str]) -> None:
    """Export variables. Ansible's own are read once more, as they were when it was imported."""
    os.environ.update(exported)
    if any(name.startswith(READ_BY_ANSIBLE) for name in exported):
        from ansible import constants  # noqa: PLC0415 - see tests.e2e.warm

        importlib.reload(constants)


def fork_modules(environment: Mapping[str, str], imported: Sequence[str]) -> None:
    """Let the run fork the modules that it would start on this machine.

    environment: all its variables, except Ansible's own
    imported: what many of its modules import, loaded once
    """
    given = {name: value for name, value in environment.items() if not name.startswith(READ_BY_ANSIBLE)}
    kept = {name: value for name, value in os.environ.items() if name.startswith(READ_BY_ANSIBLE)}
    os.environ.clear()
    os.environ.update(given | kept | {"PATH": f"{Path(sys.executable).parent}:{environment['PATH']}"})
    _fork_modules(imported)


def _fork_modules(imported: Sequence[str]) -> None:
    """Let Ansible's workers of this process fork the modules that they would start on this machine."""
    import rehome_fork  # noqa: PLC0415 - see tests.e2e.warm
    from ansible.executor.process.worker import WorkerProcess  # noqa: PLC0415
    from ansible.plugins.action import ActionBase  # noqa: PLC0415

    start, configure, execute = WorkerProcess.start, ActionBase._configure_module, ActionBase._low_level_execute_command

    def start_with_imports(self: Any) -> None:
        for name in imported:
            importlib.import_module(name)
        start(self)

    def configure_module(self: Any, module_name: str, module_args: dict[str, Any], task_vars: Any) -> Any:
        local = self._connection.transport == "local" and not self._connection.become and not self._task.async_val
        self._to_fork = _python_name(self, module_name) if local else None
        if self._to_fork is None:
            return configure(self, module_name, module_args, task_vars)
        return rehome_fork.built(module_args), self._to_fork

    def execute_command(self: Any, cmd: str, *args: Any, in_data: bytes | None = None, **more: Any) -> Any:
        if in_data is None or getattr(self, "_to_fork", None) is None:
            return execute(self, cmd, *args, in_data=in_data, **more)
        variables: dict[str, Any] = {}
        self._compute_environment_string(variables)
        variables = {str(name): str(value) for name, value in variables.items()}
        ended = rehome_fork.run(self._to_fork, in_data, Path(self._loader.get_basedir()), variables)
        out, err = (part.decode(errors="replace") for part in (ended.out, ended.err))
        return {"rc": ended.code, "stdout": out, "stdout_lines": out.splitlines(), "stderr": err}

    WorkerProcess.start = start_with_imports
    ActionBase._configure_module = configure_module
    ActionBase._low_level_execute_command = execute_command


def _python_name(action: Any, module_name: str) -> str | None:
    """Return by which name Python imports a module of ansible-core or of a collection, and None for any other."""
    found = action._shared_loader_obj.module_loader.find_plugin_with_context(
        module_name, collection_list=action._task.collections
    )
    path = str(found.plugin_resolved_path or "")
    place = re.search(r"/((?:ansible/modules|ansible_collections/\w+/\w+/plugins/modules)/\w+)\.py$", path)
    return place[1].replace("/", ".") if place else None

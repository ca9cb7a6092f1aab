"""ansible-playbook whose modules start as forks of a process that has their imports loaded.

Most of the time of a short playbook run goes into starting Python and importing libraries, eight times. A run here is
the same playbook by the same ansible-core with the same plugins, arguments, results and process tree; only
`python < AnsiballZ_x.py` is replaced by a fork, in the same process group (the worker's). Some tests run without
this, as operators do.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
# read when Ansible is imported
os.environ |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}

# as the action plugin does for modules that start their own interpreter
sys.path.insert(0, str(ROOT / "module_utils"))

import psycopg  # noqa: E402, F401 - imported for the forks, as those below
import pymysql  # noqa: E402, F401
from ansible.cli.playbook import main as ansible_playbook  # noqa: E402
from ansible.executor.module_common import _BuiltModule  # noqa: E402
from ansible.module_utils import basic  # noqa: E402
from ansible.module_utils.common.json import Direction, get_module_encoder  # noqa: E402
from ansible.plugins.action import ActionBase  # noqa: E402
from rehome.ansible_module import stage as module  # noqa: E402, F401
from rehome.config.settings import Side  # noqa: E402
from rehome.preflight import preflight  # noqa: E402, F401
from rehome.s3.endpoint.resolve import resolve  # noqa: E402
from rehome.stages import rollback_rows as rolling_back  # noqa: E402, F401
from rehome.stages import verify_sample as sampling  # noqa: E402, F401

# makes botocore read its models now rather than in every fork
resolve(Side("source", "b", "", endpoint_url="http://127.0.0.1:1", region="r", access_key="k", secret_key="s"))

PROFILE = "legacy"
"""ansible-core's serialization profile for modules in a project's library/."""


def play(arguments: Sequence[str], output: Path) -> None:
    """Run `ansible-playbook` with these arguments in a session of its own; its output goes into the pipe `output`."""
    os.setsid()
    os.chdir(ROOT)
    _redirect(0, os.open(os.devnull, os.O_RDONLY))
    writing = os.open(output, os.O_WRONLY)
    _redirect(1, os.dup(writing))
    _redirect(2, writing)
    _start_modules_as_forks()
    # excludes all present objects from garbage collection in the forks
    gc.freeze()
    _leave(lambda: ansible_playbook(["ansible-playbook", *arguments]))


def _start_modules_as_forks() -> None:
    configure, execute = ActionBase._configure_module, ActionBase._low_level_execute_command

    def _configure_module(self: Any, module_name: str, module_args: dict[str, Any], task_vars: Any) -> Any:
        file = ROOT / "library" / f"{module_name}.py"
        if not file.exists():
            return configure(self, module_name, module_args, task_vars)
        encoder = get_module_encoder(PROFILE, Direction.CONTROLLER_TO_MODULE)
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": module_args}, cls=encoder).encode()
        built = _BuiltModule(
            b_module_data=f"{file}\n".encode() + arguments,
            module_style="new",
            shebang=f"#!{sys.executable}",
            serialization_profile=PROFILE,
        )
        return built, str(file)

    def _low_level_execute_command(
        self: Any, cmd: str, sudoable: bool = True, in_data: bytes | None = None, **more: Any
    ) -> Any:
        if in_data is None or not in_data.startswith(str(ROOT / "library").encode()):
            return execute(self, cmd, sudoable=sudoable, in_data=in_data, **more)
        file, _, arguments = in_data.partition(b"\n")
        return _fork(file.decode(), arguments)

    ActionBase._configure_module = _configure_module
    ActionBase._low_level_execute_command = _low_level_execute_command


def _fork(file: str, arguments: bytes) -> dict[str, Any]:
    """Run the module in `file` with these arguments (JSON). Return output and exit code as ansible-core does."""
    out_reading, out_writing = os.pipe()
    err_reading, err_writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        for reading in (out_reading, err_reading):
            os.close(reading)
        _run_module(file, arguments, out_writing, err_writing)
    os.close(out_writing)
    os.close(err_writing)
    with os.fdopen(out_reading) as out, os.fdopen(err_reading) as err:
        # a module prints its result once, and what it prints to stderr fits into the pipe
        stdout, stderr = out.read(), err.read()
    _, status = os.waitpid(pid, 0)
    return {
        "rc": os.waitstatus_to_exitcode(status),
        "stdout": stdout,
        "stdout_lines": stdout.splitlines(),
        "stderr": stderr,
        "stderr_lines": stderr.splitlines(),
    }


def _run_module(file: str, arguments: bytes, out: int, err: int) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    _redirect(0, os.open(os.devnull, os.O_RDONLY))
    _redirect(1, out)
    _redirect(2, err)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = arguments, PROFILE
    _leave(lambda: runpy.run_path(file, run_name="__main__"))


def _leave(last: Callable[[], object]) -> NoReturn:
    """Call `last`, and end this process with the exit code and traceback that an interpreter would produce."""
    code = 0
    try:
        last()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _redirect(number: int, to: int) -> None:
    os.dup2(to, number)
    os.close(to)

"""ansible-playbook as a fork of a process that has its imports loaded.

Most of the time of a short playbook run goes into starting Python and importing libraries. A run here is the same
playbook by the same ansible-core with the same plugins, arguments, results and process tree. Some tests run without
this, as operators do.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[2]
# bytecode is kept, as it is for operators, also if it is not for the tests: each fork would compile all plugins anew
sys.dont_write_bytecode = False
# read when Ansible is imported
os.environ |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}

import psycopg  # noqa: E402, F401 - imported for the forks, as those below
import pymysql  # noqa: E402, F401
import rehome_fork  # noqa: E402
from ansible.cli.playbook import main as ansible_playbook  # noqa: E402

for module in ("migration_preflight", "migration_plan", "s3_batch_copy", "db_path_rewrite", "migration_verify"):
    rehome_fork.load(module)


def play(arguments: Sequence[str], output: Path) -> None:
    """Run `ansible-playbook` with these arguments in a session of its own; its output goes into the pipe `output`."""
    os.setsid()
    os.chdir(ROOT)
    _redirect(0, os.open(os.devnull, os.O_RDONLY))
    writing = os.open(output, os.O_WRONLY)
    _redirect(1, os.dup(writing))
    _redirect(2, writing)
    # excludes all present objects from garbage collection in the forks
    gc.freeze()
    _leave(lambda: ansible_playbook(["ansible-playbook", *arguments]))


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

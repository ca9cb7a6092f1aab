"""Run a module in a fork of Ansible's worker, which has imported what the module imports.

To start Python and import the engine takes longer than the work of most stages. ansible-playbook imports it once, when
it loads the action plugin, and every worker that it forks has it. The fork is the worker's child, in its process group
and its session, as an interpreter that Ansible starts: it hears the same signals, and ends when that would end. No
process waits for work, and none outlives the module.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib.util
import json
import logging
import mmap
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

PROFILE = "legacy"
"""What ansible-core calls the JSON that a module without a profile of its own takes and returns."""
_HERE = Path(__file__).resolve().parents[1]
ENGINE = _HERE / "module_utils"
MODULES = next((folder for folder in (_HERE / "library", _HERE / "modules") if folder.is_dir()), _HERE)
"""The folder of the modules, in the project or in the collection."""
_ROOM = 16_384
"""For the names of what a module imports while it works."""


@dataclass(frozen=True)
class Ended:
    """How a module has ended: its exit code, as a shell reports it, and what it has written.

    late: the engine's modules that it imported only when it was at work, such as those of the database
    """

    code: int
    out: bytes
    err: bytes
    late: tuple[str, ...]


class CannotForkError(Exception):
    """This process cannot be forked: the machine has no memory, or no process, left for it."""


def load(name: str, late: Iterable[str] = ()) -> bool:
    """Import what the module `name` imports. Return whether it can be forked from here.

    False if this Python lacks something. The modules' own may be another one; if not, the module reports what is
    missing.

    late: what modules before it imported when they were at work, such as the database's driver: it needs the same
    """
    if str(ENGINE) not in sys.path:
        sys.path.insert(0, str(ENGINE))
    spec = importlib.util.spec_from_file_location(f"rehome_fork_{name}", MODULES / f"{name}.py")
    if spec is None or spec.loader is None or not hasattr(os, "memfd_create"):
        return False
    try:
        _ansible()
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        for one in late:
            importlib.import_module(one)
    except Exception:  # of any kind: the module meets it again, and tells
        return False
    # what is loaded by now stays: each worker's collector would look at it, and so have the kernel copy it
    gc.freeze()
    return True


def built(arguments: Mapping[str, object]) -> object:
    """Return what ansible-core makes of a module and its arguments, for `run` in place of a shell."""
    ansible = _ansible()
    data = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=ansible.encoder).encode()
    return ansible.built_module(
        b_module_data=data, module_style="new", shebang=f"#!{sys.executable}", serialization_profile=PROFILE
    )


def run(name: str, arguments: bytes, folder: Path, environment: Mapping[str, str]) -> Ended:
    """Run the module `name` and wait for its end.

    arguments: JSON, as ansible-core passes it to a module
    folder: where the module works
    environment: the variables that it has in addition to those of this process
    Raises CannotForkError.
    """
    # files without a name, in memory: a pipe would have to be read meanwhile
    out, err = os.memfd_create("stdout"), os.memfd_create("stderr")
    late = mmap.mmap(-1, _ROOM)  # the module has no other descriptors than if it was started
    try:
        try:
            pid = os.fork()
        except OSError as error:
            raise CannotForkError(f"Ansible's worker cannot be forked ({error})") from error
        if pid == 0:
            _end_with(lambda: _be_module(name, arguments, folder, environment, out, err, late))
        try:
            _, status = os.waitpid(pid, 0)
        except BaseException:  # the time that Ansible gives a task is over: nothing may work beside the next one
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
            raise
        code = os.waitstatus_to_exitcode(status)
        said = _content(err)
        if code < 0:  # a signal, which a shell reports so
            code, said = 128 - code, said + f"{signal.strsignal(-code)}\n".encode()
        return Ended(code, _content(out), said, tuple(late[:].rstrip(b"\0").decode().split()))
    finally:
        late.close()
        os.close(out)
        os.close(err)


def _content(file: int) -> bytes:
    return os.pread(file, os.fstat(file).st_size, 0)


def _be_module(
    name: str, arguments: bytes, folder: Path, environment: Mapping[str, str], out: int, err: int, late: mmap.mmap
) -> None:
    """Make of this process what a new interpreter would be, and run the module in it."""
    atexit._clear()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), out, err)):
        os.dup2(file, number)
    _close_others()
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, closefd=False)  # noqa: SIM115 - until the end
        for number, mode in enumerate("rww")
    )
    # Ansible's log is not the modules'
    logging.root.handlers.clear()
    logging.root.setLevel(logging.WARNING)
    os.environ.update(environment)
    time.tzset()
    tempfile.tempdir = None
    os.chdir(folder)
    sys.path.insert(0, str(MODULES))
    ansible = _ansible()
    ansible.forget_the_controller()
    before = set(sys.modules)
    try:
        ansible.run_module(
            json_params=arguments, profile=PROFILE, module_fqn=name, modlib_path=str(ENGINE), extensions={}
        )
    finally:
        names = " ".join(one for one in sorted(set(sys.modules) - before) if one.startswith("rehome."))
        if len(names) <= _ROOM:
            late.write(names.encode())


def _close_others() -> None:
    """Close all files but the three standard ones.

    os.closerange tries every number up to the limit where the kernel cannot: in containers that is often a billion.
    """
    try:
        numbers = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    except OSError:
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        return
    for number in numbers:
        if number > 2:
            with contextlib.suppress(OSError):  # that of the list itself
                os.close(number)


@dataclass(frozen=True)
class _Ansible:
    """What these functions rely on of ansible-core's own.

    built_module: what ansible-core hands from a step to the next of what it makes of a module
    encoder: of the arguments' JSON
    run_module: what runs a module inside the archive that ansible-core sends elsewhere
    forget_the_controller: undoes what ansible-playbook has replaced in the modules' library, to warn and to report
        errors in a way of its own
    """

    built_module: Callable[..., object]
    encoder: type[json.JSONEncoder]
    run_module: Callable[..., None]
    forget_the_controller: Callable[[], None]


def _ansible() -> _Ansible:
    """Raises ImportError or AttributeError if this ansible-core is made otherwise."""
    from ansible.executor.module_common import _BuiltModule  # noqa: PLC0415 - see load()
    from ansible.module_utils import _internal  # noqa: PLC0415
    from ansible.module_utils._internal import _traceback  # noqa: PLC0415
    from ansible.module_utils._internal._ansiballz import _loader  # noqa: PLC0415
    from ansible.module_utils._internal._json import _profiles  # noqa: PLC0415
    from ansible.module_utils.common.json import Direction, get_module_encoder  # noqa: PLC0415

    of_modules, cached = _traceback._is_module_traceback_enabled, _profiles._string_encoding_check_enabled

    def forget_the_controller() -> None:
        importlib.reload(_internal)
        _traceback._is_traceback_enabled = of_modules
        cached.cache_clear()

    encoder = get_module_encoder(PROFILE, Direction.CONTROLLER_TO_MODULE)
    return _Ansible(_BuiltModule, encoder, _loader.run_module, forget_the_controller)


def _end_with(work: Callable[[], None]) -> NoReturn:
    """Do `work`, and end this process as an interpreter ends. Nothing of the worker is run any more."""
    gc.freeze()  # nothing of the worker is collected, either
    code = 0
    try:
        try:
            work()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                sys.stderr.write(f"{end.code}\n")
        except BaseException:
            traceback.print_exc()
            code = 1
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)

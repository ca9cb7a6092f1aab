"""The action plugin of every module that may run long: run the module, and show its progress meanwhile.

`action_plugins/` has a link to this file for each of those modules, as Ansible looks an action up by its file's name.
A module cannot print while it works; the action plugin's Display reaches the terminal, and AWX, at once.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import multiprocessing
import os
import re
import select
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.executor.process.worker import WorkerProcess
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.splitter import parse_kv
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import callback_loader
from ansible.release import __version__ as ansible_version
from ansible.utils.display import Display

HERE = Path(__file__).resolve().parents[1] / "plugin_utils"
if str(HERE) not in sys.path:
    sys.path.append(str(HERE))

import rehome_fork  # noqa: E402
from rehome_terminal.lines import FIRST_LINE_S, progress_line, until_next_line  # noqa: E402

CHECK_EVERY_S = 0.5
LONGEST_FAILURE = 8000
"""Characters that are kept of a failure's message."""
NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""The shell's exit codes about a program that it cannot start."""
# Python 3.9 has no dataclasses with slots, and 3.8 no `match`.
_IMPORT_ERROR = re.compile(
    r"(?:(?:ModuleNotFound|Import|Syntax)Error: |TypeError: (?=dataclass\(\) got an unexpected ))(.+?)(?:\\n|$)"
)

JOB_FACTS = {
    "id": "job_id",
    "user": "user_name",
    "project_revision": "project_revision",
    "template": "job_template_name",
    "workflow_id": "workflow_job_id",
}
"""What the engine calls it (`rehome.job`) → the end of AWX's variable."""

REPEATED = (
    "env",
    "rehome_name",
    "rehome_on_conflict",
    "rehome_on_dangling",
    "rehome_copy_method",
    "rehome_storage_class",
    "rehome_encryption",
    "rehome_acl",
    "rehome_tags",
    "rehome_limit",
    "rehome_only_keys",
    "rehome_state_dir",
    "rehome_state_uri",
)
"""Variables of the command line that the next command needs as well, and whose values are no secret."""
ONCE = ("approved_plan", "confirm", "restore", "rehome_rollback_copies", "rehome_confirm", "preflight_brief")
"""Variables that are for one run: the report names those of the next."""
OF_JOBS = ("awx_", "tower_")
BESIDE = ("migration_control",)
"""Modules that work beside a run: the progress in the state folder is not theirs."""
PROGRAM = "ansible-playbook"
OF_A_START = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "OPENSSL_")
"""How the names of variables begin that count only when a program starts."""
STARTS_PYTHON = "the module starts a Python of its own, which takes longer [RH-113]"

GO_ON = "what was done is recorded. Run the same command to go on. [RH-501]"
BETWEEN = f"interrupted between two steps; {GO_ON}"


# The engine is imported from its folder, with the bytecode of earlier runs: packing it into each module and compiling
# it there took longer than most stages. The modules run on this machine in any case.
ENGINE = {"PYTHONPATH": os.pathsep.join(filter(None, [str(rehome_fork.ENGINE), os.environ.get("PYTHONPATH")]))}


def _is_worker() -> bool:
    return isinstance(multiprocessing.current_process(), WorkerProcess)


def _own(fd: int) -> int | None:
    """Return a file descriptor of ansible-playbook's that its workers keep, or None in a worker.

    Ansible loads this file in ansible-playbook before it starts the worker, whose own descriptors it closes. By the
    time that a stopped module tells how far it came, ansible-playbook shows nothing any more.
    """
    return None if _is_worker() else os.dup(fd)


def _terminal() -> int | None:
    with contextlib.suppress(OSError):
        return os.open("/dev/tty", os.O_WRONLY | os.O_NOCTTY)
    return None


OUT, ERRORS, TERMINAL = _own(1), _own(2), _terminal()


def _print_each_line_at_once() -> None:
    """Print lines when they come, also into a file or `tee`: for these Python collects thousands of bytes first."""
    if not _is_worker() and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


_print_each_line_at_once()
NAME = Path(__file__).stem
"""The module whose action plugin this is."""


class _LastStep:
    """The last line of an ansible-playbook that is interrupted between two modules, when only Ansible's own would come.

    The workers record in a file without a name which module was the last. All links to this file share it.
    """

    VARIABLE = "REHOME_LAST_STEP"
    """Holds the process of ansible-playbook, and its descriptor of the file."""

    def __init__(self) -> None:
        playbook, _, fd = os.environ.get(self.VARIABLE, "").partition(":")
        pid = os.getpid()
        if not _is_worker() and playbook != str(pid):
            with tempfile.TemporaryFile() as file:
                fd = str(os.dup(file.fileno()))
            os.environ[self.VARIABLE] = f"{pid}:{fd}"
            atexit.register(self._at_exit, pid)
        self._fd = int(fd)

    def record(self, **fields: Any) -> None:
        """Replace these fields.

        state_dir, verb: of the module; said: whether it has said itself how far it came; failure: the message of the
        last one that failed, for the action plugin `run_facts`; imported: see `imported`
        """
        text = json.dumps(self._read() | fields).encode()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, text, 0)

    def imported(self) -> list[str]:
        """Return what the modules so far imported when they were at work, and ansible-playbook may for the next."""
        return list(self._read().get("imported", ()))

    def _read(self) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads(os.pread(self._fd, 65536, 0) or b"{}")
        return kept

    def _at_exit(self, pid: int) -> None:
        if os.getpid() != pid:  # a forked process inherits what is registered here
            return
        for worker in multiprocessing.active_children():
            worker.join()  # as multiprocessing does after this. The last line of a module is the better one
        step = self._read()
        if not _lost_an_interrupt(pid) or not step.get("verb") or step["said"]:
            return
        progress: dict[str, Any] = {}
        folder = Path(step["state_dir"] or os.devnull)
        with contextlib.suppress(OSError, ValueError):
            progress = json.loads((folder / "progress.json").read_text())
        if f":{pid}:" not in progress.get("run", ""):  # of an earlier run
            progress = {}
        if progress.get("stage") == "finished":
            return
        line = f"interrupted: {step['verb']} was stopped {_reached(progress)}; {GO_ON}"
        _say(line)
        with contextlib.suppress(OSError):
            (folder / "interrupted.txt").write_text(f"{line}\n")


LAST_STEP = _LastStep()
CAN_FORK = rehome_fork.load(NAME, LAST_STEP.imported())


def _reached(progress: dict[str, Any]) -> str:
    if not progress.get("stage"):
        return "before its first step"
    of = f" of {progress['total']:,}" if progress.get("total") else ""
    return f"after '{progress['stage']}' at {progress['done']:,}{of}"


class ActionModule(ActionBase):
    """Adds the options that begin with `run_`, runs the module, and prints lines about its progress."""

    _supports_check_mode = True
    _supports_async = False
    _forked = False
    """Whether the module runs in a fork of this process."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result. Raises AnsibleError if the command line leaves out what every run needs."""
        super().run(tmp, task_vars)
        _refuse_to_run_in_part()
        settings = self._task.args.get("settings")
        state_dir = settings.get("state_dir") if isinstance(settings, dict) else None
        if self._task.action.rpartition(".")[2] in BESIDE:
            state_dir = None
        LAST_STEP.record(state_dir=state_dir, verb=self._verb(), said=False)
        with _Stop(os.getppid()) as stop:
            watcher = threading.Thread(target=_watch, args=(state_dir, stop), daemon=True)
            watcher.start()
            run = {"run_pid": stop.parent, "run_verb": self._verb(), "run_job": job_of(task_vars or {})}
            arguments = {
                **self._task.args,
                **run,
                "run_origin": origin_of(context.CLIARGS, self._loader, task_vars or {}),
            }
            result: dict[str, Any] = {}
            if not stop.requested():
                result = self._run_module(arguments, task_vars or {})
            stop.over.set()
            watcher.join()
            if stop.requested():
                return stop.result(result)
        if lacking := lacking_of_interpreter(result):
            result = refusal(self._of_interpreter(lacking, task_vars or {}))
        if result.get("failed"):
            LAST_STEP.record(failure=str(result.get("msg", ""))[:LONGEST_FAILURE])
        return result

    def _run_module(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the module's result. It runs in a fork of this process if that is the same as what Ansible starts."""
        self._forked = self._is_to_be_forked(task_vars)
        if self._forked:
            try:
                return self._execute_module(module_args={**arguments}, task_vars=task_vars)
            except rehome_fork.CannotForkError as error:
                Display().warning(f"{error}: {STARTS_PYTHON}")
                self._forked = False
        self._task.environment = [*(self._task.environment or []), ENGINE]
        return self._execute_module(module_args=arguments, task_vars=task_vars)

    def _is_to_be_forked(self, task_vars: dict[str, Any]) -> bool:
        """Return whether Ansible would run our module on this machine, as this user, with the Python it runs in."""
        config = constants.config
        if (
            not CAN_FORK
            or self._connection.transport != "local"
            or self._connection.become
            or self._task.delegate_to
            or constants.DEFAULT_KEEP_REMOTE_FILES
            or config.get_config_value("PYTHON_MODULE_RLIMIT_NOFILE", variables=task_vars)
            or any(name.startswith(OF_A_START) for name in self._environment())
        ):
            return False
        used = self._templar.template(config.get_config_value("INTERPRETER_PYTHON", variables=task_vars))
        found = self._shared_loader_obj.module_loader.find_plugin(
            self._task.action, collection_list=self._task.collections
        )
        return is_this_python(str(used)) and Path(found or "").resolve() == rehome_fork.MODULES / f"{NAME}.py"

    def _environment(self) -> dict[str, str]:
        """Return the variables that the play, its blocks and the task set for the module."""
        variables: dict[str, Any] = {}
        self._compute_environment_string(variables)
        return {str(name): str(value) for name, value in variables.items()}

    # What ActionBase._execute_module calls

    def _is_pipelining_enabled(self, module_style: str, wrap_async: bool = False) -> bool:
        return self._forked or bool(super()._is_pipelining_enabled(module_style, wrap_async))

    def _configure_module(self, module_name: str, module_args: dict[str, Any], task_vars: Any) -> Any:
        if not self._forked:
            return super()._configure_module(module_name, module_args, task_vars)
        return rehome_fork.built(module_args), str(rehome_fork.MODULES / f"{NAME}.py")

    def _low_level_execute_command(self, cmd: str, *args: Any, in_data: bytes | None = None, **more: Any) -> Any:
        if not self._forked or in_data is None:
            return super()._low_level_execute_command(cmd, *args, in_data=in_data, **more)
        Display().vvv("The module runs in a fork of Ansible's worker.")
        ended = rehome_fork.run(NAME, in_data, Path(self._loader.get_basedir()), self._environment() | ENGINE)
        LAST_STEP.record(imported=[*LAST_STEP.imported(), *ended.late])
        out, err = (part.decode(errors="replace") for part in (ended.out, ended.err))
        return {
            "rc": ended.code,
            "stdout": out,
            "stdout_lines": out.splitlines(),
            "stderr": err,
            "stderr_lines": err.splitlines(),
        }

    def _of_interpreter(self, lacking: str, task_vars: dict[str, Any]) -> str:
        """Return the message about a Python that cannot run the modules. An inventory often sets one for all hosts."""
        used = str(self._templar.template(task_vars.get("ansible_python_interpreter", "auto")))
        if used.startswith("auto"):
            facts = task_vars.get("ansible_facts", {})
            used = self._discovered_interpreter or facts.get("discovered_interpreter_python", used)
        return (
            f"ansible_python_interpreter ({used}): {lacking}. The modules need Python 3.11 or later, with the packages "
            f"of requirements.txt. Install them there ({used} -m pip install -r requirements.txt), or set "
            "ansible_python_interpreter of this environment to a Python that has them; the one that runs Ansible is "
            f"{sys.executable} [RH-110]"
        )

    def _verb(self) -> str:
        """Return the playbook's name, with `-check` for a dry run: its summary must not replace the real run's."""
        playbook = Path(str(self._task.get_play().get_path()).rpartition(":")[0])
        return playbook.stem + ("-check" if context.CLIARGS.get("check") else "")


class _Stop:
    """Whether the run is to stop. Used as a context manager, around the module.

    Ansible's worker would die of the signal that ansible-playbook passes on to it, and leave the module to itself. Here
    it asks the module to stop and waits for it, and ansible-playbook waits for its worker.

    parent: ansible-playbook
    over: set when the module has ended
    """

    def __init__(self, parent: int) -> None:
        self.parent = parent
        self.over = threading.Event()
        self._told = False

    def __enter__(self) -> _Stop:
        handlers = {signal.SIGINT: self._hear, signal.SIGTERM: self._hear, signal.SIGHUP: signal.SIG_IGN}
        self._before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        return self

    def __exit__(self, *_error: object) -> None:
        self.over.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self._told = True
        self.ask()

    def ask(self) -> None:
        """Ask the module to stop. SIGHUP: this process ignores it, and so does a module that is just being started."""
        os.killpg(0, signal.SIGHUP)

    def requested(self) -> bool:
        """Return whether ansible-playbook was told to stop, is gone, or nobody reads its output any more."""
        return self._is_ending() or _lost_an_interrupt(self.parent) or _is_unread(OUT)

    def _is_ending(self) -> bool:
        """Return whether ansible-playbook takes no result any more."""
        return self._told or os.getppid() != self.parent

    def result(self, result: dict[str, Any]) -> dict[str, Any]:
        """Return the result of a stopped task. If ansible-playbook is ending, say how far it came and end this process.

        result: of the module; empty if it was not started
        """
        # with rc, it is Ansible's report of a module that died
        has_message = result.get("failed") and "rc" not in result
        message = str(result["msg"]) if has_message else BETWEEN
        card = result.get("so_far", [])
        if self._is_ending():
            # without more to say than ansible-playbook itself, which says it only if it was interrupted
            says_it = bool(has_message) or not _lost_an_interrupt(self.parent)
            LAST_STEP.record(said=says_it)
            if says_it:
                _say("\n".join([message, *card]))
            os._exit(1)
        if _is_unread(OUT):
            _say("\n".join([message, *card]))
        return refusal(message)  # the role `ending` shows the card


def refusal(message: str) -> dict[str, Any]:
    """Return the result of a task that fails with this message, which ends with its code."""
    return {"failed": True, "msg": message, "codes": re.findall(r"\[(RH-\d{3})\]", message)}


def _lost_an_interrupt(pid: int) -> bool:
    """Return whether an interrupt of ansible-playbook, process `pid`, had no effect.

    That happens while Python forks a worker: it ignores what a signal's handler raises there. Ansible's handler leaves
    the next interrupt to the kernel, which tells that there was one.
    """
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        caught = next(line for line in lines if line.startswith("SigCgt:"))
        return not int(caught.split()[1], 16) & 1 << signal.SIGINT - 1
    return False


def _is_unread(fd: int | None) -> bool:
    """Return whether this is a pipe or a terminal at whose other end nobody is: `tee` dies of the same Ctrl-C."""
    if fd is None or not (stat.S_ISFIFO(os.fstat(fd).st_mode) or os.isatty(fd)):
        return False
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))


def _say(line: str) -> None:
    """Write a line where ansible-playbook writes its errors, or to its terminal if nobody reads them."""
    fd = TERMINAL if ERRORS is None or _is_unread(ERRORS) else ERRORS
    if fd is not None:
        with contextlib.suppress(OSError):
            os.write(fd, f"\n{line}\n".encode())


def _refuse_to_run_in_part() -> None:
    """Refuse what may leave out the tasks that refuse all other ways to run a playbook in part."""
    skipped = list(context.CLIARGS.get("skip_tags") or ())
    begin = context.CLIARGS.get("start_at_task")
    if "always" in skipped:
        raise AnsibleError(
            f"--skip-tags ({', '.join(skipped)}): they would leave out stages, and the run would still look like a "
            "success. Run it without them. [RH-109]"
        )
    if begin:
        raise AnsibleError(
            f"--start-at-task ({begin}): the checks and stages before it would be left out, and what they have left on "
            "this machine is of another run. Run the playbook from its beginning. [RH-109]"
        )
    if context.CLIARGS.get("step"):
        raise AnsibleError(
            "--step: a check whose task is answered with no would be left out, and the run would still look like a "
            "success. Run it without; --check shows what it would do. [RH-109]"
        )


def job_of(variables: Mapping[str, Any]) -> dict[str, str]:
    """Return what AWX tells of the job that this run is, as text. Without a job it tells nothing.

    It gives each fact as two variables. Tower and the older AWX know the second name only.
    """
    told: dict[str, str] = {}
    for fact, name in JOB_FACTS.items():
        for prefix in ("tower", "awx"):
            if variables.get(f"{prefix}_{name}") not in (None, ""):
                told[fact] = str(variables[f"{prefix}_{name}"])
    return told


def origin_of(given: Mapping[str, Any], loader: DataLoader, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the run was started, for the command that the report says is next: nothing that may be secret.

    A job's inventory and files are gone with it, so that of its options only the values of variables are told.

    given: the options of ansible-playbook
    variables: those of the task
    """
    in_job = bool(job_of(variables))
    repeated: list[str] = []
    left_out: set[str] = set()
    for option in map(str, given.get("extra_vars") or ()):
        if option.startswith("@") and not in_job:
            repeated += ["-e", option]
            continue
        for name, value in _values_of(option, loader).items():
            if name in REPEATED and isinstance(value, (str, int, float)) and value != "":
                repeated += ["-e", _as_option(str(name), value)]
            elif name not in (*REPEATED, *ONCE) and not name.startswith(OF_JOBS):
                left_out.add(str(name))
    arguments = [*repeated, *([] if in_job else _options_to_repeat(given))]
    return {
        "env": _readable(str(variables.get("env", ""))),
        "ansible": ansible_version,
        "folder": _readable(str(Path.cwd())),
        "playbook": _readable(str((given.get("args") or ("",))[0])),
        "arguments": [_readable(word) for word in arguments],
        "left_out": sorted(left_out),
        "program": _readable(program_of(sys.argv[0], shutil.which(PROGRAM))),
    }


def program_of(path: str, found: str | None) -> str:
    """Return how ansible-playbook was named. The kernel gives a program that the shell looked up its whole path.

    found: where a shell finds ansible-playbook
    """
    return path if Path(path).name == PROGRAM and path != found else PROGRAM


def _values_of(option: str, loader: DataLoader) -> dict[str, Any]:
    """Return the variables that one `-e` sets."""
    if option.startswith("@"):
        values = loader.load_from_file(option[1:])
    elif option[:1] in ("{", "["):
        values = loader.load(option)
    else:
        values = parse_kv(option)
    return values if isinstance(values, dict) else {}


def _as_option(name: str, value: Any) -> str:
    """Return what `-e` takes for a variable: as JSON if its value has what Ansible would take apart, such as spaces."""
    pair = f"{name}={value}"
    with contextlib.suppress(AnsibleError):  # of quotes that are not closed
        if parse_kv(pair) == {name: str(value)}:
            return pair
    return json.dumps({name: value}, ensure_ascii=False)


def _options_to_repeat(given: Mapping[str, Any]) -> list[str]:
    options = [("-i", _near(str(path))) for path in given.get("inventory") or ()]
    options += [("--vault-password-file", _near(str(file))) for file in given.get("vault_password_files") or ()]
    options += [("--vault-id", str(label)) for label in given.get("vault_ids") or ()]
    return [
        *(word for pair in options for word in pair),
        *(["--ask-vault-pass"] if given.get("ask_vault_pass") else []),
    ]


def _near(path: str) -> str:
    """Return a path from the present folder on if it is below it, as people type it."""
    with contextlib.suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return path


def _readable(text: str) -> str:
    """Return a text that any JSON can hold: the name of a file may be no text."""
    return text.encode("utf-8", "backslashreplace").decode()


def is_this_python(program: str) -> bool:
    """Return whether `program` is the Python that runs Ansible, perhaps by another name in its folder.

    The Python of another virtual environment may be the same file in the end.
    """
    path, ours = Path(program), Path(sys.executable)
    with contextlib.suppress(OSError):
        return path.is_absolute() and path.parent.samefile(ours.parent) and path.samefile(ours)
    return False


def lacking_of_interpreter(result: dict[str, Any]) -> str | None:
    """Return what the module's interpreter lacks, or why it cannot be started; None if that is not why it failed."""
    if result.get("rc") in (NOT_EXECUTABLE, NOT_FOUND) and "module_stderr" in result:
        return str(result["module_stderr"]).partition("\n")[0]
    found = _IMPORT_ERROR.search(repr(result.get("exception", "")))
    return found[1].replace("\\'", "'") if found else None


def _watch(state_dir: str | None, stop: _Stop) -> None:
    began = time.monotonic()
    due = began + FIRST_LINE_S
    while not stop.over.wait(CHECK_EVERY_S):
        if stop.requested():
            # again and again: the module may just be starting
            stop.ask()
        elif state_dir and time.monotonic() >= due:
            due = time.monotonic() + until_next_line(time.monotonic() - began)
            # a line that cannot be shown must not end the watch over the parent
            with contextlib.suppress(Exception):
                progress = json.loads((Path(state_dir) / "progress.json").read_text())
                if "ended" not in progress:
                    _show(progress_line(progress))


def _show(line: str) -> None:
    """Print a line where it spoils nothing: beside text for people, or else on stderr.

    Rehome's own stdout callback shows the progress itself.
    """
    printing = callback_loader.get(constants.DEFAULT_STDOUT_CALLBACK, class_only=True)
    if not getattr(printing, "SHOWS_PROGRESS", False):
        Display().display(line, stderr=not prints_text(printing))


def prints_text(printing: type) -> bool:
    """Return whether a stdout callback prints the tasks as text: those do that are made from Ansible's own.

    Others print JSON (`ansible.posix.json`), a line per result (`minimal`), or nothing; AWX's is made from Ansible's.
    """
    return any(base.__module__ == "ansible.plugins.callback.default" for base in printing.__mro__)

"""Refuse variables that nothing reads; the module of the same name documents the options.

It is an action plugin, as only the controller has the variables.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

OURS = "rehome"
"""The beginning of our variables' names. Another name is the operator's own, unless it is a slip of one of ours."""
ENVIRONMENT = "env"
"""The only variable that the playbooks read, and no role."""
HANDED_ON = "rehome_artifacts"
"""What AWX gives a job from the one before it in a workflow. Nothing reads it."""
CONTROL = "control"
"""The playbook and the role of the verb that takes a run's limits by their short names."""
NARROWING = ("limit", "include", "exclude")
"""Settings that people name on the command line as other tools do. Without its prefix, such a word has no effect."""
CODE = "RH-107"
"""The heading in docs/runbook.md that tells what to do about it."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times as fast, where PyYAML is built with libyaml."""
DRY_RUNS = ("check", "checkmode", "dryrun", "noop")
"""What people set when they mean --check; also with `_` or `-` between the words."""


class ActionModule(ActionBase):
    """Compares the names of all variables that the task sees with the argument specifications."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return a failure that names each unknown variable, or that nothing is wrong."""
        super().run(tmp, task_vars)
        spec = {
            "roles": {"type": "path", "required": True},
            "short": {"type": "list", "elements": "str", "default": []},
        }
        _, params = self.validate_argument_spec(spec)
        known = specified(Path(params["roles"]), without=frozenset() if _controls() else {CONTROL})
        extra = set(load_extra_vars(self._loader))
        # what the role of this task computes for itself
        own = self._task._role.get_vars().keys() - extra if self._task._role else set()
        seen = {name: value for name, value in (task_vars or {}).items() if name not in own}
        given = {name: self._value(value) if name in known else None for name, value in seen.items()}
        found = problems(given, extra, known, params["short"])
        if not found:
            return {"failed": False, "changed": False}
        return {
            "failed": True,
            "changed": False,
            "msg": "\n".join(f"{line} [{CODE}]" for line in found),
            "codes": [CODE],
        }

    def _value(self, value: Any) -> Any:
        """Return the value, rendered if it is a template as a whole; None if it cannot be rendered yet."""
        if not isinstance(value, str):
            return value
        try:
            return self._templar.template(value)
        except AnsibleError:
            return None  # whatever reads it says why


def _controls() -> bool:
    """Return whether this is the verb `control`: to the others its words, such as `requests`, mean nothing."""
    return any(Path(str(playbook)).stem.rpartition(".")[2] == CONTROL for playbook in context.CLIARGS.get("args", ()))


def specified(roles: Path, without: Set[str] = frozenset()) -> dict[str, dict[str, Any]]:
    """Return name → option of all variables that the roles in this folder specify.

    without: roles that do not count
    """
    options: dict[str, dict[str, Any]] = {}
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        if path.parents[1].name in without:
            continue
        specs = yaml.load(path.read_text(encoding="utf-8"), _LOADER)  # noqa: S506 - a safe loader
        for entry in specs["argument_specs"].values():
            options |= entry["options"]
    return options


def problems(
    given: Mapping[str, Any], extra: set[str], known: Mapping[str, Mapping[str, Any]], of_playbook: Iterable[str] = ()
) -> list[str]:
    """Return a line for each variable that would be ignored and is one of ours, or a slip of one.

    given: name → value of all variables; the values of those that are not in `known` are not looked at
    extra: the names of those from the command line
    known: name → option, as argument_specs.yml has it
    of_playbook: further variables without our prefix, which the playbook reads
    """
    short = {ENVIRONMENT, *of_playbook, *_read_by_defaults(known)}
    unknown = sorted(given.keys() - known.keys() - short - {HANDED_ON})
    found = [_unknown(name, _meant(name, known)) for name in unknown if _is_ours(name, known)]
    for name in unknown:
        if name in extra and not _is_ours(name, known) and (meant := _meant_on_command_line(name, short, given, known)):
            found.append(f"{_unknown(name, meant)} A variable of your own with this name belongs into the inventory.")
    for name in sorted(given.keys() & known.keys()):
        found += _unknown_keys(name, given[name], known[name])
    return found


def _read_by_defaults(known: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the variables without our prefix that a default takes its value from, such as `confirm`."""
    for option in known.values():
        if read := re.match(r"\{\{ (\w+) \| default\(", str(option.get("default"))):
            yield read[1]


def _is_ours(name: str, known: Mapping[str, Any]) -> bool:
    folded = name.casefold()
    prefix, _, rest = folded.partition("_")
    if folded.startswith(f"{OURS}_"):
        return True
    if folded.startswith(OURS):
        return bool(difflib.get_close_matches(folded, list(known), 1, cutoff=0.9))
    if _is_slip(prefix, OURS):
        return bool(_closest(f"{OURS}_{rest}", known))
    # the settings without our prefix: one is Ansible's own, and has many relatives
    long = [setting for setting in known if not setting.startswith((OURS, "ansible_", "sandbox_"))]
    return not folded.startswith("ansible_") and bool(difflib.get_close_matches(folded, long, 1, cutoff=0.9))


def _meant(name: str, known: Iterable[str]) -> str:
    folded = name.casefold()
    prefix, _, rest = folded.partition("_")
    return _closest(f"{OURS}_{rest}" if _is_slip(prefix, OURS) else folded, known)


def _meant_on_command_line(name: str, short: Iterable[str], given: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """Return what the unknown variable `name` of the command line stands for; empty if it is the operator's own."""
    folded = name.casefold()
    if sorted(folded) == sorted(ENVIRONMENT):
        return ENVIRONMENT
    if ENVIRONMENT not in given and (_is_slip(folded, ENVIRONMENT) or folded.startswith("envi")):
        return ENVIRONMENT
    if re.sub("[_-]", "", folded) in DRY_RUNS:
        return "--check"
    if f"{OURS}_{folded}" in known and ("_" in folded or folded in NARROWING):
        return f"{OURS}_{folded}"
    words = [word for word in short if word != ENVIRONMENT]
    slips = [word for word in words if _is_slip(folded, word)]
    return (slips or difflib.get_close_matches(folded, words, 1, cutoff=0.85) or [""])[0]


def _unknown_keys(where: str, value: Any, option: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each key of a mapping, or of a list's mappings, that is not specified."""
    options = option.get("options")
    if not options:
        return
    if isinstance(value, list):
        for place, one in enumerate(value):
            yield from _unknown_keys(f"{where}[{place}]", one, option)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if name in options:
                yield from _unknown_keys(f"{where}.{name}", inner, options[name])
            else:
                yield _unknown(f"{where}.{name}", _closest(str(name).casefold(), options), options)


def _unknown(name: str, meant: str, known: Iterable[str] = ()) -> str:
    if meant:
        return f"{name}: is no variable of Rehome and would be ignored; did you mean {meant}?"
    way_out = "The settings are in docs/settings.md; choose another beginning for a variable of your own"
    if known:
        way_out = f"It has {', '.join(sorted(known))}"
    return f"{name}: is no variable of Rehome and would be ignored. {way_out}."


def _closest(name: str, known: Iterable[str]) -> str:
    return (difflib.get_close_matches(name, list(known), 1, cutoff=0.7) or [""])[0]


def _is_slip(word: str, of: str) -> bool:
    """Return whether one letter is missing, too many or another, or two neighbours are exchanged."""
    head = _common(word, of)
    word, of = word[head:], of[head:]
    tail = _common(word[::-1], of[::-1])
    word, of = word[: len(word) - tail], of[: len(of) - tail]
    return max(len(word), len(of)) <= 1 or (len(word) == 2 and word == of[::-1])


def _common(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))

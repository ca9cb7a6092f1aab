"""The options that every Rehome module takes, made from the one place that describes the variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

OF_GRANTS = ("rehome_grants_", "rehome_admin_")
"""What the names of variables begin with that `grants` alone takes."""

OF_ROLES = ("principal", "credentials", "hooks")
"""What the roles use themselves: they lay the first two over other settings, and include the hooks' tasks."""

VARIABLES = Path(__file__).parent.parent / "roles" / "rehome" / "meta" / "argument_specs.yml"


def _as_option(facts: dict[str, Any]) -> dict[str, Any]:
    """A variable's description as a module documents its option: `options` are called `suboptions` there."""
    option = {name: value for name, value in facts.items() if name != "options"}
    if "options" in facts:
        option["suboptions"] = {name: _as_option(inner) for name, inner in facts["options"].items()}
        if option.get("default") == {}:
            del option["default"]
    return option


def _variables() -> dict[str, Any]:
    variables = yaml.safe_load(VARIABLES.read_text())["argument_specs"]["main"]["options"]
    return {name: _as_option(facts) for name, facts in variables.items()}


def _grants() -> str:
    """The option of the modules that need an administrator."""
    given = {
        name.removeprefix("rehome_").removeprefix("grants_"): facts
        for name, facts in _variables().items()
        if name.startswith(OF_GRANTS)
    }
    for name in ("name", "secrets_file", "folder"):
        del given[name]["default"]  # known to the role only
    option = {
        "description": "What is to be granted, and by whom, as the role C(rehome) puts it together.",
        "type": "dict",
        "required": True,
        "suboptions": given,
    }
    return yaml.safe_dump({"options": {"grants": option}})


def _documentation() -> str:
    settings = {
        name.removeprefix("rehome_"): facts for name, facts in _variables().items() if not name.startswith(OF_GRANTS)
    }
    for name in OF_ROLES:
        del settings[name]
    del settings["state_dir"]["default"]
    settings["state_dir"]["required"] = True
    del settings["name"]["default"]
    # what the role takes from the command line
    del settings["confirm"]["default"]
    settings["retire_restore"]["default"] = False
    options = {
        "settings": {
            "description": "The whole migration, as the role C(rehome) puts it together from its variables.",
            "type": "dict",
            "required": True,
            "suboptions": settings,
        },
        "run_pid": {
            "description": "The process that the run belongs to. The action plugin of the same name fills it in.",
            "type": "int",
            "required": True,
        },
        "run_verb": {
            "description": "The verb that the run is. The action plugin of the same name fills it in.",
            "type": "str",
            "required": True,
        },
    }
    return yaml.safe_dump({"options": options, "author": ["The Rehome authors"]})


class ModuleDocFragment:
    """`extends_documentation_fragment: [rehome, rehome.attributes]`."""

    DOCUMENTATION = _documentation()

    GRANTS = _grants()

    ATTRIBUTES = r"""
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and tell what it would change, without changing it.
  diff_mode:
    support: none
    description: Tells what changes in C(diff) mode.
"""

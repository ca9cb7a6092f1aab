"""Read the settings from the file that describes them, with the sections and markers that its header explains."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "roles" / "rehome" / "meta" / "argument_specs.yml"

Option = Mapping[str, Any]
"""A setting as the file describes it: `type`, `description`, `options` and so on."""

OF_GRANTS = ("rehome_grants_", "rehome_admin_")
"""Prefixes of the settings that only the modules of the verb grants take, as their option `grants`."""

OF_ROLES = ("rehome_principal", "rehome_credentials", "rehome_hooks", "ansible_python_interpreter")
"""Settings that no module takes: two select and replace credentials, one names task files to include, one is Ansible's
own."""

_MODULE_OVERRIDES: Mapping[str, Option] = {
    "rehome_name": {"default": None},
    "rehome_state_dir": {"required": True},
    "rehome_retire_restore": {"default": False},
    "rehome_discover_whole": {"default": False},
}
"""Where a module differs from the role. It never has the role's default if that is a template (`{{ … }}`)."""

_FIRST = "First migration: "

FALLBACK = re.compile(r"\s*Falls back to (E\(\w+\)(,\s+)?)+\.")
"""The sentence of a description that names environment variables."""


@dataclass(frozen=True)
class Section:
    """A group of settings. `introduction` is Markdown."""

    title: str
    introduction: str
    names: tuple[str, ...]


def read_settings() -> dict[str, Option]:
    """Return every setting by its name, in the file's order."""
    options: dict[str, Option] = yaml.load(_source(), _Loader)["argument_specs"]["main"]["options"]  # noqa: S506
    return options


class _Loader(yaml.SafeLoader):
    """Reads the keys of a mapping before those that it merges (`<<`), as the file has them."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        own = [pair for pair in node.value if pair[0].tag != "tag:yaml.org,2002:merge"]
        super().flatten_mapping(node)
        node.value = own + node.value[: len(node.value) - len(own)]


def read_sections() -> Iterator[Section]:
    """Yield the sections. Raises ValueError if a setting is outside of all of them."""
    before, *parts = re.split(r"^ {6}# @section ", _source(), flags=re.MULTILINE)
    if outside := _names(before.partition("\n    options:")[2]):
        raise ValueError(f"{SOURCE}: put a line '# @section …' before {outside[0]}")
    for part in parts:
        title, *lines = part.splitlines()
        comments = [line.strip().removeprefix("#").strip() for line in lines[: _first_setting(lines)]]
        yield Section(title, "\n".join(comments), _names(part))


def _source() -> str:
    return SOURCE.read_text(encoding="utf-8")


def _names(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"^ {6}(\w+):", text, flags=re.MULTILINE))


def _first_setting(lines: list[str]) -> int:
    return next(number for number, line in enumerate(lines) if not line.lstrip().startswith("#"))


def all_options() -> Iterator[tuple[str, Option]]:
    """Yield every setting and every option inside of one, as `rehome_source.bucket` and `rehome_references[].table`."""
    return _options("", read_settings())


def _options(outer: str, options: Mapping[str, Option]) -> Iterator[tuple[str, Option]]:
    for name, option in options.items():
        yield f"{outer}{name}", option
        yield from _options(inside(outer, name, option), option.get("options", {}))


def inside(outer: str, name: str, option: Option) -> str:
    """Return what begins the names of the options inside of a setting."""
    return f"{outer}{name}[]." if option["type"] == "list" else f"{outer}{name}."


def option_names() -> tuple[dict[str, str], dict[str, str]]:
    """Return the name of each setting, by the name of the option that it is in the modules.

    The first result is what every module takes as its option `settings`, the second what the modules of the verb
    grants take as their option `grants`.
    """
    names = [name for name in read_settings() if name not in OF_ROLES]
    settings, grants = {}, {}
    for name in names:
        option = name.removeprefix("rehome_")
        if name.startswith(OF_GRANTS):
            grants[option.removeprefix("grants_")] = name
        else:
            settings[option] = name
    return settings, grants


def module_options() -> tuple[dict[str, Option], dict[str, Option]]:
    """Return the options of the modules' options `settings` and `grants`, with the defaults that they have there."""
    settings = read_settings()
    of_modules, of_grants = (
        {name: _as_module_option(setting, settings[setting]) for name, setting in names.items()}
        for names in option_names()
    )
    return of_modules, of_grants


def _as_module_option(name: str, option: Option) -> Option:
    is_template = "{{" in str(option.get("default"))
    return {**option, **({"default": None} if is_template else {}), **_MODULE_OVERRIDES.get(name, {})}


def description(option: Option) -> str:
    """Return the description in one paragraph, without the marker of a first migration."""
    text = option["description"]
    text = " ".join(text) if isinstance(text, list) else text
    if not text.startswith(_FIRST):
        return text
    text = text.removeprefix(_FIRST)
    return text[0].upper() + text[1:]


def is_for_first_migration(option: Option) -> bool:
    """Return whether a first migration needs the setting."""
    return str(option["description"]).startswith(_FIRST)


def environment_names(option: Option) -> tuple[str, ...]:
    """Return the environment variables that are used while the setting is unset, in their order."""
    found = FALLBACK.search(str(option["description"]))
    return tuple(re.findall(r"E\((\w+)\)", found[0])) if found else ()

"""The page docs/settings.md: the settings in sections, and first those that a first migration needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docs.generate.rendering import render_template
from docs.generate.settings import (
    FALLBACK,
    Option,
    Section,
    description,
    environment_names,
    inside,
    is_for_first_migration,
    read_sections,
    read_settings,
)

PATH = "docs/settings.md"

Settings = Mapping[str, Option]


@dataclass(frozen=True)
class Row:
    """A row of a table; the cells are Markdown."""

    name: str
    kind: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """The settings of a section, or the options of one or more settings that share them."""

    title: str
    rows: Sequence[Row]


def render() -> str:
    """Return the page, as Markdown."""
    settings = read_settings()
    sections = [(section, list(_tables(section, settings))) for section in read_sections()]
    return render_template("settings.md.j2", first=_merged(_first("", settings)), sections=sections)


def _first(outer: str, settings: Settings) -> Iterator[tuple[str, Option]]:
    """Yield what a first migration needs: of a mapping, only its marked options."""
    for name, option in settings.items():
        if is_for_first_migration(option):
            inner = list(_first(inside(outer, name, option), option.get("options", {})))
            yield from inner or [(f"{outer}{name}", option)]


def _tables(section: Section, settings: Settings) -> Iterator[Table]:
    yield Table("", [_row([name], [settings[name]]) for name in section.names])
    for names in _sharing([name for name in section.names if "options" in settings[name]], settings):
        yield Table(" and ".join(f"`{name}`" for name in names), _merged(_options(names, settings)))


def _sharing(names: Iterable[str], settings: Settings) -> list[list[str]]:
    """Return the names in groups. The settings of a group have the same options, but for a few."""
    groups: list[list[str]] = []
    for name in names:
        options = settings[name]["options"]
        for group in groups:
            others = settings[group[0]]["options"]
            if 2 * sum(others.get(inner) == option for inner, option in options.items()) > len(options):
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def _options(names: Sequence[str], settings: Settings) -> Iterator[tuple[str, Option]]:
    """Yield the options of some settings. Those that not all of the settings have say whose they are."""
    all_options = {name: dict(_flat("", settings[name]["options"])) for name in names}
    for name in names:
        for inner, option in all_options[name].items():
            if all(inner in options for options in all_options.values()):
                yield inner, option
            else:
                yield inner, {**option, "description": f"{description(option)} Only for C({name})."}


def _flat(outer: str, options: Settings) -> Iterator[tuple[str, Option]]:
    for name, option in options.items():
        yield f"{outer}{name}", option
        yield from _flat(inside(outer, name, option), option.get("options", {}))


def _merged(settings: Iterable[tuple[str, Option]]) -> list[Row]:
    """Return one row for the settings that have one last name and one meaning: those of the source and the target."""
    alike: dict[tuple[str, str], list[tuple[str, Option]]] = {}
    for name, option in settings:
        alike.setdefault((name.rpartition(".")[2], _meaning(option)), []).append((name, option))
    return [_row([name for name, _ in pairs], [option for _, option in pairs]) for pairs in alike.values()]


def _row(names: Iterable[str], options: Sequence[Option]) -> Row:
    option = options[0]
    return Row(
        name=", ".join(f"`{name}`" for name in dict.fromkeys(names)),
        kind=f"list of {option['elements']}" if "elements" in option else option["type"],
        default=", ".join(dict.fromkeys(filter(None, map(_default, options)))),
        meaning=_meaning(option),
    )


def _default(option: Option) -> str:
    if names := environment_names(option):
        return f"`${names[0]}`"
    value = option.get("default")
    if value is None or value == {}:
        return ""
    return f"`{_as_text(value)}`"


def _as_text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value)).replace("|", "\\|")


def _meaning(option: Option) -> str:
    text = FALLBACK.sub("", description(option))
    choices = [f"`{choice}`" for choice in option.get("choices", ())]
    text = _as_markdown(text)
    if any(choice not in text for choice in choices):
        text += f" One of {', '.join(choices)}."
    return text


def _as_markdown(text: str) -> str:
    """Render Ansible's markup: C(code), V(a value), E(an environment variable)."""
    text = re.sub(r"\b[CVE]\(([^()]*(?:\([^()]*\)[^()]*)*)\)", r"`\1`", text)
    return " ".join(text.split()).replace("|", "\\|")

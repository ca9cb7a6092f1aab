"""What has been answered so far: settings, of which some are secrets. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rehome.config.environment_names import ENVIRONMENT_NAMES


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that was typed, or read from the vault's file.

    setting: the setting that it is the value of, such as `rehome_source.secret_key`
    """

    setting: str
    value: str = field(repr=False)

    @property
    def vault_variable(self) -> str:
        """The variable that holds it in the vault's file."""
        return f"vault_{self.setting.replace('.', '_')}"


@dataclass(frozen=True, slots=True)
class Exported:
    """A value that is exported, and stays where it is.

    setting: the setting that it is the value of
    variable: where it is exported
    """

    setting: str
    variable: str
    value: str = field(repr=False)

    @property
    def is_read_by_itself(self) -> bool:
        """Whether Rehome takes it from there where the setting is unset."""
        return self.variable in ENVIRONMENT_NAMES.get(self.setting, ())


Options = dict[str, Any]
"""A mapping of the settings; its values may be a `Secret` or `Exported`."""


@dataclass
class Draft:
    """The settings of an environment, as far as they are answered.

    exported_database: the variable whose URL names the database, and is left to do so
    keep_secrets: whether secrets go into the vault's file; if not, the operator exports them
    """

    environment: str
    name: str = ""
    source: Options = field(default_factory=dict)
    target: Options = field(default_factory=dict)
    include: list[str] = field(default_factory=lambda: ["*"])
    exclude: list[str] = field(default_factory=list)
    database: Options = field(default_factory=dict)
    references: list[Options] = field(default_factory=list)
    exported_database: str | None = None
    keep_secrets: bool = False

    def side(self, label: str) -> Options:
        """Return the source or the target."""
        return self.source if label == "source" else self.target

    def secrets(self) -> Iterator[Secret]:
        """Yield each secret that was typed, once."""
        found = [value for part in (self.source, self.target, self.database) for value in part.values()]
        yield from dict.fromkeys(value for value in found if isinstance(value, Secret))

    def take_over_exported(self) -> None:
        """Make what is exported a part of the settings: keys as they are, and secrets to be kept."""
        for part in (self.source, self.target, self.database):
            for name, value in part.items():
                if isinstance(value, Exported):
                    part[name] = value.value if name == "access_key" else Secret(value.setting, value.value)

    def settings(self) -> dict[str, Any]:
        """Return what the engine reads: plain values."""
        return {
            "name": self.name,
            "source": plain(self.source),
            "target": plain(self.target),
            "include": self.include,
            "exclude": self.exclude,
            "database": plain(self.database),
            "references": self.references,
        }


def plain(options: Mapping[str, Any]) -> Options:
    """Return options with the values of their secrets."""
    return {
        name: value.value if isinstance(value, Secret | Exported) else value
        for name, value in options.items()
        if value is not None
    }

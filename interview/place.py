"""Where the settings of an environment are kept: the files of an inventory, as they are and as they are to be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rehome.codes import Code
from rehome.errors import Finding, RefusedError

from .rendering import hosts_entry, hosts_text, written_settings

DEFAULT_INVENTORY = "../ops/inventory"
"""Outside of the checkout, so that an update of Rehome never meets the operator's changes."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAKEN = ("all", "ungrouped", "localhost")


def check_environment(name: str) -> Finding | None:
    """Return why this is no name of an environment."""
    if _NAME.fullmatch(name) and name not in _TAKEN:
        return None
    way_out = "Use letters, digits and underscores, such as staging: it names a group of the inventory"
    return Finding("ENV", name or None, "is no name of an environment", way_out, Code.UNUSABLE_VALUE)


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one environment.

    hosts_file, settings_file, vault_file: where each is, whether it exists or not
    host: the environment's only host
    has_group: whether the inventory has the environment already
    """

    folder: Path
    hosts_file: Path
    settings_file: Path
    vault_file: Path
    host: str
    has_group: bool

    @property
    def settings_text(self) -> str | None:
        """The settings as they are; None if there are none."""
        return _read(self.settings_file)

    @property
    def before(self) -> Mapping[str, Any]:
        """The plain values of the settings as they are."""
        return written_settings(self.settings_text or "")

    def new_hosts_text(self, environment: str) -> str | None:
        """Return the inventory with the environment; None if it is there already. Raises RefusedError."""
        if self.has_group:
            return None
        text = _read(self.hosts_file)
        if text is None or not text.strip():
            return hosts_text(environment, self.host)
        new = text.rstrip("\n") + "\n" + hosts_entry(environment, self.host)
        groups = _groups(new)
        if groups is None or environment not in groups:
            raise RefusedError([_not_extended(self.hosts_file, environment, self.host)])
        return new


def find_place(inventory: Path, environment: str) -> Place:
    """Return where the files of `environment` are in `inventory`, a folder or one of its files.

    Raises RefusedError if the inventory cannot take the environment.
    """
    is_file = inventory.is_file() or (not inventory.exists() and inventory.suffix in (".yml", ".yaml"))
    folder = inventory.parent if is_file else inventory
    if folder.exists() and not folder.is_dir():
        raise RefusedError.of(
            "INVENTORY", str(inventory), "is in no folder", "Name a folder, or a file in one", Code.NOT_WRITABLE
        )
    hosts_file = inventory if is_file else _hosts_file(folder)
    hosts = _hosts_of(hosts_file, environment)
    if hosts is not None and len(hosts) > 1:
        problem = f"the group {environment} has {len(hosts)} hosts, and a migration runs on exactly one"
        raise RefusedError.of(
            "INVENTORY", str(hosts_file), problem, "Leave one host in it, or name another ENV", Code.NOT_WRITABLE
        )
    host = hosts[0] if hosts else f"rehome-{environment}"
    return Place(folder, hosts_file, _settings_file(folder, environment), _vault_file(folder, host), host, bool(hosts))


def _hosts_file(folder: Path) -> Path:
    found = [folder / name for name in ("hosts.yml", "hosts.yaml") if (folder / name).exists()]
    return found[0] if found else folder / "hosts.yml"


def _settings_file(folder: Path, environment: str) -> Path:
    """Return the file that Ansible reads: with a folder of the group's name, it reads no file of that name."""
    variables = folder / "group_vars"
    if (variables / environment).is_dir():
        return variables / environment / "rehome.yml"
    found = [variables / f"{environment}{suffix}" for suffix in (".yml", ".yaml", ".json", "")]
    return next((file for file in found if file.is_file()), found[0])


def _vault_file(folder: Path, host: str) -> Path:
    """Return the file of the secrets. Raises RefusedError if its folder would hide a file that Ansible reads now."""
    variables = folder / "host_vars"
    for suffix in (".yml", ".yaml", ".json", ""):
        file = variables / f"{host}{suffix}"
        if file.is_file():
            problem = "Ansible would no longer read it if the secrets were in a folder beside it"
            way_out = f"Move it to {variables / host / 'settings.yml'}"
            raise RefusedError.of("INVENTORY", str(file), problem, way_out, Code.NOT_WRITABLE)
    return variables / host / "vault.yml"


def _hosts_of(file: Path, environment: str) -> list[str] | None:
    """Return the hosts of a group of an inventory; None if it has no such group."""
    text = _read(file)
    groups = _groups(text) if text else {}
    if groups is None:
        raise RefusedError([_not_extended(file, environment, f"rehome-{environment}")])
    group = groups.get(environment)
    return None if group is None else list((group or {}).get("hosts") or {})


def _groups(text: str) -> Mapping[str, Any] | None:
    """Return the groups of an inventory in YAML, with those inside of others; None if it is none."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    if found is None:
        return {}
    if not isinstance(found, dict):
        return None
    groups: dict[str, Any] = {}

    def collect(named: Mapping[str, Any]) -> None:
        for name, group in named.items():
            if isinstance(group, dict) or group is None:
                groups.setdefault(str(name), group)
                collect((group or {}).get("children") or {})

    collect(found)
    return groups


def _not_extended(file: Path, environment: str, host: str) -> Finding:
    lines = hosts_entry(environment, host).strip().replace("\n", " / ")
    problem = f"is no inventory in YAML to which the group {environment} can be added"
    return Finding(
        "INVENTORY", str(file), problem, f"Add the group by hand ({lines}), or name another folder", Code.NOT_WRITABLE
    )


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RefusedError.of(
            "INVENTORY",
            str(file),
            f"cannot be read ({reason})",
            "Make it readable, or name another folder",
            Code.NOT_WRITABLE,
        ) from None

"""Every setting that the modules take is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rehome.ansible_module.argument_spec import ARGUMENT_SPEC, GRANTS_SPEC
from rehome.config.read import read_settings
from rehome.errors import RefusedError
from rehome.grants.settings import read_grant_settings

SETTINGS = ARGUMENT_SPEC["settings"]["options"]
GRANTS = GRANTS_SPEC["options"]
SAMPLES = {"str": "x", "path": "/x", "raw": "key", "int": 7, "float": 7.0, "bytes": 7 << 20, "bool": True, "dict": {}}


class Recorded(dict[str, Any]):
    """A mapping that adds the path of every value that is read to `read`."""

    def __init__(self, values: dict[str, Any], read: set[str], path: str = "") -> None:
        super().__init__({name: _recorded(value, read, f"{path}{name}") for name, value in values.items()})
        self._read, self._path = read, path

    def __getitem__(self, name: str) -> Any:
        self._read.add(f"{self._path}{name}")
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._read.add(f"{self._path}{name}")
        return super().get(name, default)

    def items(self) -> Any:
        return [(name, self[name]) for name in self]


def _recorded(value: Any, read: set[str], path: str) -> Any:
    if isinstance(value, list):
        return [_recorded(one, read, f"{path}[]") for one in value]
    return Recorded(value, read, f"{path}.") if isinstance(value, dict) else value


def _sample(spec: dict[str, Any]) -> Any:
    if "options" in spec:
        one = {name: _sample(inner) for name, inner in spec["options"].items()}
        return [one] if spec["type"] == "list" else one
    if spec["type"] == "list":
        return [SAMPLES[spec["elements"]]]
    return spec["choices"][0] if "choices" in spec else SAMPLES[spec["type"]]


def _paths(specs: dict[str, Any], outer: str = "") -> Iterator[str]:
    for name, spec in specs.items():
        yield f"{outer}{name}"
        yield from _paths(spec.get("options", {}), f"{outer}{name}{'[]' if spec['type'] == 'list' else ''}.")


def _reads(given: dict[str, Any], reader: Callable[[dict[str, Any]], object]) -> set[str]:
    read: set[str] = set()
    with suppress(RefusedError):
        reader(Recorded(given, read))
    return read


def _without_reader(specs: dict[str, Any], read: set[str]) -> list[str]:
    return [
        f"{path} is in roles/rehome/meta/argument_specs.yml, but no reader in module_utils/rehome uses it"
        for path in _paths(specs)
        if path not in read
    ]


def test_every_setting_has_a_reader() -> None:
    given = {name: _sample(spec) for name, spec in SETTINGS.items()}
    # with a URL, only some of the database's other options are read
    without_url = given | {"database": given["database"] | {"url": None}}
    read = _reads(given, read_settings) | _reads(without_url, read_settings)
    assert _without_reader(SETTINGS, read) == []


def test_every_setting_of_grants_has_a_reader(tmp_path: Path) -> None:
    side = {"bucket": "x", "prefix": "x/", "whole_bucket": False}
    given = {name: spec.get("default") for name, spec in SETTINGS.items()} | {
        "multipart_threshold": SAMPLES["bytes"],
        "name": "x",
        "source": side,
        "target": side | {"prefix": "y/"},
        "database": {"engine": "sqlite", "path": "x"},
        "references": [{"table": "x", "column": "x"}],
        "state_dir": str(tmp_path),
    }
    settings = read_settings(given)
    grants = {name: _sample(spec) for name, spec in GRANTS.items()}
    read = _reads(grants, lambda recorded: read_grant_settings(recorded, settings))
    # the tasks of roles/grants write the folder themselves
    assert _without_reader(GRANTS, read | {"folder"}) == []

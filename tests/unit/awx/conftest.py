from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROOT = Path(__file__).parents[3]
FILES = sorted(path for path in (ROOT / "awx").glob("*.yml") if not path.name.startswith("site."))
ROLE = ROOT / "roles" / "awx"

Controller = Mapping[str, list[dict[str, Any]]]


def loaded(path: Path) -> dict[str, Any]:
    """A file of variables, as Ansible loads it."""
    found: dict[str, Any] = DataLoader().load_from_file(str(path), unsafe=False, trusted_as_template=True)
    return found


@pytest.fixture(scope="session")
def render() -> Callable[..., Controller]:
    """Render awx/ with the settings of a site: each `controller_*` variable with its items."""

    def rendered(**site: Any) -> Controller:
        variables = {**loaded(ROLE / "defaults" / "main.yml"), "role_path": str(ROLE)}
        for path in FILES:
            variables |= loaded(path)
        templar = Templar(loader=DataLoader(), variables=variables | site)
        return {name: templar.template(value) for name, value in variables.items() if name.startswith("controller_")}

    return rendered


@pytest.fixture(scope="session")
def example() -> dict[str, Any]:
    return loaded(ROOT / "awx" / "site.example.yml")


@pytest.fixture(scope="session")
def controller(render: Callable[..., Controller], example: dict[str, Any]) -> Controller:
    """What awx/ says for the site of the example."""
    return render(**example)


@pytest.fixture(scope="session")
def filters() -> ModuleType:
    return _plugin(ROLE / "filter_plugins" / "awx.py")


@pytest.fixture(scope="session")
def variable_names() -> ModuleType:
    return _plugin(ROOT / "action_plugins" / "variable_names.py")


def _plugin(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"awx_tests_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

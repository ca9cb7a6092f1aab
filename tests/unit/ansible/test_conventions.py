"""What Ansible's users expect to find, and what no linter asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible.test_contract import MODULES, documented

ROOT = Path(__file__).parents[3]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_a_readme_with_an_example(role: str) -> None:
    text = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {role}: ")
    (example,) = [part.partition("```")[0] for part in text.split("```yaml\n")[1:]]
    assert yaml.safe_load(example)


@pytest.mark.parametrize("role", ROLES)
def test_every_role_says_what_it_is_in_the_words_of_its_specification(role: str) -> None:
    meta = yaml.safe_load((ROOT / "roles" / role / "meta" / "main.yml").read_text(encoding="utf-8"))["galaxy_info"]
    assert meta["license"] == "MIT"
    specs = ROOT / "roles" / role / "meta" / "argument_specs.yml"
    if specs.exists():
        main = yaml.safe_load(specs.read_text(encoding="utf-8"))["argument_specs"]["main"]
        assert meta["description"] == main["short_description"]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_tells_its_age_its_needs_its_relatives_and_what_results_look_like(module: str) -> None:
    facts = documented(*MODULES)[module]
    doc = facts["doc"]
    assert doc["version_added"] and doc["requirements"] and doc["notes"] and doc["seealso"]
    assert all("(@" in author for author in doc["author"])
    _sampled(module, facts["return"])


def _sampled(where: str, values: dict[str, Any]) -> None:
    for name, value in values.items():
        assert "sample" in value, f"{where}.{name}"
        _sampled(f"{where}.{name}", value.get("contains", {}))

"""Read an inventory before it is written, as Ansible and the engine will."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager
from rehome.ansible_module.argument_spec import ARGUMENT_SPEC
from rehome.codes import Code
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.errors import Finding, RefusedError

from .place import Place
from .rendering import hosts_text
from .vault import VaultPassword

PREFIX = "rehome_"


def variables_of(
    place: Place, environment: str, settings: str, secrets: bytes | None, password: VaultPassword | None
) -> dict[str, Any]:
    """Return the `rehome_` variables of the environment as Ansible reads these files, without the prefix.

    Raises RefusedError if Ansible cannot read them.
    """
    with tempfile.TemporaryDirectory(prefix="rehome-init-") as name:
        folder = Path(name)
        files: dict[Path, bytes] = {
            folder / "hosts.yml": hosts_text(environment, place.host).encode(),
            folder / place.settings_file.relative_to(place.folder): settings.encode(),
        }
        if secrets is not None:
            files[folder / place.vault_file.relative_to(place.folder)] = secrets
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            return _read(folder, environment, place.host, password)
        except AnsibleError as error:
            problem = f"Ansible cannot read what would be written ({' '.join(str(error).split())})"
            way_out = "Correct the settings that are kept from the file as it is"
            raise RefusedError.of("INVENTORY", str(place.settings_file), problem, way_out, Code.NOT_WRITABLE) from None


def _read(folder: Path, environment: str, host: str, password: VaultPassword | None) -> dict[str, Any]:
    loader = DataLoader()
    if password is not None:
        loader.set_vault_secrets(password.secrets)
    inventory = InventoryManager(loader=loader, sources=[str(folder)])
    variables = VariableManager(loader=loader, inventory=inventory)
    found = variables.get_vars(host=inventory.get_host(host))
    templar = Templar(loader=loader, variables=found)
    return {
        name.removeprefix(PREFIX): _plain(templar.template(value))
        for name, value in found.items()
        if name.startswith(PREFIX)
    }


def read(given: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Return the settings as a run would read them. Raises RefusedError with every finding."""
    options = ARGUMENT_SPEC["settings"]["options"]
    known = {name: value for name, value in given.items() if name in options}
    # what a run has by default, and nothing of it is asked for here
    known.setdefault("state_dir", "state")
    checked = ArgumentSpecValidator(options).validate(known)
    if checked.error_messages:
        raise RefusedError(
            [
                Finding("rehome_*", None, message, "Correct the setting", Code.UNUSABLE_VALUE)
                for message in checked.error_messages
            ]
        )
    return read_settings(checked.validated_parameters, environ)


def _plain(value: Any) -> Any:
    """Return a value without the types that Ansible tags it with."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, str) else value

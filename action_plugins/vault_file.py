"""Keep variables in a file that Ansible's vault encrypts; see the module of the same name for its options.

An action plugin, because only the controller knows the vault's secrets.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.vault import VaultLib, is_encrypted
from ansible.plugins.action import ActionBase
from ansible.utils.vars import merge_hash


class ActionModule(ActionBase):
    """Reads, merges, encrypts and replaces the file."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(
            {"path": {"type": "path", "required": True}, "content": {"type": "dict", "default": {}, "no_log": True}}
        )
        path = Path(given["path"])
        vault = VaultLib(self._loader._vault.secrets)
        present = _read(path, vault)
        wanted = merge_hash(present, _plain(given["content"]))
        try:
            text = vault.encrypt(yaml.safe_dump(wanted))
        except AnsibleError as error:
            raise AnsibleActionFail(
                f"{path}: cannot be encrypted, as this run has no vault password. Give it one "
                "(--vault-password-file, or ANSIBLE_VAULT_PASSWORD_FILE), or set rehome_grants_hand_over to your own "
                "task file, which takes the secrets instead"
            ) from error
        changed = wanted != present
        if changed and not self._task.check_mode:
            _replace(path, text)
        return {"changed": changed, "path": str(path)}


def _read(path: Path, vault: VaultLib) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    if not is_encrypted(data):
        raise AnsibleActionFail(
            f"{path}: is there and not encrypted. Encrypt it (ansible-vault encrypt), or name another"
        )
    try:
        found = yaml.safe_load(vault.decrypt(data))
    except AnsibleError as error:
        raise AnsibleActionFail(f"{path}: this run's vault password does not open it") from error
    return found or {}


def _plain(value: Any) -> Any:
    """Without the tags that Ansible puts on values, which YAML's safe dumper does not know."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, str) else value


def _replace(path: Path, data: bytes) -> None:
    """A file is there whole or not at all, and only for its owner."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".")  # made for the owner alone
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

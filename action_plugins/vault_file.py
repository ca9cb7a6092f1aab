"""Merge variables into a vault-encrypted file; the module of the same name documents the options.

It is an action plugin, as only the controller has the vault's secrets.
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
        """Return whether the variables changed, and the file's path.

        Raises AnsibleActionFail if the file cannot be decrypted, is not encrypted, or there is no vault secret.
        """
        super().run(tmp, task_vars)
        _, params = self.validate_argument_spec(
            {"path": {"type": "path", "required": True}, "content": {"type": "dict", "default": {}, "no_log": True}}
        )
        path = Path(params["path"])
        vault = VaultLib(self._loader._vault.secrets)
        present = _read(path, vault)
        wanted = merge_hash(present, _plain(params["content"]))
        try:
            text = vault.encrypt(yaml.safe_dump(wanted))
        except AnsibleError as error:
            raise AnsibleActionFail(
                f"{path}: cannot be encrypted, as this run has no vault password. Give it one "
                "(--vault-password-file, or ANSIBLE_VAULT_PASSWORD_FILE), or set rehome_grants_hand_over to your own "
                "task file, which takes the secrets instead [RH-815]"
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
            f"{path}: exists and is not encrypted. Encrypt it (ansible-vault encrypt), or name another file [RH-815]"
        )
    try:
        found = yaml.safe_load(vault.decrypt(data))
    except AnsibleError as error:
        raise AnsibleActionFail(
            f"{path}: this run's vault password does not open it. Give it the one that does [RH-815]"
        ) from error
    return found or {}


def _plain(value: Any) -> Any:
    """Return the value without Ansible's tagged types, which YAML's safe dumper does not take."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, str) else value


def _replace(path: Path, data: bytes) -> None:
    """Write the file whole, readable by its owner only."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

"""The secrets' file, which Ansible's vault encrypts. A secret is never on disk in clear, nor in a message."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, VaultSecret, is_encrypted
from rehome.codes import Code
from rehome.errors import RefusedError

_ID = "default"


@dataclass(frozen=True, slots=True)
class VaultPassword:
    """The password of a vault. file: where it is kept; None if it was typed"""

    value: str = field(repr=False)
    file: Path | None = None

    @property
    def secrets(self) -> list[tuple[str, VaultSecret]]:
        """What Ansible's loader and vault take."""
        return [(_ID, VaultSecret(self.value.encode()))]


def read_password(file: Path) -> VaultPassword:
    """Return the password in a file, or that a program prints, as ansible-vault does. Raises RefusedError."""
    try:
        if file.stat().st_mode & stat.S_IXUSR:
            made = subprocess.run([str(file.absolute())], capture_output=True, text=True, check=True)  # noqa: S603 - the operator's own
            text = made.stdout
        else:
            text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise RefusedError.of(
            "--vault-password-file",
            str(file),
            f"cannot be read ({reason})",
            "Name a file with the vault's password",
            Code.VAULT_FILE,
        ) from None
    if not text.strip():
        raise RefusedError.of(
            "--vault-password-file",
            str(file),
            "is empty",
            "Write the vault's password into it, in one line",
            Code.VAULT_FILE,
        )
    return VaultPassword(text.strip(), file)


def read_vault(file: Path, password: VaultPassword) -> dict[str, str]:
    """Return the variables of a vault's file; nothing if there is none.

    Raises RefusedError if it is not encrypted, or by another password.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return {}
    if not is_encrypted(data):
        way_out = "Encrypt it (ansible-vault encrypt), or move it away"
        raise RefusedError.of("INVENTORY", str(file), "exists and is not encrypted", way_out, Code.VAULT_FILE)
    try:
        found = yaml.safe_load(VaultLib(password.secrets).decrypt(data))
    except AnsibleError:
        raise RefusedError.of(
            "--vault-password-file",
            None,
            f"this password does not open {file}",
            "Give the one that it was encrypted by",
            Code.VAULT_FILE,
        ) from None
    except yaml.YAMLError:
        raise RefusedError.of("INVENTORY", str(file), "holds no variables", "Move it away", Code.VAULT_FILE) from None
    return {str(name): value for name, value in (found or {}).items()}


def encrypted(variables: Mapping[str, str], password: VaultPassword) -> bytes:
    """Return the content of a vault's file with these variables."""
    text = "---\n" + yaml.safe_dump(dict(variables), sort_keys=True, allow_unicode=True)
    return bytes(VaultLib(password.secrets).encrypt(text, secret=password.secrets[0][1]))


def password_file_of(environ: Mapping[str, str]) -> Path | None:
    """Return the file of the vault's password that is exported for Ansible."""
    named = environ.get("ANSIBLE_VAULT_PASSWORD_FILE")
    return Path(os.path.expanduser(named)) if named else None  # noqa: PTH111 - Path raises where there is no home

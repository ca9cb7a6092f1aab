"""MariaDB of other Debian releases as a private server, with the users and the table of the sandbox's."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from matrix.packages import Tree, unpack
from sandbox.mariadb import MariaDB

PACKAGES = ("mariadb-server-core", "mariadb-client-core")


class UnpackedMariaDB(MariaDB):
    """`mariadbd` of an unpacked release. Its script that installs the data folder finds the programs by wrappers."""

    version: ClassVar[str]
    suite: ClassVar[str]

    @classmethod
    def tree(cls) -> Tree:
        """Return its unpacked packages."""
        return unpack(f"mariadb-{cls.version}", cls.suite, PACKAGES)

    @classmethod
    def full_version(cls) -> str:
        """Return its Debian version."""
        return cls.tree().version(PACKAGES[0])

    @classmethod
    def program(cls, name: str) -> str:
        """Return the path of one of its programs, or of the wrapper that runs it by the tree's loader."""
        wrapped = _base(cls.tree())
        path = next((path for folder in ("sbin", "bin") if (path := wrapped / folder / name).exists()), None)
        return str(path or cls.tree().path(f"usr/bin/{name}"))

    def install_options(self) -> Sequence[str]:
        """Return the options by which the script finds the tree's programs."""
        return [f"--basedir={_base(self.tree())}"]

    def command(self) -> Sequence[str]:
        """Return mariadbd with its options, and with the tree's own loader."""
        _, no_defaults, *options = super().command()
        usr = self.tree().root / "usr"
        return [
            *self.tree().command("mariadbd"),
            no_defaults,
            f"--basedir={usr}",
            f"--lc-messages-dir={usr / 'share' / 'mariadb'}",
            f"--character-sets-dir={usr / 'share' / 'mariadb' / 'charsets'}",
            f"--plugin-dir={usr / 'lib' / 'mysql' / 'plugin'}",
            *options,
        ]


class MariaDB1011(UnpackedMariaDB):
    """MariaDB 10.11 of Debian 12."""

    version = "10.11"
    suite = "bookworm"


class MariaDB118(UnpackedMariaDB):
    """MariaDB 11.8 of Debian 13."""

    version = "11.8"
    suite = "trixie"


def _base(tree: Tree) -> Path:
    """Return a folder like /usr whose programs are scripts that run those of the tree. Make it if need be."""
    base = tree.root / "wrapped"
    for folder, program in (("sbin", "mariadbd"), ("bin", "my_print_defaults"), ("bin", "resolveip")):
        path = base / folder / program
        if tree.find(program) is None or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        draft.write_text(f'#!/bin/sh\nexec {shlex.join(tree.command(program))} "$@"\n', encoding="utf-8")
        draft.chmod(0o755)
        draft.replace(path)
    for folder in ("share", "lib"):
        if not (base / folder).exists():
            (base / folder).symlink_to(Path("..") / "usr" / folder)
    return base

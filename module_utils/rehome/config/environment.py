"""What the environment's variables add to the settings that are unset. docs/environment.md is its description."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from ..codes import Code
from ..errors import Finding
from .database_url import ENGINES, parse_database_url, with_url
from .environment_names import ENVIRONMENT_NAMES, SECRET_SETTINGS
from .settings import SideLabel

_CREDENTIALS = ("access_key", "secret_key", "session_token")
_NAMES_A_DATABASE = ("url", "host", "socket", "name", "path")
"""Options that say which database is meant. Where one of them is set, no other is taken from an exported URL."""
_WINS_OVER_URL = ("engine", "port", "user", "password", "tls")
_SAID_BY_URL = ("engine", "host", "port", "name", "user")
_PORTS = {"mariadb": 3306, "mysql": 3306, "postgresql": 5432}
_A_URL = "Write it as engine://user:password@host:port/name"

Options = Mapping[str, Any]

NO_VARIABLES: Mapping[str, str] = {}


@dataclass
class Exported:
    """The variables that are exported, and what was taken of them.

    taken: setting → the variable that its value is of
    """

    variables: Mapping[str, str]
    findings: list[Finding] = field(default_factory=list)
    taken: dict[str, str] = field(default_factory=dict)

    def add_to(self, given: Options) -> Options:
        """Return a module's option `settings` with what the variables add to it."""
        if not any(self._first(setting) for setting in ENVIRONMENT_NAMES):
            return given
        return {
            **given,
            "source": self._side("source", given.get("source") or {}),
            "target": self._side("target", given.get("target") or {}),
            "database": self._database(given.get("database") or {}),
            "references": given.get("references") or self._references(),
            "state_uri": given.get("state_uri") or self._take("rehome_state_uri"),
        }

    def add_to_grants(self, given: Options) -> Options:
        """Return a module's option `grants` with what the variables add to it."""
        admin = given.get("admin_database") or {}
        added = self._taken("rehome_admin_database", admin, ("user", "password"))
        return {**given, "admin_database": {**admin, **added}} if added else given

    def named(self, finding: Finding) -> Finding:
        """Return a finding with the variable that its value is of."""
        name = self.taken.get(finding.setting)
        return replace(finding, setting=f"{finding.setting} from {name}") if name else finding

    def secrets(self) -> Iterator[str]:
        """Yield the secrets among what was taken, the passwords in URLs too."""
        for setting, name in self.taken.items():
            value = self.variables[name]
            if setting in SECRET_SETTINGS:
                yield value
            yield from _passwords(value)

    def _first(self, setting: str) -> str | None:
        """Return the first variable of a setting that is set and not empty."""
        return next((name for name in ENVIRONMENT_NAMES[setting] if self.variables.get(name)), None)

    def _take(self, setting: str) -> str | None:
        name = self._first(setting)
        if name is None:
            return None
        self.taken[setting] = name
        return self.variables[name]

    def _taken(self, setting: str, given: Options, parts: Iterable[str]) -> dict[str, str]:
        """Return what the variables say of those parts that are unset."""
        found = {part: self._take(f"{setting}.{part}") for part in parts if not given.get(part)}
        return {part: value for part, value in found.items() if value is not None}

    def _side(self, label: SideLabel, given: Options) -> Options:
        setting = f"rehome_{label}"
        prefix = [] if given.get("whole_bucket") else ["prefix"]
        added = self._taken(setting, given, ["bucket", *prefix, "endpoint_url", "region"])
        # a pair, and the token of that pair, are of one place
        if not any(given.get(part) for part in (*_CREDENTIALS, "profile")) and self._has_pair(setting):
            added |= self._taken(setting, given, _CREDENTIALS)
        return {**given, **added}

    def _has_pair(self, setting: str) -> bool:
        key, secret, token = (self._first(f"{setting}.{part}") for part in _CREDENTIALS)
        if (key or secret or token) and not (key and secret):
            missing = " and ".join(
                ENVIRONMENT_NAMES[f"{setting}.{part}"][0]
                for part, name in (("access_key", key), ("secret_key", secret))
                if not name
            )
            way_out = (
                f"Export both, or unset it to use {setting}.access_key and .secret_key or the AWS credential chain"
            )
            self.findings.append(
                Finding(key or secret or token or "", None, f"is exported without {missing}", way_out, Code.EXPORTED)
            )
            return False
        return bool(key)

    def _references(self) -> list[Options]:
        table, column = (self._take(f"rehome_references[].{part}") for part in ("table", "column"))
        if not table and not column:
            return []
        if not table or not column:
            here, there = ("table", "column") if table else ("column", "table")
            name, missing = (ENVIRONMENT_NAMES[f"rehome_references[].{part}"][0] for part in (here, there))
            way_out = "Export both, which name one column, or set rehome_references"
            self.findings.append(
                Finding(name, table or column, f"is exported without {missing}", way_out, Code.EXPORTED)
            )
        return [{"table": table or "unknown", "column": column or "unknown", "form": "key"}]

    def _database(self, given: Options) -> Options:
        if not any(given.get(part) for part in _NAMES_A_DATABASE) and self._first("rehome_database.url"):
            return self._with_ca(self._of_exported_url(given))
        if given.get("url"):
            return self._with_ca({**given, **self._taken("rehome_database", given, ("user", "password"))})
        if given.get("path") or given.get("engine") == "sqlite":
            return {**given, **self._engine(given)}
        parts = ["name", "user", "password"]
        at = {}
        if not given.get("host") and not given.get("socket"):
            parts.append("host")
            at = {} if given.get("port") else self._port()
        return self._with_ca({**given, **self._engine(given), **at, **self._taken("rehome_database", given, parts)})

    def _engine(self, given: Options) -> dict[str, str]:
        if given.get("engine"):
            return {}
        found = self._take("rehome_database.engine")
        engine = ENGINES.get((found or "").lower())
        if found and engine is None:
            way_out = f"Export one of {', '.join(dict.fromkeys(ENGINES.values()))}, or set rehome_database.engine"
            self.findings.append(
                Finding(
                    self.taken["rehome_database.engine"],
                    found,
                    "is no database that Rehome knows",
                    way_out,
                    Code.EXPORTED,
                )
            )
        return {"engine": engine} if engine else {}

    def _port(self) -> dict[str, int]:
        found = self._take("rehome_database.port")
        if found is None:
            return {}
        with suppress(ValueError):
            port = int(found)
            if 0 < port < 2**16:
                return {"port": port}
        way_out = "Export a number from 1 to 65535, unset it, or set rehome_database.port"
        self.findings.append(
            Finding(self.taken["rehome_database.port"], found, "is not the number of a port", way_out, Code.EXPORTED)
        )
        return {}

    def _of_exported_url(self, given: Options) -> Options:
        """Return the database that an exported URL names, with what the settings say of it."""
        name, url = self._first("rehome_database.url") or "", self._take("rehome_database.url") or ""
        problem: str | None
        try:
            of_url = {part: value for part, value in parse_database_url(url).items() if value is not None}
            problem = self._problem_of(of_url, given)
        except ValueError as error:
            of_url, problem = {}, str(error)
        if problem:
            self.findings.append(
                Finding(name, None, problem, f"{_A_URL}, or unset it and set rehome_database", Code.EXPORTED)
            )
            return {**given, "engine": "sqlite", "path": "unknown"}
        kept = {**self._engine(given), **{part: given[part] for part in _WINS_OVER_URL if given.get(part)}}
        if kept.get("user", of_url.get("user")) != of_url.get("user"):
            of_url.pop("password", None)
        merged = {**given, **of_url, **kept}
        return {**merged, **self._taken("rehome_database", merged, ("user", "password"))}

    def _problem_of(self, of_url: Options, given: Options) -> str | None:
        """Return why the database of an exported URL is not to be taken."""
        engine = str(of_url["engine"])
        if engine == "sqlite":
            missing = None if of_url.get("path") else "file"
        else:
            missing = "host" if not (of_url.get("host") or of_url.get("socket")) else None
            missing = missing or (None if of_url.get("name") else "database")
        if missing:
            return f"names no {missing}"
        if given.get("engine") and not _same("engine", given["engine"], engine):
            return f"is of {engine}, and rehome_database.engine is {given['engine']}"
        said = {"port": _PORTS.get(engine), **of_url}
        for part in _SAID_BY_URL:
            beside = self._first(f"rehome_database.{part}")
            if beside and not _same(part, self.variables[beside], said.get(part)):
                return f"says another {part} than {beside} ({self.variables[beside]})"
        return None

    def _with_ca(self, given: Options) -> Options:
        """Return the database with the authorities of DB_CA, which switch TLS on as the setting does."""
        if self._first("rehome_database.tls.ca") is None:
            return given
        with suppress(ValueError):  # of a URL in the settings: its reader reports it
            given = with_url(given) if given.get("url") else given
        tls = given.get("tls")
        by_network = given.get("engine") != "sqlite" and given.get("host") and not given.get("socket")
        if (tls or {}).get("ca") or (tls or {}).get("enabled") is False or not (tls or by_network):
            return given
        ca = self._take("rehome_database.tls.ca") or ""
        return {**given, "tls": {"enabled": True, **(tls or {}), "ca": os.path.expanduser(ca)}}  # noqa: PTH111 - Path raises where there is no home


def _same(part: str, one: object, other: object) -> bool:
    """Return whether two places say the same of a database. A URL of MySQL is one of MariaDB, too."""
    texts = [str(value).lower() if part in ("engine", "host") else str(value) for value in (one, other)]
    if part == "engine":
        texts = [ENGINES.get(text, text).replace("mariadb", "mysql") for text in texts]
    return texts[0] == texts[1]


def _passwords(url: str) -> Iterator[str]:
    """Yield the password of a URL as it is written, and as it is meant."""
    with suppress(ValueError):
        yield from filter(None, [urlsplit(url).password])
        yield from filter(None, [str(parse_database_url(url).get("password") or "")])

"""Parser of database URLs, as applications have them in DATABASE_URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

ENGINES = {
    "mariadb": "mariadb",
    "mysql": "mysql",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
}
_TLS_MODES: Mapping[str, dict[str, bool]] = {
    "disable": {"enabled": False},
    "disabled": {"enabled": False},
    "require": {"enabled": True, "verify": False},
    "required": {"enabled": True, "verify": False},
    "verify-full": {"enabled": True, "verify": True},
    "verify_identity": {"enabled": True, "verify": True},
}
"""The modes of libpq (`sslmode`) and of MySQL's clients (`ssl-mode`) that Rehome has, too. It has none that verify the
certificate without the name, or that use TLS only if the server offers it."""
_TLS_FILES = {
    **dict.fromkeys(["sslrootcert", "ssl-ca", "ssl_ca"], "ca"),
    **dict.fromkeys(["sslcert", "ssl-cert", "ssl_cert"], "cert"),
    **dict.fromkeys(["sslkey", "ssl-key", "ssl_key"], "key"),
}
_is_plain = re.compile(r"[A-Za-z_-]+").fullmatch
_SOCKETS = ("unix_socket", "socket", "host")
_IMMATERIAL = ("charset", "collation", "application_name", "connect_timeout")
"""Options that Rehome sets itself for its connections."""


def with_url(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `rehome_database` that has a `url`: its parts, and what the others say that it leaves open.

    Raises ValueError, as `parse_database_url`.
    """
    named: dict[str, Any] = {
        name: value for name, value in parse_database_url(given["url"]).items() if value is not None
    }
    # not the host and the name: those may be another database's
    others = {name: given.get(name) for name in ("user", "password", "tls")}
    if tls := named.get("tls"):
        files = {name: value for name, value in (given.get("tls") or {}).items() if name in _TLS_FILES.values()}
        named["tls"] = {**files, **tls}
    return {**others, **named}


def parse_database_url(url: str) -> dict[str, object]:
    """Return the settings of `rehome_database` that a URL has: `engine://user:password@host:port/name?options`.

    A driver after the engine (`mysql+pymysql`) is ignored. SQLite's URLs are `sqlite:///relative.db` and
    `sqlite:////absolute.db` ("Engine Configuration", SQLAlchemy's manual).
    Raises ValueError. Its text does not repeat the URL, which may contain a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(
            "is no URL: characters such as @ : / # in a user or a password are written as %40 …"
        ) from error
    engine = ENGINES.get(parts.scheme.partition("+")[0].lower())
    if engine is None:
        raise ValueError(f"begins with none of {', '.join(f'{name}://' for name in ENGINES)}")
    path = unquote(parts.path)
    if engine == "sqlite":
        return {"engine": engine, "path": path[1:] or None}
    found: dict[str, object] = {
        "engine": engine,
        "host": unquote(parts.hostname) if parts.hostname else None,
        "port": port,
        "name": path[1:] or None,
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    }
    tls: dict[str, object] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _SOCKETS:
            found["socket"] = value
        elif name in ("sslmode", "ssl-mode", "ssl_mode") and value.lower() in _TLS_MODES:
            tls |= _TLS_MODES[value.lower()]
        elif name in _TLS_FILES:
            tls[_TLS_FILES[name]] = value
        elif name not in _IMMATERIAL:
            # what looks like no option is a part of a password with a ? in it
            named = f"the option {name}" if _is_plain(name) else "an option"
            raise ValueError(f"has {named}, which Rehome does not know with this value")
    if tls:
        found["tls"] = {"enabled": True} | tls
    return found

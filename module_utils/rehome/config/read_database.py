"""TODO-DOC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import Finding, RefusedError
from ..mapping.forms import read_form
from ..mapping.value_map import Form
from .database_url import parse_database_url
from .read_values import _unset
from .settings import (
    Database,
    EngineName,
    Reference,
    Side,
    Tls,
)
from .where_clause import objection


def _database(given: Mapping[str, Any], findings: list[Finding]) -> Database:
    if given.get("url"):
        given = _from_url(given, findings)
    engine = given.get("engine")
    tls = Tls(**{name: value for name, value in (given.get("tls") or {}).items() if value is not None})
    if not engine:
        findings.append(_unset("rehome_database.engine", "mariadb, mysql, postgresql or sqlite"))
    needed = ["path"] if engine == "sqlite" else ["name", "user"] if engine else []
    findings += [_unset(f"rehome_database.{part}") for part in needed if not given.get(part)]
    if engine and engine != "sqlite" and not given.get("host") and not given.get("socket"):
        findings.append(_unset("rehome_database.host"))
    return Database(
        engine=engine or "sqlite",
        host=given.get("host"),
        port=given.get("port"),
        socket=given.get("socket"),
        name=given.get("name"),
        user=given.get("user"),
        password=given.get("password"),
        path=given.get("path"),
        tls=tls,
    )


def _from_url(given: Mapping[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """What the URL says, with the rest of what was given in the places that it leaves open."""
    try:
        named = parse_database_url(given["url"])
    except ValueError as error:
        findings.append(
            Finding(
                "rehome_database.url",
                None,
                str(error),
                "Write it as engine://user:password@host:port/name, or set host, name, user and password one by one",
            )
        )
        named = {"engine": "sqlite", "path": "unknown"}
    # the server is the URL's alone: a host of the environment is another database's
    others = {name: given.get(name) for name in ("user", "password", "tls")}
    return {**others, **{name: value for name, value in named.items() if value is not None}}


def _reference(
    position: int, given: Mapping[str, Any], engine: EngineName, source: Side, target: Side, findings: list[Finding]
) -> Reference:
    setting = f"rehome_references[{position}]"
    findings += [_unset(f"{setting}.{part}") for part in ("table", "column") if not given.get(part)]
    form, where = Form(), given.get("where")
    try:
        form = read_form(f"{setting}.form", given.get("form", "key"), source, target)
    except RefusedError as refusal:
        findings += refusal.findings
    if where is not None and (problem := objection(where, engine)):
        way_out = "Write one SQL condition as it would stand after WHERE, such as deleted_at IS NULL"
        findings.append(Finding(f"{setting}.where", where, problem, way_out))
    return Reference(given.get("table") or "", given.get("column") or "", form, where)


def repeated(references: Sequence[Reference]) -> list[Finding]:
    names = [reference.name for reference in references]
    return [
        Finding("rehome_references", name, "is listed more than once", "Keep one entry per column")
        for name in sorted({name for name in names if names.count(name) > 1})
    ]

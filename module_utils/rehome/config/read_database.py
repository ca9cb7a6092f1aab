"""Readers of the database, its references and how rows are rewritten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..codes import Code
from ..errors import Finding, RefusedError
from ..mapping.forms import read_form
from ..mapping.value_map import Form
from .database_url import with_url
from .read_values import unset
from .settings import LONGEST_CHUNK_MS, SHORTEST_CHUNK_MS, Database, EngineName, Reference, Side, Tls
from .where_clause import objection

CHUNK_MS: Mapping[EngineName, int] = {"mariadb": 75, "mysql": 75, "postgresql": 12, "sqlite": 75}
"""Beside chunks of 75 ms, the p99 of an application's statements on PostgreSQL is four and a half times that alone,
beside 25 ms 3.4 times, 20 ms 2.9, and 15 ms 2.5. Chunks of 12 ms rewrite a twentieth fewer rows per second than those
of 15 ms, and hold up the slowest statements of the application for less long."""

MOST_CONNECTIONS = 16


def read_database(given: Mapping[str, Any], findings: list[Finding]) -> Database:
    """Read `rehome_database`."""
    if given.get("url"):
        given = _from_url(given, findings)
    engine = given.get("engine")
    tls = Tls(**{name: value for name, value in (given.get("tls") or {}).items() if value is not None})
    if not engine:
        findings.append(unset("rehome_database.engine", "mariadb, mysql, postgresql or sqlite"))
    needed = ["path"] if engine == "sqlite" else ["name", "user"] if engine else []
    findings += [unset(f"rehome_database.{part}") for part in needed if not given.get(part)]
    if engine and engine != "sqlite" and not given.get("host") and not given.get("socket"):
        findings.append(unset("rehome_database.host"))
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
    """Return the parts of the URL, with those of the other settings that it leaves open."""
    try:
        return with_url(given)
    except ValueError as error:
        way_out = "Write it as engine://user:password@host:port/name, or set host, name, user and password one by one"
        findings.append(Finding("rehome_database.url", None, str(error), way_out, Code.UNUSABLE_VALUE))
        return {"engine": "sqlite", "path": "unknown"}


def read_references(
    given: Sequence[Mapping[str, Any]], engine: EngineName, source: Side, target: Side, findings: list[Finding]
) -> tuple[Reference, ...]:
    """Read `rehome_references`."""
    if not given:
        findings.append(unset("rehome_references", "a list such as [{table: avatars, column: path, form: key}]"))
    references = [
        _read_reference(f"rehome_references[{position}]", reference, engine, source, target, findings)
        for position, reference in enumerate(given)
    ]
    findings += [
        Finding(
            "rehome_references",
            name,
            "is listed more than once",
            "Keep one entry per column",
            Code.WRONG_REFERENCE,
        )
        for name, count in sorted(Counter(reference.name for reference in references).items())
        if count > 1
    ]
    return tuple(references)


def _read_reference(
    setting: str, given: Mapping[str, Any], engine: EngineName, source: Side, target: Side, findings: list[Finding]
) -> Reference:
    findings += [unset(f"{setting}.{part}") for part in ("table", "column") if not given.get(part)]
    form, where = Form(), given.get("where")
    try:
        form = read_form(f"{setting}.form", given.get("form", "key"), source, target)
    except RefusedError as refusal:
        findings += refusal.findings
    if where is not None and (problem := objection(where, engine)):
        way_out = "Write one SQL condition as it would stand after WHERE, such as deleted_at IS NULL"
        findings.append(Finding(f"{setting}.where", where, problem, way_out, Code.WRONG_REFERENCE))
    return Reference(given.get("table") or "", given.get("column") or "", form, where)


def read_chunk_ms(given: int | None, engine: EngineName, findings: list[Finding]) -> int:
    """Read `rehome_chunk_ms`: how long a transaction may take. The default depends on the database."""
    milliseconds = CHUNK_MS[engine] if given is None else given
    if not SHORTEST_CHUNK_MS <= milliseconds <= LONGEST_CHUNK_MS:
        way_out = f"Choose {SHORTEST_CHUNK_MS} to {LONGEST_CHUNK_MS} milliseconds"
        findings.append(
            Finding(
                "rehome_chunk_ms",
                str(milliseconds),
                "is out of range for a transaction",
                way_out,
                Code.UNUSABLE_VALUE,
            )
        )
    return milliseconds


def read_connections(given: int | None, findings: list[Finding]) -> int:
    """Read `rehome_connections`: how many connections rewrite rows."""
    connections = 1 if given is None else given
    if not 1 <= connections <= MOST_CONNECTIONS:
        way_out = f"Choose 1 to {MOST_CONNECTIONS}"
        findings.append(
            Finding("rehome_connections", str(connections), "is out of range", way_out, Code.UNUSABLE_VALUE)
        )
    return connections

"""What the operator asked for, as typed values; whatever can be refused by reading alone is refused here.

Every complaint names the variable as it stands in `inventory/group_vars/<env>.yml`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .errors import Finding, RefusedError
from .keymap import KeyMap, ValueMap

OnConflict = Literal["fail", "skip", "overwrite"]
OnDangling = Literal["fail", "keep", "rewrite"]
SideLabel = Literal["source", "target"]
EngineName = Literal["mariadb", "mysql", "postgresql", "sqlite"]

ENVIRONMENT_NAMES = {
    "rehome_source.bucket": "S3_LEGACY_BUCKET_NAME",
    "rehome_source.prefix": "OLD_PREFIX",
    "rehome_source.endpoint_url": "S3_ENDPOINT_URL",
    "rehome_target.bucket": "S3_PROD_BUCKET_NAME",
    "rehome_target.prefix": "NEW_PREFIX",
    "rehome_target.endpoint_url": "S3_ENDPOINT_URL",
    "rehome_database.host": "DB_HOST",
    "rehome_database.name": "DB_NAME",
    "rehome_database.user": "DB_USER",
    "rehome_database.password": "DB_PASSWD",
}
"""The environment variable that stands in for a setting that is unset."""


@dataclass(frozen=True, slots=True)
class Side:
    """A bucket, a prefix, and how to reach them. Unset credentials come from botocore's chain."""

    label: SideLabel
    bucket: str
    prefix: str
    endpoint_url: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    ca_bundle: str | None = None
    verify_tls: bool = True
    dualstack: bool | None = None
    fips: bool | None = None
    requester_pays: bool = False
    expected_bucket_owner: str | None = None
    inventory: str | None = None

    @property
    def setting(self) -> str:
        return f"rehome_{self.label}"


@dataclass(frozen=True, slots=True)
class Tls:
    """How the connection to the database is secured. `verify` also checks the server's name."""

    enabled: bool = False
    verify: bool = True
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Database:
    """Where the rows live. SQLite has a `path` only."""

    engine: EngineName
    host: str | None = None
    port: int | None = None
    socket: str | None = None
    name: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    path: str | None = None
    tls: Tls = Tls()


@dataclass(frozen=True, slots=True)
class Reference:
    """A column whose value names an object: the texts are what the value has before the key, old and new."""

    table: str
    column: str
    source_text: str = ""
    target_text: str = ""

    @property
    def name(self) -> str:
        return f"{self.table}.{self.column}"


@dataclass(frozen=True, slots=True)
class Settings:
    """One migration, complete and consistent as far as reading can tell."""

    name: str
    source: Side
    target: Side
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    database: Database
    references: tuple[Reference, ...]
    on_conflict: OnConflict
    on_dangling: OnDangling
    journal_schema: str
    state_dir: Path

    @property
    def keymap(self) -> KeyMap:
        return KeyMap(self.source.prefix, self.target.prefix, self.include, self.exclude)

    def value_map(self, reference: Reference) -> ValueMap:
        """How the values of `reference` change: the key map behind the texts of its form."""
        return ValueMap(self.keymap, reference.source_text, reference.target_text)

    @property
    def fingerprint(self) -> str:
        """Sha256 of what is moved to where; policies, credentials and folders do not count."""
        facts = {
            "name": self.name,
            "source": [self.source.bucket, self.source.prefix],
            "target": [self.target.bucket, self.target.prefix],
            "include": self.include,
            "exclude": self.exclude,
            "references": [[r.table, r.column, r.source_text, r.target_text] for r in self.references],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Turn a module's `settings` option into `Settings`.

    given: the option as Ansible hands it over, types and choices already checked.
    Raises RefusedError with every finding.
    """
    findings: list[Finding] = []
    source = _side("source", given["source"] or {}, findings)
    target = _side("target", given["target"] or {}, findings)
    references = [_reference(i, ref, source, target, findings) for i, ref in enumerate(given["references"] or [])]
    settings = Settings(
        name=_name(given["name"], findings),
        source=source,
        target=target,
        include=tuple(given["include"]),
        exclude=tuple(given["exclude"]),
        database=_database(given["database"] or {}, findings),
        references=tuple(references),
        on_conflict=given["on_conflict"],
        on_dangling=given["on_dangling"],
        journal_schema=given["journal_schema"],
        state_dir=Path(given["state_dir"]),
    )
    if not settings.references:
        findings.append(_unset("rehome_references", "a list such as [{table: avatars, column: path, form: key}]"))
    findings += _repeated(settings.references)
    if not settings.include:
        findings.append(Finding("rehome_include", "[]", "no glob, so no object is meant", 'Use ["*"] for all of them'))
    if not findings:
        findings += _overlaps(settings)
    if findings:
        raise RefusedError(findings)
    return settings


def _unset(setting: str, example: str | None = None) -> Finding:
    ways = [f"Set it in inventory/group_vars/<env>.yml{f' to {example}' if example else ''}"]
    if setting in ENVIRONMENT_NAMES:
        ways.append(f"or export {ENVIRONMENT_NAMES[setting]}")
    return Finding(setting, None, "is not set", " ".join(ways))


def _name(name: str | None, findings: list[Finding]) -> str:
    if not name:
        findings.append(_unset("rehome_name", "a short name for this migration, such as avatars"))
        return ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        findings.append(
            Finding(
                "rehome_name",
                name,
                "names a folder and the journal's entries, so it must be plain",
                "Use at most 64 letters, digits, dots, dashes and underscores, a letter or digit first",
            )
        )
    return name


def _side(label: SideLabel, given: Mapping[str, Any], findings: list[Finding]) -> Side:
    setting = f"rehome_{label}"
    bucket, prefix = given.get("bucket") or "", given.get("prefix") or ""
    whole = bool(given.get("whole_bucket"))
    if not bucket:
        findings.append(_unset(f"{setting}.bucket"))
    if not prefix and not whole:
        findings.append(
            Finding(
                f"{setting}.prefix",
                None,
                "is empty, which would mean the whole bucket",
                f"Set a prefix (or export {ENVIRONMENT_NAMES[setting + '.prefix']}), "
                f"or say {setting}.whole_bucket: true if the whole bucket is meant",
            )
        )
    if prefix and whole:
        findings.append(
            Finding(
                f"{setting}.whole_bucket",
                "true",
                f"contradicts {setting}.prefix ({prefix})",
                "Remove one of the two",
            )
        )
    if bool(given.get("access_key")) != bool(given.get("secret_key")):
        findings.append(
            Finding(
                f"{setting}.access_key",
                None,
                f"goes together with {setting}.secret_key, and only one of them is set",
                "Set both, or neither to use the AWS credential chain",
            )
        )
    endpoint_url = given.get("endpoint_url") or None
    if endpoint_url and "@" in endpoint_url:
        findings.append(
            Finding(
                f"{setting}.endpoint_url",
                None,
                "holds a user or a password, and URLs show up in messages",
                f"Write it as https://host or http://host:port, and set {setting}.access_key and .secret_key",
            )
        )
    return Side(
        label=label,
        bucket=bucket,
        prefix=prefix,
        endpoint_url=endpoint_url,
        region=given.get("region") or None,
        access_key=given.get("access_key") or None,
        secret_key=given.get("secret_key") or None,
        session_token=given.get("session_token") or None,
        profile=given.get("profile") or None,
        addressing_style=given.get("addressing_style") or "auto",
        ca_bundle=given.get("ca_bundle") or None,
        verify_tls=given.get("verify_tls") is not False,
    )


def _database(given: Mapping[str, Any], findings: list[Finding]) -> Database:
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


def _reference(
    position: int, given: Mapping[str, Any], source: Side, target: Side, findings: list[Finding]
) -> Reference:
    setting = f"rehome_references[{position}]"
    findings += [_unset(f"{setting}.{part}") for part in ("table", "column") if not given.get(part)]
    source_text, target_text = _form_texts(f"{setting}.form", given.get("form", "key"), source, target, findings)
    return Reference(given.get("table") or "", given.get("column") or "", source_text, target_text)


def _form_texts(setting: str, form: object, source: Side, target: Side, findings: list[Finding]) -> tuple[str, str]:
    """The texts before the key, old and new, of a form: a name, or a mapping with `prefix` (and `target_prefix`)."""
    match form:
        case "key":
            return "", ""
        case "/key":
            return "/", "/"
        case "s3://bucket/key":
            return f"s3://{source.bucket}/", f"s3://{target.bucket}/"
        case {"prefix": str(text), "target_prefix": str(target_text), **rest} if not rest:
            return text, target_text
        case {"prefix": str(text), **rest} if not rest:
            return text, text
    findings.append(
        Finding(
            setting,
            json.dumps(form),
            "is not a form that Rehome knows",
            "Use key, /key, s3://bucket/key, or {prefix: <the text before the key>} "
            "(with target_prefix where that text changes too)",
        )
    )
    return "", ""


def _repeated(references: Sequence[Reference]) -> list[Finding]:
    names = [reference.name for reference in references]
    return [
        Finding("rehome_references", name, "is listed more than once", "Keep one entry per column")
        for name in sorted({name for name in names if names.count(name) > 1})
    ]


def overlap_in_one_bucket(source: Side, target: Side) -> list[Finding]:
    """Why objects cannot move from `source` to `target`, both known to be in one bucket."""
    if source.prefix == target.prefix:
        return [
            Finding(
                "rehome_target",
                f"{target.bucket}/{target.prefix}",
                "is the same place as rehome_source",
                "Name another bucket or another prefix",
            )
        ]
    if source.prefix.startswith(target.prefix) or target.prefix.startswith(source.prefix):
        return [
            Finding(
                "rehome_target.prefix",
                target.prefix,
                f"and rehome_source.prefix ({source.prefix}) lie one inside the other in bucket {source.bucket}, "
                "so that what was moved would be found and moved again",
                "Choose a prefix that is not part of the other",
            )
        ]
    return []


def _overlaps(settings: Settings) -> list[Finding]:
    """Maps that would move things into themselves, or whose results would be moved again by the next run."""
    source, target = settings.source, settings.target
    if (source.bucket, source.endpoint_url) == (target.bucket, target.endpoint_url):
        found = overlap_in_one_bucket(source, target)
        if found:
            return found
    return [
        Finding(
            f"rehome_references ({reference.name})",
            None,
            f"a rewritten value ({values.target_head}…) would look like an old one ({values.source_head}…), "
            "so that a second run would rewrite it again",
            "Choose a target prefix that does not begin with the source prefix, or globs in rehome_include "
            "that a rewritten value cannot match",
        )
        for reference in settings.references
        for values in [settings.value_map(reference)]
        if values.feeds_itself
    ]

"""Reads what the operator asked for; whatever can be refused by reading alone is refused here.

Every complaint names the variable as it stands in `inventory/group_vars/<env>.yml`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..errors import Finding, RefusedError
from ..mapping.forms import read_form
from ..mapping.value_map import Form
from .database_url import parse_database_url
from .redirect import read_redirect
from .settings import (
    NO_WAY_BACK,
    CopyPolicy,
    Database,
    EngineName,
    Reference,
    Restore,
    Retire,
    RollbackPolicy,
    Settings,
    Side,
    SideLabel,
    Tls,
)
from .throttle import read_throttle
from .where_clause import objection

SMALLEST_THRESHOLD = 5 * 1024**2
LARGEST_THRESHOLD = 5 * 1024**3
"""What S3 takes as a part, and what it takes in one request ("Amazon S3 multipart upload limits", S3 user guide)."""

MOST_REQUESTS = 1_000
CHUNK_MS: Mapping[EngineName, int] = {"mariadb": 75, "mysql": 75, "postgresql": 12, "sqlite": 75}
"""Beside chunks of 75 ms, the p99 of an application's statements on PostgreSQL is four and a half times that alone,
beside 25 ms 3.4 times, 20 ms 2.9, and 15 ms 2.5. Chunks of 12 ms rewrite a twentieth fewer rows a second than
those of 15, and let the slowest statements of the application through sooner."""
SHORTEST_CHUNK_MS, LONGEST_CHUNK_MS = 5, 10_000
MOST_CONNECTIONS = 16

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
    "rehome_admin_database.user": "DB_ADMIN_USER",
    "rehome_admin_database.password": "DB_ADMIN_PASSWD",
}
"""The environment variable that stands in for a setting that is unset."""


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Turn a module's `settings` option into `Settings`.

    given: the option as Ansible hands it over, types and choices already checked.
    Raises RefusedError with every finding.
    """
    findings: list[Finding] = []
    source = _side("source", given["source"] or {}, findings)
    target = _side("target", given["target"] or {}, findings)
    database = _database(given["database"] or {}, findings)
    references = [
        _reference(position, reference, database.engine, source, target, findings)
        for position, reference in enumerate(given["references"] or [])
    ]
    settings = Settings(
        name=_name(given["name"], findings),
        source=source,
        target=target,
        include=tuple(given["include"]),
        exclude=tuple(given["exclude"]),
        database=database,
        references=tuple(references),
        on_conflict=given["on_conflict"],
        on_dangling=given["on_dangling"],
        journal_schema=given["journal_schema"],
        chunk_ms=_chunk_ms(given.get("chunk_ms"), database.engine, findings),
        connections=_connections(given.get("connections"), findings),
        touch_updated_at=bool(given.get("touch_updated_at")),
        state_dir=Path(given["state_dir"]),
        copy=_copy_policy(given, findings),
        restore=_restore(given.get("restore") or {}, findings),
        verify_sample=_at_least(0, "rehome_verify_sample", given.get("verify_sample") or 0, findings),
        only_keys=_only_keys(given.get("only_keys"), source.prefix, findings),
        throttle=read_throttle(given.get("throttle") or {}, Path(given["state_dir"]), findings),
        limit=_limit(given.get("limit"), findings),
        approved_plan=_approved_plan(given.get("approved_plan") or None, findings),
        quiet_objects=_at_least(0, "rehome_quiet_objects", given.get("quiet_objects", 0), findings),
        state_uri=_state_uri(given.get("state_uri") or None, source, target, findings),
        max_passes=_at_least(1, "rehome_max_passes", given.get("max_passes", 5), findings),
        confirm=given.get("confirm") or None,
        retire=_retire(given, findings),
        redirect=read_redirect(given.get("redirect") or {}, findings),
        rollback=RollbackPolicy(
            since=_moment("rehome_rollback_since", given.get("rollback_since"), findings),
            missing=given.get("rollback_missing") or "keep",
            copies=given.get("rollback_copies") or "keep",
        ),
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
    owner = given.get("expected_bucket_owner") or None
    if owner and not endpoint_url and not re.fullmatch(r"\d{12}", owner):
        findings.append(
            Finding(
                f"{setting}.expected_bucket_owner",
                owner,
                "is not the number of an AWS account",
                "Write its 12 digits in quotes: YAML takes some numbers that begin with 0 for octal ones",
            )
        )
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
        dualstack=given.get("dualstack"),
        fips=given.get("fips"),
        requester_pays=bool(given.get("requester_pays")),
        expected_bucket_owner=owner,
        inventory=_inventory(given.get("inventory") or None, findings),
    )


def _inventory(url: str | None, findings: list[Finding]) -> str | None:
    if url and not re.fullmatch(r"s3://[^/]+/.+/manifest\.json", url):
        findings.append(
            Finding(
                "rehome_source.inventory",
                url,
                "is not the manifest of an S3 Inventory report",
                "Write it as s3://<destination bucket>/<path>/<date>/manifest.json",
            )
        )
    return url


def _copy_policy(given: Mapping[str, Any], findings: list[Finding]) -> CopyPolicy:
    policy = CopyPolicy(
        method=given.get("copy_method") or "auto",
        storage_class=given.get("storage_class") or "keep",
        encryption=given.get("encryption") or "bucket",
        kms_key_id=given.get("kms_key_id") or None,
        acl=given.get("acl") or "none",
        multipart_threshold=given.get("multipart_threshold") or 1024**3,
        max_requests=_at_least(1, "rehome_max_requests", given.get("max_requests", 256), findings),
        objects_per_second=given.get("objects_per_second"),
    )
    if policy.kms_key_id and policy.encryption != "SSE-KMS":
        findings.append(
            Finding(
                "rehome_kms_key_id",
                policy.kms_key_id,
                f"is of no use with rehome_encryption ({policy.encryption})",
                "Set rehome_encryption to SSE-KMS, or remove the key",
            )
        )
    if not SMALLEST_THRESHOLD <= policy.multipart_threshold <= LARGEST_THRESHOLD:
        findings.append(
            Finding(
                "rehome_multipart_threshold",
                str(policy.multipart_threshold),
                "is outside of what S3 allows",
                "Choose a size from 5MB to 5GB",
            )
        )
    if policy.max_requests > MOST_REQUESTS:
        findings.append(
            Finding(
                "rehome_max_requests",
                str(policy.max_requests),
                "is more than one machine keeps under way",
                f"Choose at most {MOST_REQUESTS}",
            )
        )
    if policy.objects_per_second is not None and not 0 < policy.objects_per_second < math.inf:
        findings.append(
            Finding(
                "rehome_objects_per_second",
                str(policy.objects_per_second),
                "is no rate to work at",
                "Choose a positive number, or leave it unset for no limit",
            )
        )
    return policy


def _at_least(least: int, setting: str, value: int, findings: list[Finding]) -> int:
    if value < least:
        findings.append(Finding(setting, str(value), "is too small", f"Choose {least} or more"))
    return value


def _state_uri(uri: str | None, source: Side, target: Side, findings: list[Finding]) -> str | None:
    """The URI with a slash at its end."""
    if uri is None:
        return None
    found = re.fullmatch(r"s3://([^/]+)/(.+)", uri)
    if found is None:
        findings.append(
            Finding("rehome_state_uri", uri, "names no folder of a bucket", "Write it as s3://<bucket>/<folder>/")
        )
        return uri
    bucket, prefix = found[1], found[2].rstrip("/") + "/"
    for side in (source, target):
        if bucket == side.bucket and (prefix.startswith(side.prefix) or side.prefix.startswith(prefix)):
            findings.append(
                Finding(
                    "rehome_state_uri",
                    uri,
                    f"lies among the objects of {side.setting} ({side.bucket}/{side.prefix})",
                    "Name a folder apart from both prefixes, or another bucket",
                )
            )
    return f"s3://{bucket}/{prefix}"


def _limit(limit: int | None, findings: list[Finding]) -> int | None:
    return None if limit is None else _at_least(1, "rehome_limit", limit, findings)


def _approved_plan(digest: str | None, findings: list[Finding]) -> str | None:
    if digest and not re.fullmatch(r"[0-9a-f]{64}", digest):
        findings.append(
            Finding(
                "approved_plan",
                digest,
                "is no digest of a plan",
                "Give the 64 hexadecimal digits that playbooks/plan.yml shows as `plan`",
            )
        )
    return digest


def _chunk_ms(given: int | None, engine: EngineName, findings: list[Finding]) -> int:
    milliseconds = CHUNK_MS[engine] if given is None else given
    if not SHORTEST_CHUNK_MS <= milliseconds <= LONGEST_CHUNK_MS:
        findings.append(
            Finding(
                "rehome_chunk_ms",
                str(milliseconds),
                "is no duration for a transaction that others may wait for",
                f"Choose {SHORTEST_CHUNK_MS} to {LONGEST_CHUNK_MS} milliseconds",
            )
        )
    return milliseconds


def _connections(given: int | None, findings: list[Finding]) -> int:
    connections = 1 if given is None else given
    if not 1 <= connections <= MOST_CONNECTIONS:
        findings.append(
            Finding(
                "rehome_connections",
                str(connections),
                "is no number of connections to rewrite rows with",
                f"Choose 1 to {MOST_CONNECTIONS}",
            )
        )
    return connections


def _moment(setting: str, text: str | None, findings: list[Finding]) -> datetime | None:
    """A point in time in UTC, from ISO 8601."""
    if not text:
        return None
    way_out = "Write it as 2026-01-31T14:30:00Z or 2026-01-31T15:30:00+01:00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        findings.append(Finding(setting, text, "is no time in ISO 8601", way_out))
        return None
    if moment.tzinfo is None:
        findings.append(Finding(setting, text, "has no time zone, so that it could mean several moments", way_out))
        return None
    return moment.astimezone(UTC)


def _restore(given: Mapping[str, Any], findings: list[Finding]) -> Restore | None:
    if not given:
        return None
    restore = Restore(given.get("days") or 0, given.get("tier") or "Standard")
    if restore.days < 1:
        findings.append(
            Finding(
                "rehome_restore.days",
                str(given.get("days")),
                "is not a number of days",
                "Say how many days the restored objects shall stay, long enough for a run to copy them, such as 7",
            )
        )
    return restore


_PERIOD = re.compile(r"(\d+)\s*([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def _retire(given: Mapping[str, Any], findings: list[Finding]) -> Retire:
    after, words = given.get("retire_after") or "7d", given.get("retire_unversioned") or ""
    period = _PERIOD.fullmatch(after)
    if period is None or len(period[1]) > 6:
        findings.append(
            Finding(
                "rehome_retire_after", after, "is no period", "Write a number of days, hours or minutes: 7d, 36h, 90m"
            )
        )
        period = None
    if words not in ("", NO_WAY_BACK):
        findings.append(
            Finding(
                "rehome_retire_unversioned",
                words,
                "does not say what it takes",
                f'Write "{NO_WAY_BACK}" if that is what you want, or leave it unset',
            )
        )
    return Retire(
        after=timedelta(**{_UNITS[period[2]]: int(period[1])}) if period else timedelta.max,
        unversioned=words == NO_WAY_BACK,
        restore=bool(given.get("retire_restore")),
    )


def _only_keys(path: str | None, prefix: str, findings: list[Finding]) -> frozenset[str] | None:
    """The keys of a list, without the source prefix."""
    if not path:
        return None
    rests = set()
    problem = None
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    rests.add(_key_of_line(number, line, prefix)[len(prefix) :])
        if not rests:
            problem = "names no key"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except ValueError as error:
        problem = f"is no list of source keys ({error})"
    if problem:
        way_out = 'Name a file with one {"key": "…"} a line, such as lists/objects-failed.jsonl of the state folder'
        findings.append(Finding("rehome_only_keys", path, problem, way_out))
    return frozenset(rests)


def _key_of_line(number: int, line: str, prefix: str) -> str:
    try:
        key = json.loads(line)["key"]
    except (ValueError, KeyError, TypeError):
        key = None
    if not isinstance(key, str):
        raise ValueError(f"line {number} names no object")
    if not key.startswith(prefix):
        raise ValueError(f"line {number}: {key!r} does not begin with rehome_source.prefix ({prefix})")
    return key


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


def _ending_in_prefix(settings: Settings) -> list[Finding]:
    """Forms that end a key at a mark that a prefix has: no value could be told to begin with that prefix."""
    return [
        Finding(
            f"rehome_references ({reference.name})",
            None,
            f"{side.setting}.prefix ({side.prefix}) has {mark}, with which a query string or a fragment begins here",
            "Leave out query: true, or say encoded: true where the column has keys percent-encoded",
        )
        for reference in settings.references
        for side in (settings.source, settings.target)
        for mark in reference.form.reserved
        if mark in side.prefix and not reference.form.encoded
    ]


def _overlaps(settings: Settings) -> list[Finding]:
    """Maps that would move things into themselves, or whose results would be moved again by the next run."""
    source, target = settings.source, settings.target
    if (source.bucket, source.endpoint_url) == (target.bucket, target.endpoint_url):
        found = overlap_in_one_bucket(source, target)
        if found:
            return found
    return _ending_in_prefix(settings) or [
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

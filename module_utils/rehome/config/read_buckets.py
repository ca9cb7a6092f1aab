"""Readers of the buckets and of how objects are copied."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..codes import Code
from ..errors import Finding
from .environment_names import ENVIRONMENT_NAMES
from .read_values import at_least, unset
from .settings import CopyPolicy, Restore, Side, SideLabel

SMALLEST_THRESHOLD, LARGEST_THRESHOLD = 5 * 1024**2, 5 * 1024**3
"""The smallest part and the largest single request in bytes ("Amazon S3 multipart upload limits", S3 user guide)."""

MOST_REQUESTS = 1_000


def read_side(label: SideLabel, given: Mapping[str, Any], findings: list[Finding]) -> Side:
    """Read `rehome_source` or `rehome_target`."""
    setting = f"rehome_{label}"
    bucket, prefix = given.get("bucket") or "", given.get("prefix") or ""
    endpoint_url = given.get("endpoint_url") or None
    owner = given.get("expected_bucket_owner") or None
    if not bucket:
        findings.append(unset(f"{setting}.bucket"))
    findings += _check_prefix(setting, prefix, bool(given.get("whole_bucket")))
    if bool(given.get("access_key")) != bool(given.get("secret_key")):
        problem = f"goes together with {setting}.secret_key, and only one of them is set"
        way_out = (
            "Set both, as a pair comes from one place, or neither to use the environment's or the AWS credential chain"
        )
        findings.append(Finding(f"{setting}.access_key", None, problem, way_out, Code.CONTRADICTION))
    if owner and not endpoint_url and not re.fullmatch(r"\d{12}", owner):
        way_out = "Write its 12 digits in quotes: YAML reads some numbers that begin with 0 as octal ones"
        findings.append(
            Finding(f"{setting}.expected_bucket_owner", owner, "is not an AWS account ID", way_out, Code.UNUSABLE_VALUE)
        )
    if endpoint_url and "@" in endpoint_url:
        problem = "has a user or a password, and URLs are shown in messages"
        way_out = f"Write it as https://host or http://host:port, and set {setting}.access_key and .secret_key"
        findings.append(Finding(f"{setting}.endpoint_url", None, problem, way_out, Code.UNUSABLE_VALUE))
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
        inventory=_read_inventory(given.get("inventory"), findings),
    )


def _check_prefix(setting: str, prefix: str, whole_bucket: bool) -> list[Finding]:
    if not prefix and not whole_bucket:
        way_out = (
            f"Set a prefix (or export {ENVIRONMENT_NAMES[setting + '.prefix'][0]}), "
            f"or say {setting}.whole_bucket: true if the whole bucket is to be moved"
        )
        return [Finding(f"{setting}.prefix", None, "is empty, which would mean the whole bucket", way_out, Code.UNSET)]
    if prefix and whole_bucket:
        problem = f"contradicts {setting}.prefix ({prefix})"
        return [Finding(f"{setting}.whole_bucket", "true", problem, "Remove one of the two", Code.CONTRADICTION)]
    return []


def _read_inventory(url: str | None, findings: list[Finding]) -> str | None:
    if url and not re.fullmatch(r"s3://[^/]+/.+/manifest\.json", url):
        problem = "is not the manifest of an S3 Inventory report"
        way_out = "Write it as s3://<destination bucket>/<path>/<date>/manifest.json"
        findings.append(Finding("rehome_source.inventory", url, problem, way_out, Code.INVENTORY))
    return url or None


def read_copy_policy(given: Mapping[str, Any], findings: list[Finding]) -> CopyPolicy:
    """Read the settings that say how objects are copied."""
    policy = CopyPolicy(
        method=given.get("copy_method") or "auto",
        storage_class=given.get("storage_class") or "keep",
        encryption=given.get("encryption") or "bucket",
        kms_key_id=given.get("kms_key_id") or None,
        acl=given.get("acl") or "none",
        tags=given.get("tags") or "copy",
        multipart_threshold=given.get("multipart_threshold") or 1024**3,
        max_requests=at_least(1, "rehome_max_requests", given.get("max_requests", 256), findings),
        objects_per_second=given.get("objects_per_second"),
    )
    if policy.kms_key_id and policy.encryption != "SSE-KMS":
        problem = f"has no effect with rehome_encryption ({policy.encryption})"
        way_out = "Set rehome_encryption to SSE-KMS, or remove the key"
        findings.append(Finding("rehome_kms_key_id", policy.kms_key_id, problem, way_out, Code.CONTRADICTION))
    threshold, requests, rate = policy.multipart_threshold, policy.max_requests, policy.objects_per_second
    if not SMALLEST_THRESHOLD <= threshold <= LARGEST_THRESHOLD:
        problem, way_out = "is outside of what S3 allows", "Choose a size from 5MB to 5GB"
        findings.append(Finding("rehome_multipart_threshold", str(threshold), problem, way_out, Code.UNUSABLE_VALUE))
    if requests > MOST_REQUESTS:
        problem = "is more than one machine can have in flight"
        findings.append(
            Finding(
                "rehome_max_requests",
                str(requests),
                problem,
                f"Choose at most {MOST_REQUESTS}",
                Code.UNUSABLE_VALUE,
            )
        )
    if rate is not None and not 0 < rate < math.inf:
        way_out = "Choose a positive number, or leave it unset for no limit"
        findings.append(Finding("rehome_objects_per_second", str(rate), "is not a rate", way_out, Code.UNUSABLE_VALUE))
    return policy


def read_state_uri(uri: str | None, source: Side, target: Side, findings: list[Finding]) -> str | None:
    """Read `rehome_state_uri`. Return it with a slash at its end."""
    if not uri:
        return None
    found = re.fullmatch(r"s3://([^/]+)/(.+)", uri)
    if found is None:
        problem, way_out = "is not the URI of a folder in a bucket", "Write it as s3://<bucket>/<folder>/"
        findings.append(Finding("rehome_state_uri", uri, problem, way_out, Code.UNUSABLE_VALUE))
        return uri
    bucket, prefix = found[1], found[2].rstrip("/") + "/"
    for side in (source, target):
        if bucket == side.bucket and (prefix.startswith(side.prefix) or side.prefix.startswith(prefix)):
            problem = f"lies among the objects of {side.setting} ({side.bucket}/{side.prefix})"
            way_out = "Name a folder outside of both prefixes, or another bucket"
            findings.append(Finding("rehome_state_uri", uri, problem, way_out, Code.CONTRADICTION))
    return f"s3://{bucket}/{prefix}"


def read_restore(given: Mapping[str, Any], findings: list[Finding]) -> Restore | None:
    """Read `rehome_restore`; None if archived objects are not to be restored."""
    if not given:
        return None
    restore = Restore(given.get("days") or 0, given.get("tier") or "Standard")
    if restore.days < 1:
        way_out = "Say how many days the restored objects should stay, long enough for a run to copy them, such as 7"
        findings.append(
            Finding(
                "rehome_restore.days",
                str(given.get("days")),
                "is not a number of days",
                way_out,
                Code.UNUSABLE_VALUE,
            )
        )
    return restore


def read_key_list(path: str | None, prefix: str, findings: list[Finding]) -> frozenset[str] | None:
    """Read the file that `rehome_only_keys` names. Return the suffixes of its keys, or None if the setting is unset."""
    if not path:
        return None
    suffixes = set()
    problem = None
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    suffixes.add(_key_of_line(number, line, prefix)[len(prefix) :])
        if not suffixes:
            problem = "names no key"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except ValueError as error:
        problem = f"is not a list of source keys ({error})"
    if problem:
        way_out = 'Name a file with one {"key": "…"} per line, such as lists/objects-failed.jsonl of the state folder'
        findings.append(Finding("rehome_only_keys", path, problem, way_out, Code.KEYS_FILE))
    return frozenset(suffixes)


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


def overlap_in_one_bucket(source: Side, target: Side) -> list[Finding]:
    """Return why objects cannot move from `source` to `target`, which are known to be in the same bucket."""
    if source.prefix == target.prefix:
        problem, way_out = "is the same place as rehome_source", "Name another bucket or another prefix"
        return [Finding("rehome_target", f"{target.bucket}/{target.prefix}", problem, way_out, Code.PLACES_OVERLAP)]
    if source.prefix.startswith(target.prefix) or target.prefix.startswith(source.prefix):
        problem = (
            f"and rehome_source.prefix ({source.prefix}) lie one inside the other in bucket {source.bucket}, "
            "so that what was moved would be found and moved again"
        )
        way_out = "Choose a prefix that is not part of the other"
        return [Finding("rehome_target.prefix", target.prefix, problem, way_out, Code.PLACES_OVERLAP)]
    return []

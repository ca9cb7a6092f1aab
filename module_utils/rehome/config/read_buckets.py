"""TODO-DOC."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import Finding
from .environment_names import ENVIRONMENT_NAMES
from .read_values import _unset, at_least
from .settings import (
    CopyPolicy,
    Restore,
    Side,
    SideLabel,
)

SMALLEST_THRESHOLD = 5 * 1024**2


LARGEST_THRESHOLD = 5 * 1024**3
"""What S3 takes as a part, and what it takes in one request ("Amazon S3 multipart upload limits", S3 user guide)."""


MOST_REQUESTS = 1_000


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


def copy_policy(given: Mapping[str, Any], findings: list[Finding]) -> CopyPolicy:
    policy = CopyPolicy(
        method=given.get("copy_method") or "auto",
        storage_class=given.get("storage_class") or "keep",
        encryption=given.get("encryption") or "bucket",
        kms_key_id=given.get("kms_key_id") or None,
        acl=given.get("acl") or "none",
        multipart_threshold=given.get("multipart_threshold") or 1024**3,
        max_requests=at_least(1, "rehome_max_requests", given.get("max_requests", 256), findings),
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

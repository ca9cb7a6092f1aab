"""What a bucket's own settings mean for a migration. Reads them with botocore; writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ...checks import Check, Status, stop, unknown
from ...codes import Code
from ...config.settings import Side
from ...errors import Finding
from ..documents import http_time_of
from ..endpoint.botocore import botocore_client
from ..errors import DENIED_CODES

_TIMEOUTS = Config(connect_timeout=4, read_timeout=9, retries={"mode": "standard", "total_max_attempts": 2})

_ABSENT = frozenset(
    {
        "NoSuchLifecycleConfiguration",
        "ObjectLockConfigurationNotFoundError",
        "OwnershipControlsNotFoundError",
        "ReplicationConfigurationNotFoundError",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)
"""S3's codes for a configuration that does not exist ("Error responses", S3 API reference)."""

SKEW_S, LARGEST_SKEW_S = 60, 15 * 60
"""S3 refuses requests that are more than a quarter of an hour off (RequestTimeTooSkewed)."""

_CREATED = ("s3:ObjectCreated:", "s3:ObjectTagging:", "s3:ObjectAcl:", "s3:LifecycleTransition")

Judge = Callable[[Mapping[str, Any]], list[Check]]


def inspect_bucket(side: Side, acl: str) -> list[Check]:
    """Check the settings of `side`'s bucket: region, clock, versioning and lifecycle; of a target also all others.

    acl: the value of `rehome_acl`

    A setting that these credentials may not read, or that the service does not have, is unknown and stops nothing.
    Raises RefusedError as `botocore_client` does.
    """
    client = botocore_client(side, _TIMEOUTS)
    bucket = _Bucket(side, acl)
    requests: list[tuple[str, str, str, Judge]] = [
        ("versioning", "get_bucket_versioning", "s3:GetBucketVersioning", bucket.versioning),
        ("lifecycle", "get_bucket_lifecycle_configuration", "s3:GetLifecycleConfiguration", bucket.lifecycle),
    ]
    if side.label == "target":
        requests += [
            ("ownership", "get_bucket_ownership_controls", "s3:GetBucketOwnershipControls", bucket.ownership),
            ("object lock", "get_object_lock_configuration", "s3:GetBucketObjectLockConfiguration", bucket.object_lock),
            ("encryption", "get_bucket_encryption", "s3:GetEncryptionConfiguration", bucket.encryption),
            ("replication", "get_bucket_replication", "s3:GetReplicationConfiguration", bucket.replication),
            (
                "notifications",
                "get_bucket_notification_configuration",
                "s3:GetBucketNotification",
                bucket.notifications,
            ),
        ]
    owner = {"ExpectedBucketOwner": side.expected_bucket_owner} if side.expected_bucket_owner else {}

    def request(name: str, method: str, right: str, judge: Judge) -> list[Check]:
        try:
            reply = getattr(client, method)(Bucket=side.bucket, **owner)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _ABSENT:
                return judge({})
            if code in DENIED_CODES:
                way_out = f"Grant {right} on arn:aws:s3:::{side.bucket} to see it here"
                return [unknown(bucket.subject, name, "these credentials may not read it", way_out)]
            return [unknown(bucket.subject, name, f"the service does not say ({code})")]
        except BotoCoreError as error:
            return [unknown(bucket.subject, name, f"the service does not reply ({error})")]
        return judge(reply)

    with ThreadPoolExecutor(len(requests) + 1) as pool:
        futures = [pool.submit(_head, client, bucket, owner), *(pool.submit(request, *one) for one in requests)]
        return [check for future in futures for check in future.result()]


def _head(client: Any, bucket: _Bucket, owner: Mapping[str, str]) -> list[Check]:
    try:
        reply = client.head_bucket(Bucket=bucket.side.bucket, **owner)
    except ClientError as error:
        if str(error.response.get("Error", {}).get("Code", "")) not in DENIED_CODES:
            return [unknown(bucket.subject, "region", str(error))]
        reply = error.response  # without the right to list the whole bucket: this refusal has region and time
    except BotoCoreError as error:
        return [unknown(bucket.subject, "region", str(error))]
    return bucket.region(reply, str(client.meta.region_name))


class _Bucket:
    """Turns the replies about one bucket into checks."""

    def __init__(self, side: Side, acl: str) -> None:
        self.subject = f"{side.label} bucket"
        self.side = side
        self._acl = acl

    def _check(self, name: str, status: Status, found: str, advice: str = "", code: Code = Code.BUCKET_REACTS) -> Check:
        return Check(self.subject, name, status, found, advice, code=code)

    def region(self, reply: Mapping[str, Any], assumed: str) -> list[Check]:
        headers = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = reply.get("BucketRegion") or headers.get("x-amz-bucket-region")
        check = (
            self._check("region", "pass", str(region))
            if region
            else self._check("region", "info", f"unknown: the service does not say; {assumed} is assumed")
        )
        return [check, self._clock(headers.get("date"))]

    def _clock(self, date: str | None) -> Check:
        try:
            skew = (datetime.now(UTC) - http_time_of(date or "")).total_seconds()
        except (ValueError, TypeError):
            return unknown(self.subject, "clock", "the service does not state the time")
        if abs(skew) < SKEW_S:
            return self._check("clock", "pass", "this machine's and the service's agree")
        ahead = "ahead of" if skew > 0 else "behind"
        found = f"this machine's clock is {abs(skew):,.0f} s {ahead} the service's"
        advice = "Set this machine's clock (timedatectl set-ntp true)"
        if abs(skew) < LARGEST_SKEW_S:
            return self._check("clock", "warn", found, advice, Code.CLOCK)
        return stop(
            self.subject, "clock", Finding(f"{self.side.setting}.endpoint_url", None, found, advice, Code.CLOCK)
        )

    def versioning(self, reply: Mapping[str, Any]) -> list[Check]:
        status = str(reply.get("Status") or "off")
        if self.side.label == "source" and status != "Enabled":
            found = f"{status.lower()}: `retire` will refuse to delete here, as no delete could be undone"
            return [self._check("versioning", "info", found)]
        if self.side.label == "target" and status == "Enabled":
            return [
                self._check("versioning", "info", "enabled: an object that is replaced stays stored, and is billed")
            ]
        return [self._check("versioning", "pass", status.lower())]

    def lifecycle(self, reply: Mapping[str, Any]) -> list[Check]:
        rules = [rule for rule in reply.get("Rules", []) if rule.get("Status") == "Enabled"]
        touching = [(rule, scope) for rule in rules if (scope := self._scope(rule)) is not None]
        checks = [check for rule, scope in touching for check in self._rule(rule, scope)]
        place = f"s3://{self.side.bucket}/{self.side.prefix}"
        return checks or [self._check("lifecycle", "pass", f"no rule expires or moves what is under {place}")]

    def _scope(self, rule: Mapping[str, Any]) -> str | None:
        """Return to which objects under the prefix a rule applies: `all`, `some`, or none (None)."""
        given = rule.get("Filter") or {}
        both = given.get("And") or {}
        prefix = rule.get("Prefix") or given.get("Prefix") or both.get("Prefix") or ""
        if not _overlap(prefix, self.side.prefix):
            return None
        others = {"Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan"} & set(given) or set(both) - {"Prefix"}
        return "some" if others or not self.side.prefix.startswith(prefix) else "all"

    def _rule(self, rule: Mapping[str, Any], scope: str) -> list[Check]:
        name = f"rule {rule.get('ID') or '(unnamed)'}"
        what = "what is" if scope == "all" else "some of what is"
        place = f"under {self.side.prefix or 'the bucket'}"
        expiration = rule.get("Expiration") or {}
        checks = []
        if "Days" in expiration or "Date" in expiration:
            when = f"{expiration['Days']} days after it was stored" if "Days" in expiration else expiration["Date"]
            problem = f"{name} deletes {what} {place} ({when})"
            if self.side.label == "target" and scope == "all":
                way_out = f"Disable {name}, narrow it, or choose another rehome_target.prefix"
                finding = Finding("rehome_target.prefix", self.side.prefix, problem, way_out, Code.COPIES_EXPIRE)
                checks.append(stop(self.subject, "lifecycle", finding))
            else:
                advice = "Disable it, or make sure that it spares the objects that rows name"
                checks.append(self._check("lifecycle", "warn", problem, advice))
        for moved in rule.get("Transitions", []):
            found = f"{name} moves {what} {place} to {moved.get('StorageClass')} after {moved.get('Days', 'some')} days"
            archives = moved.get("StorageClass") in ("GLACIER", "DEEP_ARCHIVE")
            advice = "Objects in an archive cannot be read until they are restored" if archives else ""
            checks.append(self._check("lifecycle", "warn" if archives else "info", found, advice))
        return checks

    def ownership(self, reply: Mapping[str, Any]) -> list[Check]:
        rules = reply.get("OwnershipControls", {}).get("Rules", [])
        ownership = str(rules[0].get("ObjectOwnership")) if rules else "ObjectWriter"
        if ownership == "BucketOwnerEnforced" and self._acl == "copy":
            problem = f"the target bucket takes no ACLs (ObjectOwnership is {ownership})"
            way_out = "Set rehome_acl to none, or enable ACLs on the bucket"
            return [
                stop(self.subject, "ownership", Finding("rehome_acl", self._acl, problem, way_out, Code.BUCKET_ACLS))
            ]
        if ownership == "ObjectWriter" and self._acl == "none":
            found = f"{ownership}: objects belong to the account that copies them"
            advice = "If that is not the bucket's account, set rehome_acl to bucket-owner-full-control"
            return [self._check("ownership", "info", found, advice)]
        return [self._check("ownership", "pass", ownership)]

    def object_lock(self, reply: Mapping[str, Any]) -> list[Check]:
        lock = reply.get("ObjectLockConfiguration", {})
        if lock.get("ObjectLockEnabled") != "Enabled":
            return [self._check("object lock", "pass", "off")]
        retention = lock.get("Rule", {}).get("DefaultRetention")
        if not retention:
            return [self._check("object lock", "pass", "on, without a default retention")]
        term = f"{retention['Days']} days" if "Days" in retention else f"{retention.get('Years')} years"
        found = f"every copy is locked for {term} ({retention.get('Mode')}): it can be neither deleted nor replaced"
        advice = "Make sure that this is intended: an object that is copied by mistake stays as long"
        return [self._check("object lock", "warn", found, advice)]

    def encryption(self, reply: Mapping[str, Any]) -> list[Check]:
        rules = reply.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
        default = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
        algorithm = default.get("SSEAlgorithm")
        if algorithm in ("aws:kms", "aws:kms:dsse"):
            found = f"{algorithm}, by {default.get('KMSMasterKeyID') or 'the key of the account'}"
            advice = "Copying needs kms:GenerateDataKey on the key, and reading kms:Decrypt"
            return [self._check("encryption", "info", found, advice)]
        return [self._check("encryption", "pass", algorithm or "none by default")]

    def replication(self, reply: Mapping[str, Any]) -> list[Check]:
        rules = [rule for rule in reply.get("ReplicationConfiguration", {}).get("Rules", []) if _is_on(rule)]
        hit = [rule for rule in rules if self._scope(rule) is not None]
        if not hit:
            return [self._check("replication", "pass", "no rule applies to the prefix")]
        places = ", ".join(str(rule.get("Destination", {}).get("Bucket")) for rule in hit)
        found = f"every copy is replicated to {places}"
        return [
            self._check(
                "replication", "warn", found, "Make sure that the destination has room for them, and should have them"
            )
        ]

    def notifications(self, reply: Mapping[str, Any]) -> list[Check]:
        kinds = ("TopicConfigurations", "QueueConfigurations", "LambdaFunctionConfigurations")
        places = {
            str(one.get("TopicArn") or one.get("QueueArn") or one.get("LambdaFunctionArn"))
            for kind in kinds
            for one in reply.get(kind, [])
            if self._is_notified(one)
        }
        if "EventBridgeConfiguration" in reply:
            places.add("EventBridge")
        if not places:
            return [self._check("notifications", "pass", "no notification is sent for new objects under the prefix")]
        found = f"every copy sends an event to {', '.join(sorted(places))}"
        advice = "Make sure that the receivers can take the load, or turn the notifications off for the migration"
        return [self._check("notifications", "warn", found, advice)]

    def _is_notified(self, one: Mapping[str, Any]) -> bool:
        filters: Sequence[Mapping[str, str]] = one.get("Filter", {}).get("Key", {}).get("FilterRules", [])
        prefix = next((rule["Value"] for rule in filters if rule["Name"].lower() == "prefix"), "")
        return _overlap(prefix, self.side.prefix) and any(str(e).startswith(_CREATED) for e in one.get("Events", []))


def _is_on(rule: Mapping[str, Any]) -> bool:
    return rule.get("Status") == "Enabled"


def _overlap(one: str, other: str) -> bool:
    """Return whether a key can begin with both prefixes."""
    return one.startswith(other) or other.startswith(one)

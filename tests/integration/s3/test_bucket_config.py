"""The effects of a bucket's own settings on a migration, on real buckets."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from rehome.checks import Check
from rehome.config.settings import SideLabel
from rehome.s3.probe.bucket_config import inspect_bucket

from matrix.servers.moto import Moto
from sandbox.s3_server import S3Server
from tests.conftest import Buckets
from tests.integration.s3.opening import side_of


class Bucket:
    """A bucket of moto, which accepts every setting."""

    def __init__(self, store: Moto) -> None:
        self._store = store
        self.name = f"config-{secrets.token_hex(4)}"
        self.s3 = store.client()

    def make(self, **more: Any) -> None:
        self.s3.create_bucket(Bucket=self.name, **more)

    def checks(self, label: SideLabel = "target", acl: str = "none") -> list[Check]:
        prefix = "avatar/" if label == "target" else "image/"
        return inspect_bucket(side_of(self._store, self.name, label=label, prefix=prefix), acl)

    def expire(self, prefix: str, **more: Any) -> None:
        rule = {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": 30}} | more
        self.s3.put_bucket_lifecycle_configuration(Bucket=self.name, LifecycleConfiguration={"Rules": [rule]})


@pytest.fixture
def bucket(moto: Moto) -> Iterator[Bucket]:
    return Bucket(moto)


def only(checks: Sequence[Check], name: str, status: str) -> Check:
    (check,) = [check for check in checks if check.name == name]
    assert check.status == status, check
    return check


def troubles(checks: Sequence[Check]) -> list[tuple[str, str]]:
    return [(check.name, check.status) for check in checks if check.status in ("warn", "stop")]


def test_a_bucket_without_settings_has_no_trouble(bucket: Bucket) -> None:
    bucket.make()
    checks = bucket.checks()
    assert troubles(checks) == []
    assert {check.name for check in checks} == {
        "region",
        "clock",
        "versioning",
        "lifecycle",
        "ownership",
        "object lock",
        "encryption",
        "replication",
        "notifications",
    }
    assert {check.name for check in bucket.checks("source")} == {"region", "clock", "versioning", "lifecycle"}
    assert troubles(bucket.checks("source")) == []


def test_the_region_is_reported(bucket: Bucket) -> None:
    bucket.make(CreateBucketConfiguration={"LocationConstraint": "eu-west-3"})
    assert only(bucket.checks(), "region", "pass").found == "eu-west-3"


@pytest.mark.parametrize("prefix", ["", "av", "avatar/"])
def test_a_rule_that_expires_the_target_prefix_stops(bucket: Bucket, prefix: str) -> None:
    bucket.make()
    bucket.expire(prefix)
    check = only(bucket.checks(), "lifecycle", "stop")
    assert "rule tidy deletes what is under avatar/ (30 days after it was stored)" in check.found
    assert check.setting == "rehome_target.prefix"


def test_a_rule_for_some_of_the_target_warns(bucket: Bucket) -> None:
    bucket.make()
    bucket.expire("avatar/tmp/")
    assert "some of" in only(bucket.checks(), "lifecycle", "warn").found
    tagged = {"And": {"Prefix": "avatar/", "Tags": [{"Key": "old", "Value": "yes"}]}}
    bucket.expire("", Filter=tagged)
    only(bucket.checks(), "lifecycle", "warn")
    bucket.expire("", Filter={"Tag": {"Key": "old", "Value": "yes"}})
    only(bucket.checks(), "lifecycle", "warn")


@pytest.mark.parametrize("rule", [{"Filter": {"Prefix": "other/"}}, {"Filter": {"Prefix": ""}, "Status": "Disabled"}])
def test_rules_about_something_else_pass(bucket: Bucket, rule: dict[str, Any]) -> None:
    bucket.make()
    bucket.expire("", **rule)
    only(bucket.checks(), "lifecycle", "pass")


def test_a_rule_that_archives_the_target_warns(bucket: Bucket) -> None:
    bucket.make()
    rule = {
        "ID": "cold",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Transitions": [{"Days": 10, "StorageClass": "GLACIER"}],
    }
    bucket.s3.put_bucket_lifecycle_configuration(Bucket=bucket.name, LifecycleConfiguration={"Rules": [rule]})
    assert "moves what is under avatar/ to GLACIER" in only(bucket.checks(), "lifecycle", "warn").found


def test_a_source_that_expires_warns(bucket: Bucket) -> None:
    bucket.make()
    bucket.expire("image/")
    only(bucket.checks("source"), "lifecycle", "warn")


def test_versioning_is_reported(bucket: Bucket) -> None:
    bucket.make()
    assert "`retire` will refuse" in only(bucket.checks("source"), "versioning", "info").found
    bucket.s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    only(bucket.checks("source"), "versioning", "pass")
    only(bucket.checks(), "versioning", "info")


def test_a_default_retention_warns(bucket: Bucket) -> None:
    bucket.make(ObjectLockEnabledForBucket=True)
    only(bucket.checks(), "object lock", "pass")
    bucket.s3.put_object_lock_configuration(
        Bucket=bucket.name,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 7}},
        },
    )
    assert "locked for 7 days (COMPLIANCE)" in only(bucket.checks(), "object lock", "warn").found


def test_a_key_of_kms_is_reported(bucket: Bucket) -> None:
    bucket.make()
    bucket.s3.put_bucket_encryption(
        Bucket=bucket.name,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/k"}}]
        },
    )
    found = only(bucket.checks(), "encryption", "info")
    assert "alias/k" in found.found and "kms:GenerateDataKey" in found.advice


def test_acls_are_not_copied_into_a_bucket_that_takes_none(bucket: Bucket) -> None:
    bucket.make()
    bucket.s3.put_bucket_ownership_controls(
        Bucket=bucket.name, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    )
    only(bucket.checks(), "ownership", "pass")
    assert only(bucket.checks(acl="copy"), "ownership", "stop").setting == "rehome_acl"


@pytest.mark.parametrize(("rule", "status"), [("Enabled", "warn"), ("Disabled", "pass")])
def test_replication_of_the_copies_warns(bucket: Bucket, rule: str, status: str) -> None:
    bucket.make()
    bucket.s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    bucket.s3.put_bucket_replication(
        Bucket=bucket.name,
        ReplicationConfiguration={
            "Role": "arn:aws:iam::123456789012:role/copy",
            "Rules": [
                {
                    "ID": "r",
                    "Priority": 1,
                    "Status": rule,
                    "Filter": {"Prefix": ""},
                    "DeleteMarkerReplication": {"Status": "Disabled"},
                    "Destination": {"Bucket": "arn:aws:s3:::elsewhere"},
                }
            ],
        },
    )
    only(bucket.checks(), "replication", status)


@pytest.mark.parametrize(
    ("prefix", "event", "status"),
    [
        ("", "s3:ObjectCreated:*", "warn"),
        ("avatar/big/", "s3:ObjectCreated:Copy", "warn"),
        ("other/", "s3:ObjectCreated:*", "pass"),
        ("", "s3:ObjectRemoved:*", "pass"),
    ],
)
def test_listeners_of_the_copies_warn(bucket: Bucket, prefix: str, event: str, status: str) -> None:
    bucket.make()
    rules = [{"Name": "prefix", "Value": prefix}] if prefix else []
    bucket.s3.put_bucket_notification_configuration(
        Bucket=bucket.name,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "QueueArn": "arn:aws:sqs:us-east-1:123456789012:thumbnails",
                    "Events": [event],
                    **({"Filter": {"Key": {"FilterRules": rules}}} if rules else {}),
                }
            ]
        },
        SkipDestinationValidation=True,
    )
    only(bucket.checks(), "notifications", status)


@pytest.mark.needs("rights")
def test_what_the_credentials_may_not_read_is_unknown_and_stops_nothing(
    object_store: S3Server, buckets: Buckets
) -> None:
    checks = inspect_bucket(side_of(object_store, buckets.target, label="target", prefix="avatar/"), "none")
    assert troubles(checks) == []
    encryption = only(checks, "encryption", "info")
    assert encryption.found == "unknown: these credentials may not read it"
    assert "s3:GetEncryptionConfiguration" in encryption.advice
    only(checks, "clock", "pass")

"""The S3 policies that the settings require. Pure: nothing here sends a request.

Which action a request needs: "Required permissions for Amazon S3 API operations", S3 user guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ..config.settings import Settings, Side
from ..s3.probe.scratch import SCRATCH_NAME

Verb = Literal["migrate", "retire"]
VERBS: tuple[Verb, ...] = ("migrate", "retire")
Place = Literal["both", "source", "target"]
Document = dict[str, Any]

OPTIONAL_STATEMENTS = frozenset({"RehomeSeeSource", "RehomeSeeTarget"})
"""Statements that show the preflight how a bucket is set up. A migration works without them."""

VERSION = "2012-10-17"
"""The version of the policy language in which `${*}` means a star."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What the rights depend on, in addition to the settings of the migration.

    partition: of AWS: aws, aws-cn, aws-us-gov; other services use aws
    source_keys, target_keys: ARNs of the customer-managed KMS keys that encrypt the buckets
    undelete: whether `retire` may remove its delete markers
    """

    partition: str = "aws"
    source_keys: tuple[str, ...] = ()
    target_keys: tuple[str, ...] = ()
    undelete: bool = False


class Principal(NamedTuple):
    """A user or role: the verb and the buckets that it gets rights for, and the policy that grants them."""

    verb: Verb
    place: Place
    policy: Document


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of a policy, with the effect `Allow`."""

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: dict[str, dict[str, str]] = field(default_factory=dict)

    def document(self) -> Document:
        """Return the statement in the policy language."""
        made: Document = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.resources),
        }
        return {**made, "Condition": self.condition} if self.condition else made


def principals(settings: Settings, needs: Needs) -> list[Principal]:
    """Return the required principals: one per verb, or one per verb and bucket if the buckets are in two services."""
    statements = {
        "migrate": (migrate_source(settings, needs), migrate_target(settings, needs)),
        "retire": (retire_source(settings, needs), retire_target(settings, needs)),
    }
    made = []
    for verb in VERBS:
        source, target = statements[verb]
        if same_endpoint(settings):
            made.append(Principal(verb, "both", policy([*source, *target])))
        else:
            made += [Principal(verb, "source", policy(source)), Principal(verb, "target", policy(target))]
    return made


def same_endpoint(settings: Settings) -> bool:
    """Return whether one principal can exist for both sides."""
    source, target = ((side.endpoint_url or "").rstrip("/") for side in (settings.source, settings.target))
    return source == target


def policy(statements: Iterable[Statement]) -> Document:
    """Return the policy that consists of `statements`."""
    return {"Version": VERSION, "Statement": [statement.document() for statement in statements]}


def migrate_source(settings: Settings, needs: Needs) -> list[Statement]:
    """Return what reading the source needs: its listing, objects and tags."""
    side = settings.source
    reading = ["s3:GetObject"]
    if settings.copy.tags == "copy":
        reading.append("s3:GetObjectTagging")
    if settings.copy.acl == "copy":
        reading.append("s3:GetObjectAcl")
    if settings.restore:
        reading.append("s3:RestoreObject")
    made = [
        _listing("RehomeListSource", side.bucket, side.prefix, needs),
        # for the preflight, which would work without them but could not warn
        Statement(
            "RehomeSeeSource", ("s3:GetBucketVersioning", "s3:GetLifecycleConfiguration"), (_arn(side.bucket, needs),)
        ),
        Statement("RehomeReadSource", tuple(reading), (_objects(side.bucket, side.prefix, needs),)),
    ]
    if side.inventory:
        # s3://bucket/<configuration>/<date>/manifest.json, and the files in <configuration>/data/
        bucket, _, path = side.inventory.removeprefix("s3://").partition("/")
        configuration = path.rpartition("/")[0].rpartition("/")[0]
        files = _objects(bucket, f"{configuration}/" if configuration else "", needs)
        made.append(Statement("RehomeReadInventory", ("s3:GetObject",), (files,)))
    return made + _keys("RehomeDecryptSource", ("kms:Decrypt",), needs.source_keys)


def migrate_target(settings: Settings, needs: Needs) -> list[Statement]:
    """Return what storing in the target needs. Only the preflight's scratch objects may be deleted."""
    side = settings.target
    writing = [
        "s3:GetObject",
        "s3:PutObject",
        *(["s3:PutObjectTagging"] if settings.copy.tags == "copy" else []),
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    ]
    if settings.copy.acl != "none":
        writing.append("s3:PutObjectAcl")
    # the first does not support the condition s3:prefix ("Actions, resources, and condition keys for Amazon S3");
    # the others are for the preflight
    bucket = [
        "s3:ListBucketMultipartUploads",
        "s3:GetBucketVersioning",
        "s3:GetLifecycleConfiguration",
        "s3:GetBucketOwnershipControls",
        "s3:GetBucketObjectLockConfiguration",
        "s3:GetEncryptionConfiguration",
        "s3:GetReplicationConfiguration",
        "s3:GetBucketNotification",
    ]
    if settings.copy.acl == "copy":
        bucket.append("s3:GetBucketAcl")
    keys = needs.target_keys
    if settings.copy.kms_key_id and settings.copy.kms_key_id not in keys:
        keys = (settings.copy.kms_key_id, *keys)
    return [
        _listing("RehomeListTarget", side.bucket, side.prefix, needs),
        Statement("RehomeSeeTarget", tuple(bucket), (_arn(side.bucket, needs),)),
        Statement("RehomeWriteTarget", tuple(writing), (_objects(side.bucket, side.prefix, needs),)),
        Statement(
            "RehomeTryTarget",
            ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObjectTagging"),
            (_objects(side.bucket, side.prefix + SCRATCH_NAME, needs),),
        ),
        *_state(settings, needs),
        # completing an upload decrypts its parts (UploadPartCopy, S3 API reference)
        *_keys("RehomeEncryptTarget", ("kms:GenerateDataKey", "kms:Decrypt"), keys),
    ]


def _state(settings: Settings, needs: Needs) -> list[Statement]:
    """Return what keeping the state folder in a bucket needs. The target's credentials access it."""
    if not settings.state_uri:
        return []
    bucket, _, folder = settings.state_uri.removeprefix("s3://").partition("/")
    return [
        _listing("RehomeListState", bucket, folder, needs),
        Statement("RehomeKeepState", ("s3:GetObject", "s3:PutObject"), (_objects(bucket, folder, needs),)),
    ]


def retire_source(settings: Settings, needs: Needs) -> list[Statement]:
    """Return what deleting legacy objects from the source needs."""
    return [
        _listing("RehomeListSource", settings.source.bucket, settings.source.prefix, needs),
        *_deleting("Source", "RehomeRetireSource", settings.source, needs),
        *_website(settings, needs),
        *_keys("RehomeDecryptSource", ("kms:Decrypt",), needs.source_keys),
    ]


def _deleting(place: str, sid: str, side: Side, needs: Needs) -> list[Statement]:
    """Return what deleting needs, in addition to listing and decrypting."""
    # HeadObject returns an object's locks only to those who have the rights to read them
    deleting = ["s3:GetObject", "s3:GetObjectRetention", "s3:GetObjectLegalHold", "s3:DeleteObject"]
    if needs.undelete:
        deleting.append("s3:DeleteObjectVersion")
    seeing = ("s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration", "s3:GetLifecycleConfiguration")
    # AWS documents conditional deletes; other services are probed with scratch objects
    scratch = (_objects(side.bucket, side.prefix + SCRATCH_NAME, needs),) if side.endpoint_url else ()
    return [
        # after a lost reply, the delete marker is searched for among the versions
        _listing(f"RehomeList{place}Versions", side.bucket, side.prefix, needs, "s3:ListBucketVersions"),
        Statement(f"RehomeSee{place}", seeing, (_arn(side.bucket, needs),)),
        Statement(sid, tuple(deleting), (_objects(side.bucket, side.prefix, needs),)),
        *([Statement(f"RehomeTry{place}", ("s3:PutObject",), scratch)] if scratch else []),
    ]


def _website(settings: Settings, needs: Needs) -> list[Statement]:
    """Return what redirecting by the source bucket's website needs, if a target URL is set."""
    if not settings.redirect.host or settings.redirect.website == "none":
        return []
    acting = ("s3:GetBucketWebsite", "s3:PutBucketWebsite", "s3:DeleteBucketWebsite")
    return [Statement("RehomeRedirectSource", acting, (_arn(settings.source.bucket, needs),))]


def retire_target(settings: Settings, needs: Needs) -> list[Statement]:
    """Return what proving that objects were moved needs, and what removing copies does if a rollback may."""
    side = settings.target
    removes = settings.rollback.copies == "remove"
    return [
        _listing("RehomeListTarget", side.bucket, side.prefix, needs),
        Statement("RehomeReadTarget", ("s3:GetObject",), (_objects(side.bucket, side.prefix, needs),)),
        *(_deleting("Target", "RehomeRemoveTarget", side, needs) if removes else []),
        *_state(settings, needs),
        *_keys("RehomeDecryptTarget", ("kms:Decrypt",), needs.target_keys),
    ]


def actions(document: Document) -> list[tuple[str, str]]:
    """Return every right of a policy that Rehome generated, as (Sid, action)."""
    return [(statement["Sid"], action) for statement in document["Statement"] for action in statement["Action"]]


def _listing(sid: str, bucket: str, prefix: str, needs: Needs, action: str = "s3:ListBucket") -> Statement:
    condition = {"StringLike": {"s3:prefix": f"{_literal(prefix)}*"}} if prefix else {}
    return Statement(sid, (action,), (_arn(bucket, needs),), condition)


def _arn(bucket: str, needs: Needs) -> str:
    return f"arn:{needs.partition}:s3:::{bucket}"


def _objects(bucket: str, prefix: str, needs: Needs) -> str:
    return f"{_arn(bucket, needs)}/{_literal(prefix)}*"


def _literal(text: str) -> str:
    """Return the text with its wildcards escaped ("IAM policy elements: Variables and tags", IAM user guide)."""
    return re.sub(r"[*?$]", lambda found: f"${{{found[0]}}}", text)


def _keys(sid: str, allowed: Sequence[str], keys: Sequence[str]) -> list[Statement]:
    """Return rights on KMS keys, through S3 only."""
    made = []
    for number, key in enumerate(keys, 1):
        _, partition, _, region, *_ = key.split(":")
        domain = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
        through = {"StringEquals": {"kms:ViaService": f"s3.{region}.{domain}"}}
        made.append(Statement(f"{sid}{number if len(keys) > 1 else ''}", tuple(allowed), (key,), through))
    return made

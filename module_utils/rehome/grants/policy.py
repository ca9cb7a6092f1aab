"""The S3 policies that the settings call for. Pure: nothing here asks anybody.

Which action a request takes: "Required permissions for Amazon S3 API operations", S3 user guide.
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

VERSION = "2012-10-17"
"""The language in which `${*}` means a star."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What decides about the rights, beside the settings of the migration.

    partition: of AWS: aws, aws-cn, aws-us-gov; other services use aws
    source_keys, target_keys: ARNs of the KMS keys of one's own that the buckets are encrypted with
    undelete: whether `retire` may take back what it has deleted
    """

    partition: str = "aws"
    source_keys: tuple[str, ...] = ()
    target_keys: tuple[str, ...] = ()
    undelete: bool = False


class Principal(NamedTuple):
    """Somebody who gets rights: what for, in which of the buckets, and the statements that say so."""

    verb: Verb
    place: Place
    policy: Document


@dataclass(frozen=True, slots=True)
class Statement:
    """One `Allow`. `prefixes`: under which alone a bucket may be listed."""

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: dict[str, dict[str, str]] = field(default_factory=dict)

    def document(self) -> Document:
        made: Document = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.resources),
        }
        return {**made, "Condition": self.condition} if self.condition else made


def principals(settings: Settings, needs: Needs) -> list[Principal]:
    """Who is needed: one principal per verb, or one per verb and bucket where these are in two services."""
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
    """Whether one principal can be known on both sides."""
    source, target = ((side.endpoint_url or "").rstrip("/") for side in (settings.source, settings.target))
    return source == target


def policy(statements: Iterable[Statement]) -> Document:
    """The document that holds `statements`."""
    return {"Version": VERSION, "Statement": [statement.document() for statement in statements]}


def migrate_source(settings: Settings, needs: Needs) -> list[Statement]:
    """What is read of the source: its listing, objects and tags."""
    side = settings.source
    reading = ["s3:GetObject", "s3:GetObjectTagging"]
    if settings.copy.acl == "copy":
        reading.append("s3:GetObjectAcl")
    if settings.restore:
        reading.append("s3:RestoreObject")
    made = [
        _listing("RehomeListSource", side, needs),
        # what the preflight looks at: it would do without, and could then not warn
        Statement(
            "RehomeSeeSource", ("s3:GetBucketVersioning", "s3:GetLifecycleConfiguration"), (_arn(side.bucket, needs),)
        ),
        Statement("RehomeReadSource", tuple(reading), (_objects(side, needs),)),
    ]
    if side.inventory:
        # s3://bucket/<configuration>/<date>/manifest.json, and the files in <configuration>/data/
        bucket, _, path = side.inventory.removeprefix("s3://").partition("/")
        configuration = path.rpartition("/")[0].rpartition("/")[0]
        files = f"{_arn(bucket, needs)}/{_literal(f'{configuration}/' if configuration else '')}*"
        made.append(Statement("RehomeReadInventory", ("s3:GetObject",), (files,)))
    return made + _keys("RehomeDecryptSource", ("kms:Decrypt",), needs.source_keys)


def migrate_target(settings: Settings, needs: Needs) -> list[Statement]:
    """What is stored in the target; nothing of it may be deleted but the preflight's scratch objects."""
    side = settings.target
    writing = [
        "s3:GetObject",
        "s3:PutObject",
        "s3:PutObjectTagging",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    ]
    if settings.copy.acl != "none":
        writing.append("s3:PutObjectAcl")
    # the first knows no condition s3:prefix ("Actions, resources, and condition keys for Amazon S3"); the rest is what
    # the preflight looks at
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
        _listing("RehomeListTarget", side, needs),
        Statement("RehomeSeeTarget", tuple(bucket), (_arn(side.bucket, needs),)),
        Statement("RehomeWriteTarget", tuple(writing), (_objects(side, needs),)),
        Statement(
            "RehomeTryTarget",
            ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObjectTagging"),
            (f"{_arn(side.bucket, needs)}/{_literal(side.prefix + SCRATCH_NAME)}*",),
        ),
        # the parts of an upload are decrypted to be put together (UploadPartCopy, S3 API reference)
        *_state(settings, needs),
        *_keys("RehomeEncryptTarget", ("kms:GenerateDataKey", "kms:Decrypt"), keys),
    ]


def _state(settings: Settings, needs: Needs) -> list[Statement]:
    """What keeping the state folder in a bucket takes; it is asked for as the target is."""
    if not settings.state_uri:
        return []
    bucket, _, folder = settings.state_uri.removeprefix("s3://").partition("/")
    condition = {"StringLike": {"s3:prefix": f"{_literal(folder)}*"}}
    return [
        Statement("RehomeListState", ("s3:ListBucket",), (_arn(bucket, needs),), condition),
        Statement("RehomeKeepState", ("s3:GetObject", "s3:PutObject"), (f"{_arn(bucket, needs)}/{_literal(folder)}*",)),
    ]


def retire_source(settings: Settings, needs: Needs) -> list[Statement]:
    """What it takes to delete legacy objects that are proven moved."""
    return [
        _listing("RehomeListSource", settings.source, needs),
        *_deleting("Source", "RehomeRetireSource", settings.source, needs),
        *_website(settings, needs),
        *_keys("RehomeDecryptSource", ("kms:Decrypt",), needs.source_keys),
    ]


def _deleting(place: str, sid: str, side: Side, needs: Needs) -> list[Statement]:
    """What it takes to delete, beside listing and decrypting."""
    # whether an object is locked is told with it, to those who may know
    deleting = ["s3:GetObject", "s3:GetObjectRetention", "s3:GetObjectLegalHold", "s3:DeleteObject"]
    if needs.undelete:
        deleting.append("s3:DeleteObjectVersion")
    seeing = ("s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration", "s3:GetLifecycleConfiguration")
    # Amazon's conditions on deletes are documented; what another service makes of them is tried
    scratch = (f"{_arn(side.bucket, needs)}/{_literal(side.prefix + SCRATCH_NAME)}*",) if side.endpoint_url else ()
    return [
        # the delete marker is looked for among the versions where a reply was lost
        _listing(f"RehomeList{place}Versions", side, needs, "s3:ListBucketVersions"),
        Statement(f"RehomeSee{place}", seeing, (_arn(side.bucket, needs),)),
        Statement(sid, tuple(deleting), (_objects(side, needs),)),
        *([Statement(f"RehomeTry{place}", ("s3:PutObject",), scratch)] if scratch else []),
    ]


def _website(settings: Settings, needs: Needs) -> list[Statement]:
    """What redirecting by the source bucket's website takes, once it is known where to."""
    if not settings.redirect.host or settings.redirect.website == "none":
        return []
    acting = ("s3:GetBucketWebsite", "s3:PutBucketWebsite", "s3:DeleteBucketWebsite")
    return [Statement("RehomeRedirectSource", acting, (_arn(settings.source.bucket, needs),))]


def retire_target(settings: Settings, needs: Needs) -> list[Statement]:
    """What it takes to see that they are moved, and to remove copies where a rollback may."""
    side = settings.target
    removes = settings.rollback.copies == "remove"
    return [
        _listing("RehomeListTarget", side, needs),
        Statement("RehomeReadTarget", ("s3:GetObject",), (_objects(side, needs),)),
        *(_deleting("Target", "RehomeRemoveTarget", side, needs) if removes else []),
        *_state(settings, needs),
        *_keys("RehomeDecryptTarget", ("kms:Decrypt",), needs.target_keys),
    ]


def actions(document: Document) -> list[tuple[str, str]]:
    """Every right of a policy that Rehome made, as (Sid, action)."""
    return [(statement["Sid"], action) for statement in document["Statement"] for action in statement["Action"]]


def _listing(sid: str, side: Side, needs: Needs, action: str = "s3:ListBucket") -> Statement:
    condition = {"StringLike": {"s3:prefix": f"{_literal(side.prefix)}*"}} if side.prefix else {}
    return Statement(sid, (action,), (_arn(side.bucket, needs),), condition)


def _arn(bucket: str, needs: Needs) -> str:
    return f"arn:{needs.partition}:s3:::{bucket}"


def _objects(side: Side, needs: Needs) -> str:
    return f"{_arn(side.bucket, needs)}/{_literal(side.prefix)}*"


def _literal(text: str) -> str:
    """A text in which no character is a wildcard ("IAM policy elements: Variables and tags", IAM user guide)."""
    return re.sub(r"[*?$]", lambda found: f"${{{found[0]}}}", text)


def _keys(sid: str, doing: Sequence[str], keys: Sequence[str]) -> list[Statement]:
    """Rights on KMS keys, through S3 only."""
    made = []
    for number, key in enumerate(keys, 1):
        _, partition, _, region, *_ = key.split(":")
        domain = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
        through = {"StringEquals": {"kms:ViaService": f"s3.{region}.{domain}"}}
        made.append(Statement(f"{sid}{number if len(keys) > 1 else ''}", tuple(doing), (key,), through))
    return made

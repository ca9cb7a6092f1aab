"""What the operator asked for, as typed values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from ..mapping.keymap import KeyMap
from ..mapping.value_map import Form, ValueMap
from .redirect import Redirect
from .throttle import ThrottleSettings

OnConflict = Literal["fail", "skip", "overwrite"]
OnDangling = Literal["fail", "keep", "rewrite"]
SideLabel = Literal["source", "target", "admin_source", "admin_target"]
CopyMethod = Literal["server_side", "stream"]
Encryption = Literal["bucket", "SSE-S3", "SSE-KMS"]
Acl = Literal["none", "bucket-owner-full-control", "copy"]
RestoreTier = Literal["Standard", "Bulk", "Expedited"]
RollbackMissing = Literal["keep", "restore"]
RollbackCopies = Literal["keep", "remove"]
EngineName = Literal["mariadb", "mysql", "postgresql", "sqlite"]

NO_WAY_BACK = "delete without a way back"
"""What an operator must write out to retire objects from a bucket that keeps no versions."""


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
    """A column whose value names an object.

    where: the operator's own condition in SQL; other rows of the table are not looked at
    """

    table: str
    column: str
    form: Form = field(default_factory=Form)
    where: str | None = None

    @property
    def name(self) -> str:
        return f"{self.table}.{self.column}"


@dataclass(frozen=True, slots=True)
class CopyPolicy:
    """How objects are copied, and how hard the services are worked.

    method: `auto` lets the service copy where it can, and streams where it cannot
    storage_class: `keep`, or the class of every target object
    multipart_threshold: bytes from which an object is copied in parts
    max_requests: under way at once to one bucket, at most
    objects_per_second: None: as fast as the services take
    """

    method: Literal["auto"] | CopyMethod
    storage_class: str
    encryption: Encryption
    kms_key_id: str | None
    acl: Acl
    multipart_threshold: int
    max_requests: int
    objects_per_second: float | None


@dataclass(frozen=True, slots=True)
class Restore:
    """What is asked for archived objects: how many days the restored copy stays, and how fast it is made."""

    days: int
    tier: RestoreTier


@dataclass(frozen=True, slots=True)
class Retire:
    """Which legacy objects may be deleted, and how sure the operator is.

    after: since the migration's end, and since each object was stored
    unversioned: whether deleting without a way back was asked for, in words
    restore: take the delete markers away again, instead
    """

    after: timedelta
    unversioned: bool
    restore: bool


@dataclass(frozen=True, slots=True)
class RollbackPolicy:
    """What a rollback undoes.

    since: what was rewritten at that time or later; None: everything
    missing: what becomes of rows whose object is not in the source any more as it was
    copies: what becomes of the copies that were made in the target
    """

    since: datetime | None = None
    missing: RollbackMissing = "keep"
    copies: RollbackCopies = "keep"


@dataclass(frozen=True, slots=True)
class Settings:
    """One migration, complete and consistent as far as reading can tell.

    confirm: the bucket to delete from, once more
    """

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
    chunk_ms: int
    connections: int
    touch_updated_at: bool
    state_dir: Path
    copy: CopyPolicy
    restore: Restore | None
    verify_sample: int
    only_keys: frozenset[str] | None
    throttle: ThrottleSettings
    limit: int | None
    approved_plan: str | None
    quiet_objects: int
    max_passes: int
    state_uri: str | None
    confirm: str | None
    retire: Retire
    redirect: Redirect
    rollback: RollbackPolicy

    @property
    def keymap(self) -> KeyMap:
        return KeyMap(self.source.prefix, self.target.prefix, self.include, self.exclude, self.only_keys)

    @property
    def whole(self) -> bool:
        """Whether a run may take in what comes to light while it works: not so for a slice and an approved plan."""
        return self.limit is None and self.approved_plan is None

    @property
    def policies(self) -> dict[str, object]:
        """What decides, beside what is there, what a run would do and how the result would be."""
        copy = self.copy
        return {
            "on_conflict": self.on_conflict,
            "on_dangling": self.on_dangling,
            "storage_class": copy.storage_class,
            "encryption": [copy.encryption, copy.kms_key_id],
            "acl": copy.acl,
        }

    def value_map(self, reference: Reference) -> ValueMap:
        """How the values of `reference` change: the key map behind its form."""
        return ValueMap(self.keymap, reference.form)

    @property
    def fingerprint(self) -> str:
        """Sha256 of what is moved to where; policies, credentials, folders and slices do not count."""
        facts = {
            "name": self.name,
            "source": [self.source.bucket, self.source.prefix],
            "target": [self.target.bucket, self.target.prefix],
            "include": self.include,
            "exclude": self.exclude,
            "references": [_identity(reference) for reference in self.references],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _identity(reference: Reference) -> list[str]:
    """What tells a reference from others, in a fingerprint; what is unset says nothing."""
    form = reference.form
    more = [f"where {reference.where}"] if reference.where else []
    more += [option for option in ("encoded", "query") if getattr(form, option)]
    return [reference.table, reference.column, form.before_source_key, form.before_target_key, *more]

"""The settings of a migration, as typed values. They are described in roles/rehome/meta/argument_specs.yml."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from ..control.orders import Range, ranges
from ..mapping.keymap import KeyMap
from ..mapping.value_map import Form, ValueMap
from .cluster import Cluster
from .critical import CriticalSettings
from .prices import Prices
from .redirect import Redirect
from .throttle import ThrottleSettings

OnConflict = Literal["fail", "skip", "overwrite"]
OnDangling = Literal["fail", "keep", "rewrite"]
SideLabel = Literal["source", "target", "admin_source", "admin_target"]
CopyMethod = Literal["server_side", "stream"]
Encryption = Literal["bucket", "SSE-S3", "SSE-KMS"]
Acl = Literal["none", "bucket-owner-full-control", "copy"]
Tags = Literal["copy", "none"]
RestoreTier = Literal["Standard", "Bulk", "Expedited"]
RollbackMissing = Literal["keep", "restore"]
RollbackCopies = Literal["keep", "remove"]
EngineName = Literal["mariadb", "mysql", "postgresql", "sqlite"]

DIGEST_LENGTH, TAG_LENGTH = 64, 8
"""Hexadecimal digits of a plan's digest, and how many of them, at its end, tell for which settings it was made."""

NO_WAY_BACK = "delete without a way back"
"""What operators must write to retire objects from a bucket that keeps no versions."""


@dataclass(frozen=True, slots=True)
class Side:
    """A bucket, a prefix and how to access them. Unset credentials come from botocore's chain."""

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
        """The setting that describes the side, such as `rehome_source`."""
        return f"rehome_{self.label}"


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS of the connection to the database. `verify` also checks the server's name."""

    enabled: bool = False
    verify: bool = True
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Database:
    """The database and how to connect to it. SQLite has a `path` only."""

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

    where: the operator's condition in SQL; other rows of the table are not read
    """

    table: str
    column: str
    form: Form = field(default_factory=Form)
    where: str | None = None

    @property
    def name(self) -> str:
        """`table.column`, as it is known in the catalog, the journal and messages."""
        return f"{self.table}.{self.column}"


@dataclass(frozen=True, slots=True)
class CopyPolicy:
    """How objects are copied, and at what rate.

    method: `auto` lets the service copy if it can, else objects are streamed through this machine
    storage_class: `keep`, or the class of every target object
    multipart_threshold: the size in bytes from which an object is copied in parts
    max_requests: the most requests in flight to one bucket
    objects_per_second: None: as many as the services take
    """

    method: Literal["auto"] | CopyMethod
    storage_class: str
    encryption: Encryption
    kms_key_id: str | None
    acl: Acl
    tags: Tags
    multipart_threshold: int
    max_requests: int
    objects_per_second: float | None


@dataclass(frozen=True, slots=True)
class Restore:
    """How archived objects are restored: for how many days, and how fast (RestoreObject, S3 API reference)."""

    days: int
    tier: RestoreTier


@dataclass(frozen=True, slots=True)
class Retire:
    """Which legacy objects may be deleted.

    after: how long ago the migration must have ended and the object been stored
    unversioned: objects may be deleted from a bucket that keeps no versions
    restore: remove the delete markers instead
    """

    after: timedelta
    unversioned: bool
    restore: bool


@dataclass(frozen=True, slots=True)
class Discover:
    """How thoroughly the columns of the database are searched, and which finds are known.

    whole: read all rows of all tables
    schemas: globs of those to search; empty: all that PostgreSQL's user sees, else the database's own
    acknowledged: `table.column` of those that may go on naming objects that are gone
    """

    whole: bool = False
    schemas: tuple[str, ...] = ()
    acknowledged: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RollbackPolicy:
    """What a rollback undoes.

    since: rows that were rewritten at this time or later; None: all
    missing: whether rows whose object is not in the source as it was are rolled back ("restore") or not ("keep")
    copies: whether the copies in the target are kept or removed
    """

    since: datetime | None = None
    missing: RollbackMissing = "keep"
    copies: RollbackCopies = "keep"


SHORTEST_CHUNK_MS: Final = 5
LONGEST_CHUNK_MS: Final = 10_000
BESIDE_WRITERS: Final = 4
"""Connections of a run beside those that rewrite rows: the lock, the reader, and two that watch the server (its load
and its redo log, or its load and a VACUUM)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one migration, as complete and consistent as can be checked without a request.

    chunk_ms: how long a transaction may take
    connections: how many of them rewrite rows
    verify_sample: how many objects to compare byte by byte
    only_keys: the suffixes of the only keys to move; None: all
    limit: how many objects to move at most; None: all
    approved_plan: the digest of the plan that may run, or its beginning; None: any
    quiet_objects: another pass follows if a plan finds more objects to copy than this
    confirm: the name of the bucket to delete from, for confirmation
    report_samples: how many keys and rows of each class the report shows
    prices: None: the report says nothing about money
    metrics_file: where the metrics for Prometheus are written; None: nowhere
    cluster: whose workers copy the objects; None: this machine does
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
    critical: CriticalSettings
    limit: int | None
    approved_plan: str | None
    quiet_objects: int
    max_passes: int
    state_uri: str | None
    confirm: str | None
    retire: Retire
    redirect: Redirect
    rollback: RollbackPolicy
    report_samples: int
    prices: Prices | None
    discover: Discover
    metrics_file: Path | None = None
    cluster: Cluster | None = None

    @property
    def keymap(self) -> KeyMap:
        """The key map of the migration."""
        return KeyMap(self.source.prefix, self.target.prefix, self.include, self.exclude, self.only_keys)

    @property
    def connections_at_once(self) -> int:
        """How many connections to the database a run has: those that rewrite rows, and `BESIDE_WRITERS`."""
        return self.connections + BESIDE_WRITERS

    @property
    def tunable(self) -> dict[str, Range]:
        """The limits that operators may set while a run works, with their ranges."""
        return ranges(self.copy.max_requests, self.connections, (SHORTEST_CHUNK_MS, LONGEST_CHUNK_MS))

    @property
    def whole(self) -> bool:
        """Whether a run may also move what appears while it works: False for a slice and for an approved plan."""
        return self.limit is None and self.approved_plan is None

    @property
    def policies(self) -> dict[str, object]:
        """The settings that, together with the catalog, decide what a run would do and what the copies are like."""
        copy = self.copy
        return {
            "on_conflict": self.on_conflict,
            "on_dangling": self.on_dangling,
            "storage_class": copy.storage_class,
            "encryption": [copy.encryption, copy.kms_key_id],
            "acl": copy.acl,
            "tags": copy.tags,
        }

    def value_map(self, reference: Reference) -> ValueMap:
        """Return how the values of `reference` change."""
        return ValueMap(self.keymap, reference.form)

    @property
    def place(self) -> str:
        """What is moved where, and in which database, in one line for people, who cannot read a fingerprint."""
        source, target = (f"s3://{side.bucket}/{side.prefix}" for side in (self.source, self.target))
        globs = [("include", self.include if self.include != ("*",) else ()), ("exclude", self.exclude)]
        named = [f", {word} {' '.join(patterns)}" for word, patterns in globs if patterns]
        return f"{self.database.name or self.database.path}: {source} to {target}{''.join(named)}"

    @property
    def fingerprint(self) -> str:
        """Sha256 of what is moved where. Policies, credentials, folders and slices are not part of it."""
        identity = {
            "name": self.name,
            "source": [self.source.bucket, self.source.prefix],
            "target": [self.target.bucket, self.target.prefix],
            "include": self.include,
            "exclude": self.exclude,
            "references": [_identity(reference) for reference in self.references],
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @property
    def plan_tag(self) -> str:
        """The end of the digest of every plan under these settings: what is moved where, and in which place.

        Production and its copy may have buckets, prefixes and tables of the same names. Their endpoints or their
        database differ then.
        """
        database = self.database
        identity = [
            self.fingerprint,
            *(side.endpoint_url or "" for side in (self.source, self.target)),
            *(database.engine, database.host, database.port, database.socket, database.name, database.path),
        ]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:TAG_LENGTH]


def _identity(reference: Reference) -> list[str]:
    """Return what identifies a reference. Options that are unset add nothing, so that old fingerprints stay valid."""
    form = reference.form
    more = [f"where {reference.where}"] if reference.where else []
    more += [option for option in ("encoded", "query") if getattr(form, option)]
    return [reference.table, reference.column, form.before_source_key, form.before_target_key, *more]

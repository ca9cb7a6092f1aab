"""The facts of report.json: their names, types and meaning. `docs/report.md` is made from this file.

Facts that nobody knows are None, and the texts made from them say "unknown".
"""

from __future__ import annotations

from typing import Final, Literal, TypedDict

from ..control.controls import Asked
from .fields import ListFile

REPORT_VERSION: Final = 1
"""Grows when a fact changes its name or meaning. New facts alone do not change it."""


class Origin(TypedDict, total=False):
    """How the run was started, as far as that can be repeated without a secret."""

    env: str
    """The environment."""
    ansible: str
    """The version of ansible-core."""
    folder: str
    """The folder that the command was given in."""
    playbook: str
    """The playbook, as it was named."""
    arguments: list[str]
    """The options that the next command needs, too: environment, inventory, vault, and settings that are no secret."""
    left_out: list[str]
    """The names of further variables that were given on the command line; their values may be secret."""
    exported: list[str]
    """The names of the environment's variables that settings were taken from."""
    program: str
    """`ansible-playbook`, as it was named."""


class Who(TypedDict):
    """Who ran it."""

    user: str
    """The user of the operating system."""
    host: str
    job: dict[str, str] | None
    """The job of AWX, with what AWX says of it: id, user, revision of the project. None: outside of AWX."""


class SideFact(TypedDict):
    """Source or target, without credentials."""

    bucket: str
    prefix: str
    endpoint: str | None
    """None: Amazon's own."""
    region: str | None


class ReferenceFact(TypedDict):
    """A column that is rewritten."""

    column: str
    """As table.column."""
    before: str
    """What the value of the key `<key>` is before."""
    after: str
    """And after."""
    where: str | None
    """The condition that narrows the table."""


class Moves(TypedDict):
    """What moves, and by which rules."""

    source: SideFact
    target: SideFact
    include: list[str]
    exclude: list[str]
    only_keys: int | None
    """How many keys `rehome_only_keys` lists; None: not set."""
    limit: int | None
    """`rehome_limit`; None: not set."""
    database: str
    """Engine, server and name."""
    references: list[ReferenceFact]
    policies: dict[str, str]
    """The settings that decide what a run does and what copies are like."""
    copy_method: str | None
    """None: nothing to copy, or not known yet."""
    cluster: str | None
    """The scheduler of `rehome_cluster`; None: this machine copies."""
    movers: dict[str, int]
    """Worker, by its name → objects that it has copied or looked at."""


class ClassFact(TypedDict):
    """How many objects or rows a class has."""

    kind: Literal["objects", "rows"]
    name: str
    count: int
    bytes: int | None
    """Of objects."""


class ReferenceCounts(TypedDict):
    """The rows of one column, by their classes."""

    column: str
    counts: dict[str, int]


class Sample(TypedDict):
    """An object or a row, for people to look at. Long values are shortened; secrets in URLs are left out.

    Of an object: its key before and after. Of a row: its column, its key, and its value before and after.
    """

    where: str
    """Of a row: its column and its key; of an object: empty."""
    before: str
    after: str
    """Empty: it does not move."""
    note: str
    """The size of an object, the reason of a class; empty if there is none."""


class Samples(TypedDict):
    """Samples of one class."""

    kind: Literal["objects", "rows"]
    name: str
    """The class, or the name of its list."""
    count: int
    """How many the class has in all."""
    shown: list[Sample]


class CheckFact(TypedDict):
    """A check of the preflight that is not `pass`."""

    status: str
    subject: str
    name: str
    found: str
    advice: str
    code: str | None
    """The heading of the runbook; None of one that neither warns nor stops."""


class PreflightFacts(TypedDict):
    """What the preflight said."""

    counts: dict[str, int]
    """Status → how many checks have it. Unknown is counted apart from `info`."""
    checks: list[CheckFact]
    """Those that are not `pass`."""
    server: str | None
    """The database server's version, as it was found."""


class S3Right(TypedDict):
    """What may be done to some resources of S3 or KMS."""

    actions: list[str]
    resources: list[str]


class DatabaseRight(TypedDict):
    """What the database user may do."""

    privileges: list[str]
    on: str
    columns: list[str]


class RightsFacts(TypedDict):
    """The rights that the run needs, as `playbooks/grants.yml` grants them."""

    s3: list[S3Right]
    database: list[DatabaseRight]
    note: str


class RequestFact(TypedDict):
    """Requests of one kind that a run would send."""

    kind: Literal["list", "copy", "put", "get", "head"]
    side: Literal["source", "target"]
    count: int
    why: str


class DurationFact(TypedDict):
    """About how long a part of the work would take."""

    what: str
    low_s: float
    high_s: float
    basis: str
    """Where the rates come from."""


class CostLine(TypedDict):
    """What an item costs."""

    what: str
    quantity: str
    price: float
    amount: float


class MoneyFacts(TypedDict):
    """About what a run costs, by `rehome_prices`."""

    as_of: str
    currency: str
    lines: list[CostLine]
    total: float
    month: float | None
    """What the copies cost for each month in which both are kept; None: no price for storage."""
    without_price: list[str]
    """What the table has no price for."""


class Estimate(TypedDict):
    """About what a run costs. Everything here is an estimate."""

    requests: list[RequestFact]
    bytes_stored: int
    """In the target, beside the source's, until the legacy objects are retired."""
    bytes_through: int
    """Through this machine: 0 if the service copies by itself."""
    durations: list[DurationFact]
    low_s: float
    high_s: float
    money: MoneyFacts | None
    """None: `rehome_prices` is not set."""


class StageFact(TypedDict):
    """One stage of the run, and what it changed."""

    stage: str
    number: int
    """Of a plan, its pass: from 1."""
    began: str
    """ISO 8601, UTC."""
    seconds: float
    changed: dict[str, int]
    """What it did to buckets and database, by the names of the summary."""


class RequestsFact(TypedDict, total=False):
    """The requests to S3 of a stage, from its beginning to a moment of it."""

    in_flight: int
    limit: int
    """How many may be in flight by then."""
    sent: int
    """With those that repeat one."""
    retries: int
    throttled: int
    failed: int
    """After all attempts."""
    p50_ms: float
    """So long half of the latest replies took at most; `p90_ms` and `p99_ms` likewise."""
    p90_ms: float
    p99_ms: float


class ChunksFact(TypedDict, total=False):
    """The chunks of rows of a stage, from its beginning to a moment of it."""

    done: int
    rows: int
    """How many rows a chunk has by then."""
    p50_ms: float
    p90_ms: float
    p99_ms: float


class TimelinePoint(TypedDict, total=False):
    """How far a stage was at a moment of the run: progress.json by then."""

    at_s: float
    """Seconds since the first of them."""
    began_s: float
    """When the stage began, likewise."""
    stage: str
    done: int
    total: int | None
    bytes_done: int
    bytes_total: int
    requests: RequestsFact
    chunks: ChunksFact
    throttled_s: dict[str, float]
    """Reason → seconds for which the throttle has paused the stage."""
    held: str
    """What it waits for."""


class Proof(TypedDict):
    """How many objects one kind of evidence stands for."""

    evidence: Literal["etag", "checksum", "bytes", "size"]
    objects: int
    bytes: int


class ProofFacts(TypedDict, total=False):
    """What was compared, and how strongly."""

    copied: list[Proof]
    """Objects that this run copied, by what proved each copy."""
    verified: list[Proof]
    """Objects in the target, by what proves them when both sides are listed again."""


class LastMigration(TypedDict):
    """The last migration that the state folder knows of: what a later verb verifies or takes back."""

    plan_sha256: str
    approved_plan: str | None
    started_at: str
    outcome: str
    who: Who


class NextStep(TypedDict):
    """A command, and what it is for."""

    why: str
    command: str
    """Empty: nothing to run."""


class KeptFacts(TypedDict, total=False):
    """What stages contribute when they know it; the other facts come from the settings and the summary."""

    preflight: PreflightFacts
    rights: RightsFacts
    classes: list[ClassFact]
    by_reference: list[ReferenceCounts]
    samples: list[Samples]
    """Of classes that no list has."""
    estimate: Estimate
    stages: list[StageFact]
    proofs: ProofFacts
    refusals: list[str]
    """Why a run may not begin, or go on."""
    warnings: list[str]
    error: str | None
    """Why the run failed."""


class Report(KeptFacts):
    """The whole of report.json."""

    report_version: int
    name: str
    """`rehome_name`."""
    verb: str
    """The playbook's name, with `-check` for a dry run."""
    dry_run: bool
    run: str
    """Id of the run."""
    env: str | None
    started_at: str
    """ISO 8601, UTC."""
    ended_at: str
    """The time of the last fact: a run that was killed has not said its end."""
    outcome: str
    complete: bool
    problems: list[str]
    codes: list[str]
    """Of the error, refusals, warnings and problems, and of what the preflight found: headings of the runbook."""
    who: Who
    versions: dict[str, str]
    origin: Origin
    moves: Moves
    plan_sha256: str
    """The digest; empty: no plan was made."""
    approved_plan: str | None
    """The digest of the approved plan that the run was given."""
    migration: LastMigration | None
    """Of a verb after the migration. None: unknown, or the run is one itself."""
    counts: dict[str, int]
    """All counts of the summary that are not 0."""
    control: list[Asked]
    """What operators asked of the run while it worked; empty: nothing."""
    throttled_s: dict[str, float]
    """Reason → seconds for which it waited; `control`: for operators."""
    left: dict[str, int]
    lists: dict[str, ListFile]
    list_samples: list[Samples]
    """The first lines of each list."""
    timeline: list[TimelinePoint]
    """The run over time: at most 600 snapshots, at growing distances."""
    samples_per_class: int
    """`rehome_report_samples`."""
    next: list[NextStep]
    """What to run next."""
    back: list[NextStep]
    """How to take it back."""
    irreversible: list[str]
    """What no command takes back."""
    places: dict[str, str]
    """Where the summary, the report and the lists are."""
    card: list[str]
    """What the terminal shows at the end: the plan, or in at most ten lines what happened and what is next."""

"""What 10⁶, 10⁸ and 10⁹ objects take by one machine and by movers: worked out from what was measured; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isnan, nan
from typing import Final

from .figures import Figure
from .how_long import GBIT, KEYS, PARTITION_WRITES, READINGS, client_rate
from .scale_results import Result
from .section import duration, markdown_table

SIZES: Final = (10**6, 10**8, 10**9)
MOVERS: Final = (0, 4, 16)
"""0: one machine alone."""
MEASURED_MOVERS: Final = 4
"""How many were run at once."""
MEASURED_BY_MOVERS: Final = 1_000_000
"""How many objects one mover has copied in the suite of the cluster."""
LINK_GBIT: Final = 10
MONTH_S: Final = 30 * 86_400
PAGE_KEYS: Final = 1_000

WRITE_USD: Final = 5e-6
"""A PUT, COPY or LIST of S3 Standard in us-east-1, as Amazon lists it."""
READ_USD: Final = 4e-7
"""A GET of an object or of its tags there."""
OUT_USD_PER_GB: Final = ((10_000, 0.09), (40_000, 0.085), (100_000, 0.07), (float("inf"), 0.05))
"""What leaves AWS for the internet: so many GB (10⁹ bytes) of a month at this price, then so many at the next."""
MOVER_HOUR_USD: Final = 0.04048 + 2 * 0.004445
"""One vCPU and 2 GB of Fargate there."""
MACHINE_HOUR_USD: Final = 2 * 0.04048 + 4 * 0.004445
"""Two vCPU and 4 GB: the controller."""

MEASURED, EXTRAPOLATED, LISTED = "measured", "extrapolated", "the provider's list"


@dataclass(frozen=True, slots=True)
class Case:
    """How the objects are moved.

    partitions: of the target bucket, each of which takes `PARTITION_WRITES` a second
    object_bytes: what passes through the movers of each; 0: the service copies
    cpu: of one process for each, in seconds; unset: `client_rate` tells it
    memory: of one process; unset: less than a catalog takes, and a mover's as in the suite of the cluster
    measured: how many one process has copied in the suite that tells `cpu`
    reads: of each object from the source: its content and its tags
    leaves_amazon: the target is another provider's, whose price is not known here
    """

    title: str
    partitions: int
    object_bytes: int = 0
    cpu: Figure | None = None
    memory: Figure | None = None
    measured: int = 0
    reads: int = 0
    leaves_amazon: bool = False


CASES: Final = (
    Case("Inside S3, one partition", 1),
    Case("Inside S3, 100 partitions", 100),
    Case(
        "From S3 to another provider, 256 KiB each",
        10,
        256 * 1024,
        Figure.STREAM_CPU_256_KIB,
        Figure.STREAM_BYTES_256_KIB,
        measured=2_000,
        reads=2,
        leaves_amazon=True,
    ),
    Case(
        "From S3 to another provider, 64 MiB each",
        10,
        64 * 1024**2,
        Figure.STREAM_CPU_64_MIB,
        Figure.STREAM_BYTES_64_MIB,
        measured=12,
        reads=2,
        leaves_amazon=True,
    ),
)

HEAD = """\
## What objects cost, by one machine and by movers

**More machines do not help** where the service is the limit. {bound} The plan, the catalog and the rewrite of
rows stay on the controller, and take as long with movers as without. So does the listing in this page, although
movers divide a long one. Listing and plan are {shares} of a migration inside one partition. Nor do they help a job of
minutes: starting them takes a minute or two. **They help** where bytes pass through Rehome, until links and services
are full, and where copies are spread over so many partitions that one process is the limit. Several workers on one
machine help only if it has cores to spare.

This section is arithmetic on the figures below, and nothing of it was run on AWS or on {movers} machines. What is
slowest counts: the processes (a mover copies as one process does, less what four were found to lose), the service
({writes:,} writes a second for a partition), each machine's link ({gbit} Gbit/s each way), and with movers the
controller, which records every outcome. The rows are not in it ([benchmarks.md](benchmarks.md) has them), nor what
the other provider asks, nor what a month of two copies costs.
"""
CONSTANTS = """\
### What it is worked out from

Amazon's list prices are those of us-east-1 without its taxes and discounts; prices change, so look at them again.
"""


def cost(figures: Mapping[Figure, float], results: Sequence[Result], measured: str) -> str:
    """Return the section.

    figures: of `make bench`
    results: of `make bench-scale`
    measured: when and where the figures were measured, in words
    """
    model = _Model(figures, results)
    header = ("objects", "by", "copies take", "bound by", "in all", "CPU", "memory", "requests", "USD", "known")
    parts = [
        HEAD.format(
            bound=model.bound,
            shares=model.share_of_listing,
            movers=max(MOVERS),
            writes=PARTITION_WRITES,
            gbit=LINK_GBIT,
        )
    ]
    for case in CASES:
        parts.append(f"### {case.title}\n")
        rows = [model.row(case, objects, movers) for objects in SIZES for movers in MOVERS]
        parts.append(markdown_table(header, rows) + "\n")
    parts.append(NOTES)
    parts.append(CONSTANTS)
    parts.append(markdown_table(("constant", "", "known"), list(model.constants())) + "\n")
    parts.append(measured + "\n")
    return "\n".join(parts)


NOTES = f"""\
*in all*: copies, {KEYS} listed keys for each object, and the plan. *CPU*: of all processes. That of streams is an upper
bound, and so is their time where a process is the limit: it was measured on two cores of which both services took more
than three quarters, and what shares a machine takes longer (with still more on it, the same streams took a third more).
*memory*: the controller's, the scheduler's, and each mover's. *requests*: to both services. *USD*: requests to Amazon,
transfer out of AWS, and machines (Fargate: two vCPU and 4 GB for the controller, one and 2 GB for the scheduler and for
each mover). *known* says whether so many objects were planned and copied here, or how far what was measured is
extrapolated; what S3 allows is Amazon's word in every line, and was never measured.
"""


class _Model:
    """The constants, and what follows from them."""

    def __init__(self, figures: Mapping[Figure, float], results: Sequence[Result]) -> None:
        self.found = {figure: figures.get(figure, nan) for figure in Figure}
        plans = [one for one in results if one.complete and "plan" in one.steps]
        self.plan = max(plans, key=lambda one: one.objects, default=None)
        copies = [one for one in results if one.kind == "copy" and one.complete]
        self.copy = max(copies, key=lambda one: one.objects, default=None)

    @property
    def client(self) -> float:
        """Return the copies a second of one process over TLS."""
        return client_rate(self.found)

    @property
    def bound(self) -> str:
        """Say how many partitions one process is enough for."""
        if isnan(self.client):
            return ""
        return (
            f"Inside S3, one process asks for {self.client:,.0f} copies a second over TLS, and one partition takes "
            f"{PARTITION_WRITES:,}: up to {int(self.client // PARTITION_WRITES)} partitions, one machine is as fast as "
            "any number."
        )

    @property
    def share_of_listing(self) -> str:
        """Return the share of a migration inside one partition that only the controller works on."""
        alone, copies = self.alone_s(1), 1 / PARTITION_WRITES
        return "?" if isnan(alone) else f"{alone / (alone + copies):.0%}"

    def alone_s(self, objects: int) -> float:
        """Return for how long the controller lists and plans."""
        return objects * (KEYS / self.found[Figure.LISTED] + self.plan_s)

    @property
    def plan_s(self) -> float:
        """Return the CPU seconds of the plan for an object."""
        return self.plan.steps["plan"].cpu_s / self.plan.objects if self.plan else nan

    def process_s(self, case: Case) -> float:
        """Return the CPU seconds of one process for an object."""
        return self.found[case.cpu] if case.cpu else 1 / self.client

    def limits(self, case: Case, movers: int) -> dict[str, float]:
        """Return what the objects of a second are limited by."""
        found = {"the service": float(case.partitions * PARTITION_WRITES)}
        # what four lose against four times one, each of any number loses
        kept = self.found[Figure.FLEET_OF_4] / 4 if movers else 1
        found["the processes" if movers else "the process"] = max(1, movers) * kept / self.process_s(case)
        if case.object_bytes:
            found["the links" if movers else "the link"] = max(1, movers) * LINK_GBIT * GBIT / case.object_bytes
        if movers:
            found["the controller"] = 1 / self.found[Figure.FLEET_CONTROLLER_S]
        return found

    def row(self, case: Case, objects: int, movers: int) -> tuple[str, ...]:
        """Return one line."""
        limits = self.limits(case, movers)
        by = f"{movers} movers" if movers else "one machine"
        if any(isnan(rate) for rate in (*limits.values(), self.alone_s(1))):
            return (f"{objects:,}", by, "?", "", "", "", "", "", "", "not measured yet")
        bound = min(limits, key=limits.__getitem__)
        copies_s = objects / limits[bound]
        whole_s = copies_s + self.alone_s(objects)
        cpu_s = objects * self.process_s(case) + self.alone_s(objects)
        if movers:
            cpu_s += objects * (self.found[Figure.FLEET_CONTROLLER_S] + self.found[Figure.FLEET_SCHEDULER_S])
        return (
            f"{objects:,}",
            by,
            duration(copies_s),
            bound,
            duration(whole_s),
            duration(cpu_s),
            self.memory(case, movers),
            f"{requests(case, objects):,.0f}",
            _dollars(case, objects, movers, copies_s, whole_s),
            self.known(case, objects, movers),
        )

    def memory(self, case: Case, movers: int) -> str:
        """Return the memory of the controller and, with movers, of the scheduler and of each mover."""
        plan = self.plan.peak_bytes if self.plan else nan
        copying = self.found[case.memory] if case.memory else 0.0
        if not movers:
            return _megabytes(max(plan, copying))
        mover = max(self.found[Figure.FLEET_MOVER_BYTES], copying)
        return " + ".join(map(_megabytes, (plan, self.found[Figure.FLEET_SCHEDULER_BYTES], mover)))

    def known(self, case: Case, objects: int, movers: int) -> str:
        """Say how far the line is from what was measured."""
        copied = self.copy.objects if self.copy else 0
        known = {
            "plan": (objects, self.plan.objects if self.plan else 0),
            "copies": (objects, case.measured or (MEASURED_BY_MOVERS if movers else copied)),
            "movers": (movers, MEASURED_MOVERS),
        }
        beyond = [f"{what} {asked / most:,.0f} times" for what, (asked, most) in known.items() if 0 < most < asked]
        return f"{EXTRAPOLATED}: {', '.join(beyond)}" if beyond else f"{MEASURED} as many"

    def constants(self) -> Iterator[tuple[str, str, str]]:
        """Return what all is worked out from, and how each is known."""
        found = self.found
        plan = f"{MEASURED} on {self.plan.objects:,}" if self.plan else "not measured yet"
        yield "copies a second of one process, TLS", _number(self.client), MEASURED
        yield "keys listed a second, one process", _number(found[Figure.LISTED]), MEASURED
        yield "CPU of the plan for an object", _micro(self.plan_s), plan
        for case in CASES:
            if case.cpu and case.memory:
                size = case.title.rpartition(", ")[2].removesuffix(" each")
                streamed = f"{MEASURED} on {case.measured:,}"
                yield (
                    f"CPU of a stream of {size}, TLS",
                    _micro(found[case.cpu]),
                    f"{streamed}; an upper bound, see above",
                )
                yield "memory of a process with such streams", _megabytes(found[case.memory]), streamed
        yield "4 movers, in times of 1", _number(found[Figure.FLEET_OF_4], 2), f"{MEASURED}, on one machine"
        yield "CPU of the controller for an object that movers copy", _micro(found[Figure.FLEET_CONTROLLER_S]), MEASURED
        yield "CPU of the scheduler for it", _micro(found[Figure.FLEET_SCHEDULER_S]), MEASURED
        yield "memory of the controller", _megabytes(self.plan.peak_bytes if self.plan else nan), plan
        yield "memory of the scheduler", _megabytes(found[Figure.FLEET_SCHEDULER_BYTES]), MEASURED
        yield "memory of a mover that does not stream", _megabytes(found[Figure.FLEET_MOVER_BYTES]), MEASURED
        catalog = self.plan.catalog_bytes / self.plan.objects if self.plan else nan
        yield "catalog for an object", f"{_number(catalog)} bytes", f"{plan}; real ETags take more"
        yield "writes a second of a partition", f"{PARTITION_WRITES:,}", "Amazon's documentation"
        yield "1,000 writes or listings", f"{WRITE_USD * 1000:.4f} USD", LISTED
        yield "1,000 reads", f"{READ_USD * 1000:.4f} USD", LISTED
        tiers = ", then ".join(f"{usd:.3f}" for _, usd in OUT_USD_PER_GB)
        yield "a GB (10⁹ bytes) out of AWS", f"{tiers} USD", LISTED
        yield "an hour of a mover; of the controller", f"{MOVER_HOUR_USD:.3f}; {MACHINE_HOUR_USD:.3f} USD", LISTED


def requests(case: Case, objects: int) -> int:
    """Return the requests of a migration: one write of each object, its reads, and the pages of the listings."""
    return objects * (1 + case.reads) + ceil(KEYS * objects / PAGE_KEYS)


def requests_usd(case: Case, objects: int) -> float:
    """Return what Amazon asks for the requests. Another provider gets the writes and its own listings' pages."""
    writes, keys = (0, READINGS) if case.leaves_amazon else (objects, KEYS)
    return (writes + keys * objects / PAGE_KEYS) * WRITE_USD + objects * case.reads * READ_USD


def transfer_usd(gigabytes: float, months: int = 1) -> float:
    """Return what so many GB cost that leave AWS for the internet, as many in each month."""
    left, usd = gigabytes / months, 0.0
    for size, price in OUT_USD_PER_GB:
        usd += min(left, size) * price
        left = max(0.0, left - size)
    return usd * months


def machines_usd(movers: int, copies_s: float, whole_s: float) -> float:
    """Return what the machines cost: movers and scheduler for the copies only, behind which they are scaled to zero."""
    fleet = (movers + 1) * MOVER_HOUR_USD * copies_s / 3_600 if movers else 0.0
    return MACHINE_HOUR_USD * whole_s / 3_600 + fleet


def _dollars(case: Case, objects: int, movers: int, copies_s: float, whole_s: float) -> str:
    terms = [requests_usd(case, objects)]
    if case.leaves_amazon:
        months = max(1, ceil(copies_s / MONTH_S))
        terms.append(transfer_usd(objects * case.object_bytes / 1e9, months))
    terms.append(machines_usd(movers, copies_s, whole_s))
    return " + ".join(_usd(term) for term in terms)


def _usd(dollars: float) -> str:
    return f"{dollars:,.0f}" if dollars >= 10 else f"{dollars:.2f}"


def _number(value: float, digits: int = 0) -> str:
    return "?" if isnan(value) else f"{value:,.{digits}f}"


def _micro(seconds: float) -> str:
    return "?" if isnan(seconds) else f"{seconds * 1e6:,.1f} µs"


def _megabytes(count: float) -> str:
    return "?" if isnan(count) else f"{count / 1e6:,.0f} MB"

"""Check the cluster before hours of listing: that it lets this machine in, and has workers that fit and may copy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ..checks import Check, stop, stops, unknown, warn
from ..codes import Code
from ..config.cluster import ALONE, Cluster, fault
from ..config.settings import Settings
from ..errors import Finding, RefusedError
from ..fleet.access import Access
from ..fleet.engine import package_versions
from ..fleet.installed import require_dask
from ..fleet.orders import Orders, orders_of
from ..run import never
from ..s3.objects.job import CopyOptions
from ..s3.probe.bucket_config import LARGEST_SKEW_S, SKEW_S
from ..services.capabilities import trial_options

if TYPE_CHECKING:
    from ..fleet.ask import Machine

SUBJECT = "cluster"
_SETTING = "rehome_cluster.address"


class _Answers(NamedTuple):
    """What the workers say, by their addresses.

    workers: all that were asked
    access: None if they were not asked
    """

    workers: Sequence[str]
    machines: Mapping[str, Machine]
    access: Mapping[str, Access] | None


def check_cluster(settings: Settings, dry_run: bool, *, tries: bool) -> list[Check]:
    """Return the checks of `rehome_cluster`; none if it is unset.

    dry_run: then no worker tries to write
    tries: ask the workers what they can do at the buckets, which makes no sense if this machine does not reach them
    """
    cluster = settings.cluster
    if cluster is None:
        return []
    options = trial_options(settings) if tries else None
    try:
        require_dask()
        answers = asyncio.run(_ask(cluster, _orders(settings, options) if tries else None, writes=not dry_run))
    except RefusedError as refusal:
        return stops(SUBJECT, "workers", list(refusal.findings))
    checks = [judge_count(cluster, len(answers.workers))]
    checks += [judge_packages(answers.workers, answers.machines), *judge_clocks(answers.workers, answers.machines)]
    if answers.access is None:
        return [*checks, unknown(SUBJECT, "reach", "not tried, as this machine does not reach both buckets")]
    checks += judge_reach(answers.workers, answers.access)
    return checks + judge_rights(answers.workers, answers.access, method_known=options is not None, dry_run=dry_run)


def look_at_cluster(settings: Settings, *, tries: bool) -> list[Check]:
    """Return the checks of `rehome_cluster` for a verb that copies nothing; none if it is unset.

    Such a verb needs the cluster if contents have to be compared or a listing is long, which only the listings tell:
    nothing stops it here.

    tries: as of `check_cluster`
    """
    cluster = settings.cluster
    if cluster is None:
        return []
    try:
        require_dask()
        orders = _orders(settings, None) if tries else None
        answers = asyncio.run(_ask(cluster, orders, writes=False, stopping=_at_once))
    except RefusedError as refusal:
        return [_warned(check) for check in stops(SUBJECT, "workers", list(refusal.findings))]
    count = len(answers.workers)
    if not count:
        words = f"{cluster.address} has no worker by now, for which comparisons and a long listing would wait"
        return [warn(SUBJECT, "workers", words, f"Start workers, {ALONE}", code=Code.CLUSTER_WORKERS)]
    words = f"{count} of {cluster.workers} workers at {cluster.address} have this engine"
    checks = [Check(SUBJECT, "workers", "pass", words)]
    checks += [judge_packages(answers.workers, answers.machines), *judge_clocks(answers.workers, answers.machines)]
    if answers.access is not None:
        checks += judge_reach(answers.workers, answers.access)
    return [_warned(check) if check.status == "stop" else check for check in checks]


def _at_once() -> bool:
    """Wait for no worker."""
    return True


def _warned(check: Check) -> Check:
    """Return a check that stops as one that warns."""
    finding = check.finding
    setting = finding.setting if finding.value is None else f"{finding.setting} ({finding.value})"
    needs = "The run ends where it needs workers: to compare contents, or for a long listing"
    problem = f"{setting}: {check.found.rstrip('.')}. {needs}"
    return warn(check.subject, check.name, problem, check.advice, code=finding.code)


def _orders(settings: Settings, options: CopyOptions | None) -> Orders:
    given = options or CopyOptions()
    return orders_of(settings.source, settings.target, given, settings.copy.max_requests)


async def _ask(
    cluster: Cluster, orders: Orders | None, *, writes: bool, stopping: Callable[[], bool] = never
) -> _Answers:
    from ..fleet.ask import ask_access, ask_machines  # noqa: PLC0415 - it imports dask
    from ..fleet.connect import connected, workers_of  # noqa: PLC0415

    async with connected(cluster, stopping) as client:
        workers = await workers_of(client)
        machines = await ask_machines(client)
        access = None if orders is None else await ask_access(client, orders, writes=writes)
        return _Answers(workers, machines, access)


def judge_count(cluster: Cluster, count: int) -> Check:
    """Return whether there are as many workers as asked for. With fewer a run begins, and the others join."""
    if count >= cluster.workers:
        return Check(SUBJECT, "workers", "pass", f"{count} workers at {cluster.address} have this engine")
    found = f"{count} of {cluster.workers} workers are at {cluster.address}, and a run begins with those"
    advice = "Start the others, also later: they join. Or ask for fewer (rehome_cluster.workers)"
    return warn(SUBJECT, "workers", found, advice, code=Code.CLUSTER_WORKERS)


def judge_packages(workers: Sequence[str], machines: Mapping[str, Machine]) -> Check:
    """Return whether all workers copy by the packages of this machine. With others they may, untested."""
    ours = package_versions()
    others: dict[str, list[str]] = {}
    for worker, machine in machines.items():
        if differing := [f"{name} {has}" for name, has in machine.packages.items() if ours.get(name) != has]:
            others.setdefault(", ".join(differing), []).append(worker)
    here = ", ".join(f"{name} {has}" for name, has in ours.items())
    if others:
        told = "; ".join(f"{_some(there, workers)} have {theirs}" for theirs, there in others.items())
        advice = "Install what requirements-mover.txt names with constraints.txt there, or start it by make cluster-up"
        return warn(SUBJECT, "packages", f"{told}, and this machine {here}", advice, code=Code.CLUSTER_ENGINE)
    if silent := _silent(workers, machines):
        return unknown(SUBJECT, "packages", silent)
    return Check(SUBJECT, "packages", "pass", f"every worker has {here}, as this machine")


def judge_clocks(workers: Sequence[str], machines: Mapping[str, Machine]) -> list[Check]:
    """Return whether the workers' clocks agree with this machine's, whose agree with the services' or are reported."""
    checks = []
    off = {worker: machine.ahead_s for worker, machine in machines.items() if abs(machine.ahead_s) >= SKEW_S}
    wrong = {worker: ahead for worker, ahead in off.items() if abs(ahead) >= LARGEST_SKEW_S}
    advice = "Set the clocks there (timedatectl set-ntp true), or this machine's if that is the wrong one"
    if wrong:
        problem = f"{_clocks_of(wrong, workers)}; S3 refuses requests that are a quarter of an hour off"
        checks.append(stop(SUBJECT, "clock", fault(_SETTING, None, problem, advice, Code.CLOCK)))
    slightly = {worker: ahead for worker, ahead in off.items() if worker not in wrong}
    if slightly:
        checks.append(warn(SUBJECT, "clock", _clocks_of(slightly, workers), advice, code=Code.CLOCK))
    if silent := _silent(workers, machines):
        checks.append(unknown(SUBJECT, "clock", silent))
    return checks or [Check(SUBJECT, "clock", "pass", "every worker's and this machine's agree")]


def _clocks_of(ahead: Mapping[str, float], workers: Sequence[str]) -> str:
    worst_first = sorted(ahead, key=lambda worker: -abs(ahead[worker]))
    worst = ahead[worst_first[0]]
    where = "ahead of" if worst > 0 else "behind"
    return (
        f"{_some(worst_first, workers)} have a clock that is off, that one by about {abs(worst):,.0f} s {where} this "
        "machine's"
    )


def judge_reach(workers: Sequence[str], access: Mapping[str, Access]) -> list[Check]:
    """Return whether every worker reaches both buckets with keys of its own."""
    found = merged({worker: one.unreachable for worker, one in access.items()}, workers)
    if found:
        return stops(SUBJECT, "reach", found)
    if silent := _silent(workers, access):
        return [unknown(SUBJECT, "reach", silent)]
    return [Check(SUBJECT, "reach", "pass", "every worker reaches both buckets with keys of its own")]


def judge_rights(
    workers: Sequence[str], access: Mapping[str, Access], *, method_known: bool, dry_run: bool
) -> list[Check]:
    """Return whether the workers' keys may read the source and write to the target.

    method_known: whether it is known by whose keys objects are read
    """
    found = merged({worker: one.lacking for worker, one in access.items()}, workers) if method_known else []
    if found:
        return stops(SUBJECT, "rights", found)
    reaching = {worker: one for worker, one in access.items() if not one.unreachable}
    silent = _silent(workers, reaching, "have not tried it")
    unread = _unknown_to({worker: one.unread for worker, one in reaching.items()}, workers)
    unwritten = _unknown_to({worker: one.unwritten for worker, one in reaching.items()}, workers)
    if not method_known:
        unread = "it is not known by whose keys the objects are read"
    if dry_run:
        unwritten = "not tried in a dry run: in a run, each worker begins an upload and aborts it"
    words = {
        "read rights": ("every worker's keys may read the source's objects", unread or silent),
        "write rights": ("every worker's keys may store objects in the target", unwritten or silent),
    }
    return [
        unknown(SUBJECT, name, why) if why else Check(SUBJECT, name, "pass", can) for name, (can, why) in words.items()
    ]


def merged(found: Mapping[str, Iterable[Finding]], workers: Sequence[str]) -> list[Finding]:
    """Return what several workers find, once.

    What S3 says of a missing right names who asked and for which key, which differs from worker to worker.
    """
    having: dict[Finding, list[str]] = {}
    first: dict[Finding, Finding] = {}
    for worker, findings in found.items():
        for finding in findings:
            same = replace(finding, problem="") if finding.code is Code.S3_DENIED else finding
            first.setdefault(same, finding)
            having.setdefault(same, []).append(worker)
    return [
        replace(
            first[same],
            problem=f"{_some(there, workers)} find: {first[same].problem}",
            way_out=f"{same.way_out}, {ALONE}",
        )
        for same, there in having.items()
    ]


def _unknown_to(why: Mapping[str, str | None], workers: Sequence[str]) -> str:
    """Return why something is not known of some workers; empty if it is known of all."""
    of = [worker for worker, reason in why.items() if reason]
    return f"{_some(of, workers)} cannot tell: {why[of[0]]}" if of else ""


def _silent(workers: Sequence[str], answers: Mapping[str, object], why: str = "have not answered") -> str:
    """Return which workers are not among the answers, and why; empty if all are."""
    silent = [worker for worker in workers if worker not in answers]
    return f"{_some(silent, workers)} {why}" if silent else ""


def _some(those: Sequence[str], workers: Sequence[str]) -> str:
    return f"{len(those)} of {len(workers)} workers, such as {those[0]},"

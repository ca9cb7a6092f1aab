"""What the workers' answers mean: several that find the same are told once, and what is unknown never passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from rehome.checks import refusals
from rehome.codes import Code
from rehome.config.cluster import Cluster
from rehome.errors import Finding
from rehome.fleet.access import Access
from rehome.fleet.ask import Machine, ahead_s
from rehome.fleet.engine import package_versions
from rehome.preflight.cluster import judge_clocks, judge_count, judge_packages, judge_reach, judge_rights

A, B, C = WORKERS = [f"tls://10.0.0.{number}:4000" for number in range(5, 8)]
OURS = package_versions()
ALONE = "or leave rehome_cluster unset to work with this machine alone"


def machines(*ahead: float) -> dict[str, Machine]:
    return {worker: Machine(one, OURS) for worker, one in zip(WORKERS, ahead, strict=False)}


def denied(who: str) -> Finding:
    problem = f"S3 does not let its credentials store objects there (403 AccessDenied: {who} is not authorized)"
    return Finding("rehome_target", "s3://b/avatar/", problem, "Grant s3:PutObject on b/*", Code.S3_DENIED)


@pytest.mark.parametrize(("theirs", "ahead"), [(100.0, 0.0), (103.0, 0.0), (105.0, 1.0), (98.0, -2.0)])
def test_a_clock_is_held_against_the_time_that_its_answer_took(theirs: float, ahead: float) -> None:
    assert ahead_s(theirs, 100.0, 104.0) == ahead


def test_fewer_workers_than_asked_for_warn() -> None:
    pem = Path("/tls/ca.pem")
    cluster = Cluster("tls://10.0.0.5:8786", pem, pem, pem, workers=3, wait_s=1.0)
    check = judge_count(cluster, 2)
    assert (check.status, check.code) == ("warn", Code.CLUSTER_WORKERS)
    assert check.found == "2 of 3 workers are at tls://10.0.0.5:8786, and a run begins with those"
    assert [judge_count(cluster, count).status for count in (3, 4)] == ["pass", "pass"]


def test_clocks_that_agree_pass() -> None:
    (check,) = judge_clocks(WORKERS, machines(0.0, 59.0, -59.0))
    assert (check.name, check.status) == ("clock", "pass")


def test_a_clock_that_is_off_warns_and_one_that_s3_would_refuse_stops() -> None:
    stopped, warned = judge_clocks(WORKERS, machines(61.0, -1000.0, 0.0))
    assert (stopped.status, warned.status) == ("stop", "warn")
    assert stopped.found.startswith(
        f"1 of 3 workers, such as {B}, have a clock that is off, that one by about 1,000 s behind"
    )
    assert stopped.advice.endswith(ALONE)
    assert "by about 61 s ahead of this machine's" in warned.found
    assert (stopped.code, warned.code) == (Code.CLOCK, Code.CLOCK)


def test_a_worker_that_does_not_answer_is_unknown() -> None:
    for checks in (
        judge_clocks(WORKERS, machines(0.0, 0.0)),
        [judge_packages(WORKERS, machines(0.0, 0.0))],
        judge_reach(WORKERS, {A: Access(), B: Access()}),
    ):
        (check,) = checks
        assert (check.status, check.found) == ("info", f"unknown: 1 of 3 workers, such as {C}, have not answered")


def test_other_packages_warn() -> None:
    others = {A: Machine(0.0, OURS | {"botocore": "1.0", "uvloop": "0.1"}), B: Machine(0.0, OURS)}
    check = judge_packages([A, B], others)
    assert (check.status, check.code) == ("warn", Code.CLUSTER_ENGINE)
    assert check.found.startswith(f"1 of 2 workers, such as {A}, have botocore 1.0, uvloop 0.1, and this machine")
    assert judge_packages([B], {B: Machine(0.0, OURS)}).status == "pass"


def test_the_reach_of_several_is_one_finding() -> None:
    missing = Finding("rehome_source.access_key", None, "no credentials", "Give it some", Code.NO_S3_CREDENTIALS)
    (check,) = judge_reach(WORKERS, {A: Access((missing,)), B: Access(), C: Access((missing,))})
    assert str(check.finding) == (
        f"rehome_source.access_key: 2 of 3 workers, such as {A}, find: no credentials. Give it some, {ALONE}. [RH-204]"
    )
    assert judge_reach([B], {B: Access()})[0].status == "pass"


def test_a_right_that_several_lack_is_one_finding_whatever_s3_calls_them() -> None:
    access = {worker: Access((), (denied(f"role/mover/{worker}"),)) for worker in WORKERS}
    checks = judge_rights(WORKERS, access, method_known=True, dry_run=False)
    (finding,) = refusals(checks)
    assert finding.problem.startswith(f"3 of 3 workers, such as {A}, find: S3 does not let its credentials store")
    assert finding.way_out == f"Grant s3:PutObject on b/*, {ALONE}"


@pytest.mark.parametrize(
    ("access", "read", "write"),
    [
        (Access(), "pass", "pass"),
        (Access(unread="no object is under s3://a/"), "info", "pass"),
        (Access(unwritten="it does not begin an upload"), "pass", "info"),
        (Access((denied("a"),)), "info", "info"),
    ],
)
def test_a_right_that_one_of_them_could_not_try_does_not_pass(access: Access, read: str, write: str) -> None:
    checks = judge_rights([A, B], {A: Access(), B: access}, method_known=True, dry_run=False)
    assert [(check.name, check.status) for check in checks] == [("read rights", read), ("write rights", write)]
    assert all(check.status == "pass" or f"1 of 2 workers, such as {B}," in check.found for check in checks)


def test_a_dry_run_does_not_know_whether_workers_may_write() -> None:
    reading, writing = judge_rights([A], {A: Access()}, method_known=True, dry_run=True)
    assert (reading.status, writing.status) == ("pass", "info")
    assert writing.found.startswith("unknown: not tried in a dry run")


def test_without_knowing_whose_keys_read_no_right_is_missing_and_none_is_there() -> None:
    checks = judge_rights([A], {A: Access((), (denied("a"),))}, method_known=False, dry_run=True)
    assert [check.status for check in checks] == ["info", "info"]

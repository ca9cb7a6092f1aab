from __future__ import annotations

import pytest

from matrix import results
from matrix.page import page
from matrix.results import Outcome, Result, read_report

REPORT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4">
<testcase classname="tests.db.test_a" name="test_good" time="0.1" />
<testcase classname="tests.db.test_a" name="test_bad" time="0.1"><failure message="assert 1 == 2">…</failure></testcase>
<testcase classname="tests.db.test_a" name="test_torn" time="0.1"><error message="no server">…</error></testcase>
<testcase classname="tests.db.test_a" name="test_left" time="0.1"><skipped message="has no roles" /></testcase>
</testsuite></testsuites>"""


def result(**suites: Outcome) -> Result:
    return Result("mysql-9.7", "9.7.4-2", "abc1234", "2026-01-02", dict(suites))


def test_a_report_is_read_with_the_names_of_what_failed_and_the_reasons_of_what_was_skipped() -> None:
    assert read_report(REPORT, 7) == Outcome(
        1,
        ("tests/db/test_a::test_bad", "tests/db/test_a::test_torn"),
        ("tests/db/test_a::test_left: has no roles",),
        7,
    )


@pytest.mark.parametrize(
    "outcome", [Outcome(0), Outcome(3, ("one",)), Outcome(3, broke="pytest ended with status 3")], ids=str
)
def test_a_suite_is_good_only_if_something_ran_all_passed_and_pytest_came_to_its_end(outcome: Outcome) -> None:
    assert not outcome.good
    assert not result(one=Outcome(3), other=outcome).good
    assert result(one=Outcome(3)).good


def test_without_a_suite_no_result_is_good() -> None:
    assert not result().good


def test_what_is_kept_is_read_again(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    made = result(story=Outcome(1, ("a::b",), ("c::d: why",), 60, "broke"))
    results.keep(made)
    assert results.kept("mysql-9.7") == made
    assert results.kept("another") is None


def test_the_page_names_every_server_what_failed_and_what_is_different_there() -> None:
    kept = {"mysql-9.7": result(tests=Outcome(3, ("db::test_bad",), (), 90)), "ceph": None}
    known = {"mysql": {"title": "MySQL 9.7", "points": [{"there": "no\n  SHA1()", "rehome": "sends a hash"}]}}
    text = page(kept, known)
    for part in (
        "9.7.4-2",
        "tests: 3 passed, **1 failed**",
        "2026-01-02, abc1234",
        "not run yet",
        "- mysql-9.7: `db::test_bad`",
    ):
        assert part in text
    assert "| no SHA1()" in text
    assert "## MySQL 9.7" in text

from __future__ import annotations

from typing import Any

import pytest
from rehome.ansible_module.run_report import STAGES
from rehome.report.did import did

COPY = {"objects_copied": 1000, "bytes_copied": 543854, "objects_failed": 0, "objects_not_reached": 0}


@pytest.mark.parametrize(
    ("stage", "result", "dry_run", "line"),
    [
        ("copy", {"counts": COPY}, False, "1,000 objects copied (531.1 KiB) in 3.1 s"),
        (
            "copy",
            {"counts": COPY | {"objects_failed": 2, "objects_not_reached": 1}},
            False,
            "1,000 objects copied (531.1 KiB), 2 failed, 1 not reached in 3.1 s",
        ),
        ("copy", {"counts": COPY | {"movers": 4}}, False, "1,000 objects copied (531.1 KiB) by 4 movers in 3.1 s"),
        ("copy", {"counts": {"objects_to_copy": 1}}, True, "1 object would be copied in 3.1 s"),
        (
            "rewrite",
            {"counts": {"rows_rewritten": 7, "rows_changed_by_app": 1}},
            False,
            "7 rows rewritten, 1 changed by the application in 3.1 s",
        ),
        ("rewrite", {"counts": {"rows_to_rewrite": 7}}, True, "7 rows would be rewritten in 3.1 s"),
        (
            "plan",
            {"counts": {"objects_to_copy": 5, "objects_outdated": 1, "bytes_to_copy": 10, "rows_to_rewrite": 7}},
            False,
            "5 objects to copy (10 bytes), 7 rows to rewrite in 3.1 s",
        ),
        (
            "plan",
            {"counts": {"objects_to_copy": 0, "rows_to_rewrite": 0, "objects_present": 1, "rows_done": 2}},
            True,
            "nothing left to do in 3.1 s",
        ),
        (
            "verify",
            {"objects_verified": 4, "objects_compared": 5, "rows_verified": 1, "rows_compared": 1},
            False,
            "4 of 5 objects, 1 row verified in 3.1 s",
        ),
        (
            "preflight",
            {"counts": {"checks_pass": 40, "checks_info": 4, "checks_warn": 1, "checks_stop": 2}},
            False,
            "47 checks made, 1 warning, 2 stops in 3.1 s",
        ),
        (
            "rollback",
            {"counts": {"rows_restored": 9, "rows_to_restore": 0, "rows_kept": 2}},
            False,
            "9 rows restored, 2 kept in 3.1 s",
        ),
        ("rollback", {"counts": {"rows_to_restore": 9}}, True, "9 rows would be restored in 3.1 s"),
        (
            "retire",
            {"counts": {"objects_retired": 3, "bytes_retired": 1024, "objects_kept_locked": 1}},
            False,
            "3 objects deleted (1.0 KiB), 1 kept in 3.1 s",
        ),
        ("retire", {"counts": {"objects_brought_back": 2}}, True, "2 objects would be brought back in 3.1 s"),
        (
            "remove copies",
            {"counts": {"copies_to_remove": 3, "bytes_to_remove": 10}},
            True,
            "3 copies would be removed (10 bytes) in 3.1 s",
        ),
    ],
)
def test_a_stage_says_in_one_line_what_it_did(stage: str, result: dict[str, Any], dry_run: bool, line: str) -> None:
    assert did(stage, result, dry_run=dry_run, seconds=3.1) == line


def test_every_stage_has_its_line_and_other_modules_have_none() -> None:
    assert did(None, {}, dry_run=False, seconds=1.0) is None
    for stage in STAGES.values():
        with pytest.raises(KeyError):
            did(stage, {"counts": {}}, dry_run=False, seconds=1.0)

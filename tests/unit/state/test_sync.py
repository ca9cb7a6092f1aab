from __future__ import annotations

import pytest
from rehome.state.sync import _is_lasting


@pytest.mark.parametrize(
    ("name", "lasting"),
    [
        ("outcomes/20260101-00000.parquet", True),
        ("completion.json", True),
        ("discover.json", True),
        ("discover-unfinished.json", True),
        ("plans/abc/plan.json", True),
        ("summary.json", False),
        ("runs/2026/retired/a.jsonl", False),
        ("../outcomes/a.parquet", False),
        ("plans/../plan.json", False),
        ("/etc/outcomes/a.parquet", False),
        ("/outcomes/a.parquet", False),
    ],
)
def test_only_files_that_later_runs_need_are_downloaded_and_only_into_the_folder(name: str, lasting: bool) -> None:
    assert _is_lasting(name) is lasting

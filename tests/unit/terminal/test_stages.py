"""The terminal and the report name a stage alike: the callback cannot import the engine, and has a list of its own."""

from __future__ import annotations

from rehome.ansible_module import run_report
from rehome_terminal.stages import STAGES


def test_the_report_s_stages_have_the_same_names_in_the_terminal() -> None:
    assert run_report.STAGES.items() <= STAGES.items()

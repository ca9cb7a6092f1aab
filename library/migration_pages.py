#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_pages
short_description: Write the report of the last run again
version_added: "0.2.0"
description:
  - Writes C(report.md) and C(report.html) from C(report.json) and whatever else the last run has left in the state
    folder, also if it was killed or is still at work.
  - Reads and writes the state folder alone.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
attributes:
  diff_mode:
    support: none
seealso:
  - module: rehome.rehome.migration_report
    description: Writes it at the end of each run.
"""

EXAMPLES = r"""
- name: Write the report again
  migration_pages:
    settings: "{{ rehome_settings }}"
  register: pages
"""

RETURN = r"""
lines:
  description: What the run was, and where its report is.
  returned: success
  type: list
  elements: str
  sample: ["page     /srv/ops/.rehome/rehome-prod/avatars/report.html"]
page:
  description: The page.
  returned: success
  type: str
  sample: /srv/ops/.rehome/rehome-prod/avatars/report.html
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_beside
from rehome.config.settings import Settings
from rehome.report.again import report_again
from rehome.report.document import write_texts
from rehome.report.page import verdict
from rehome.report.summary import PAGE_FILE, TEXT_FILE
from rehome.state.lock import at_work


def work(settings: Settings, _params: Mapping[str, Any], _dry_run: bool) -> dict[str, object]:
    """Write the texts of the last run's report."""
    state_dir = settings.state_dir
    report = report_again(state_dir, at_work=at_work(state_dir))
    warnings = write_texts(state_dir, report)
    page, text = state_dir / PAGE_FILE, state_dir / TEXT_FILE
    _, word, sentence = verdict(report)
    lines = [
        f"{report['name']}: {report['verb']} of {report['started_at'][:19].replace('T', ' ')} UTC",
        f"outcome  {word}: {sentence}",
        f"report   {text}",
        f"page     {page}",
    ]
    return {"changed": False, "lines": lines, "page": str(page), "warnings": warnings}


if __name__ == "__main__":
    run_beside(AnsibleModule, work, {})

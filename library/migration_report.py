#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_report
short_description: Report what a run did, and release the state folder
version_added: "0.1.0"
description:
  - Reads the summary that the stages of this run have written to C(summary.json).
extends_documentation_fragment:
  - rehome
  - rehome.attributes
seealso:
  - module: rehome.rehome.migration_verify
    description: Determines whether anything is left.
"""

EXAMPLES = r"""
- name: Sum up
  migration_report:
    settings: "{{ rehome_settings }}"
  register: report
"""

RETURN = r"""
summary:
  description: The summary, as it is in C(summary.json).
  returned: success
  type: dict
  sample:
    name: avatars
    objects_copied: 1000
    rows_rewritten: 1000
    rows_remaining: 0
    complete: true
    problems: []
codes:
  description: The codes of the problems of the summary, which are headings of docs/runbook.md.
  returned: if there is one
  type: list
  elements: str
  sample: [RH-608]
report:
  description: Where the report is, as Markdown. C(report.json) beside it has the same facts.
  returned: success
  type: str
  sample: /srv/ops/.rehome/rehome-prod/avatars/report.md
page:
  description: Where the same report is as a page for a browser, which loads nothing from anywhere.
  returned: success
  type: str
  sample: /srv/ops/.rehome/rehome-prod/avatars/report.html
lines:
  description:
    - What a terminal shows at the end. Of a plan, the whole of it; of the other verbs, at most ten lines that say what
      happened, what is left, and what to run next.
  returned: success
  type: list
  elements: str
  sample:
    - "avatars: migrate, s3://legacy-s3/image/ → s3://production-s3/avatar/"
    - "outcome  complete: 1,000 objects and 1,000 rows moved, nothing left to do (6.4 s)"
    - done     1,000 objects copied (531.1 KiB), 1,000 rows rewritten
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.report.summary import PAGE_FILE, TEXT_FILE
from rehome.state.sync import upload_state


def work(stage: Stage) -> dict[str, object]:
    """Return the summary of the run, write its report, upload the state, and release the lock."""
    summary = stage.summary()
    report = stage.write_report()
    upload_state(stage.settings)
    stage.release()
    return {
        "changed": False,
        "summary": summary.fields,
        "report": summary.place_of(stage.settings.state_dir / TEXT_FILE),
        "page": summary.place_of(stage.settings.state_dir / PAGE_FILE),
        "lines": report["card"] if report else [],
        "warnings": stage.record.warnings,
    }


if __name__ == "__main__":
    run_module(AnsibleModule, work)

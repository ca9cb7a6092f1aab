#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_preflight
short_description: Check everything that a migration needs, before its first write
description:
  - Looks at this machine, both buckets and the database, and tells all that it finds at once, in one table of checks.
  - Outside check mode it also sees that the column may be rewritten, tries what the services can do on scratch objects,
    and makes the journal where it is missing; none of that where a check says stop.
  - Begins a new C(summary.json), and keeps the checks in C(preflight.json).
extends_documentation_fragment:
  - rehome
  - rehome.attributes
"""

EXAMPLES = r"""
- name: Check everything before the first write
  migration_preflight:
    settings: "{{ rehome_settings }}"
"""

RETURN = r"""
checks:
  description: What was looked at.
  returned: success
  type: list
  elements: dict
  contains:
    subject:
      description: What it is about; a bucket, the database, a column, this machine.
      type: str
    name:
      description: What was looked at.
      type: str
    status:
      description: One of C(pass), C(info), C(warn) and C(stop).
      type: str
    found:
      description: What was found, in words.
      type: str
    advice:
      description: What to do about it.
      type: str
refusals:
  description: Why a run must not go on, one message each; empty where it may.
  returned: success
  type: list
  elements: str
table:
  description: The checks for a terminal.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.argument_spec import ARGUMENT_SPEC
from rehome.ansible_module.run import run_stage
from rehome.ansible_module.stage import Stage
from rehome.checks import as_facts, as_table, refusals
from rehome.preflight.preflight import preflight


def work(stage: Stage) -> dict[str, object]:
    summary = stage.start_summary("migration")
    found = preflight(stage.settings, stage.dry_run, stage.progress)
    refused = [str(finding) for finding in refusals(found.checks)]
    summary.add(copy_method=found.copy_method, **({"problems": refused} if refused else {}))
    return {
        "changed": found.journal_created,
        "checks": as_facts(found.checks),
        "refusals": refused,
        "table": as_table(found.checks),
    }


if __name__ == "__main__":
    run_stage(AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True), work)

#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_preflight
short_description: Check everything that a migration needs, before its first write
description:
  - Looks at both buckets and at the database, and fails with every finding at once.
  - Outside check mode it also sees that the column may be rewritten, and makes the journal where it is missing.
  - Begins a new C(summary.json).
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
warnings:
  description: What only costs, in words.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.rehome.module import Stage, run_stage
from ansible.module_utils.rehome.preflight import preflight
from ansible.module_utils.rehome.report import Summary


def work(stage: Stage) -> dict[str, object]:
    summary = Summary.start(stage.settings.state_dir, stage.settings, stage.run, stage.dry_run)
    found = preflight(stage.settings, stage.dry_run)
    summary.add(copy_method=found.copy_method)
    return {"changed": found.journal_created, "warnings": found.warnings}


if __name__ == "__main__":
    run_stage(work)

#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: db_journal
short_description: Create the journal's table as an administrator, or drop it if it is empty
version_added: "0.1.0"
description:
  - With C(grants.state=present), creates the schema and the table if they are missing.
  - With C(grants.state=absent), drops them unless the journal has entries. Those are the only way to roll rows back.
extends_documentation_fragment:
  - rehome
  - rehome.grants
  - rehome.attributes
seealso:
  - module: rehome.rehome.migration_grants
    description: Determines the rights on the journal.
  - module: rehome.rehome.db_path_rollback
    description: Reads the journal.
"""

EXAMPLES = r"""
- name: Have the journal
  db_journal:
    settings: "{{ rehome_settings }}"
    grants: "{{ rehome_grants_settings }}"
"""

RETURN = r"""
entries:
  description: The number of entries that kept the journal from being dropped.
  returned: success
  type: int
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.argument_spec import GRANTS_SPEC
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.grants.journal_table import ensure_journal_state
from rehome.grants.settings import read_grant_settings

OPTIONS = {"grants": GRANTS_SPEC}


def work(stage: Stage) -> dict[str, object]:
    """Create the journal's table, or drop it if it has no entries."""
    grants = read_grant_settings(stage.params["grants"], stage.settings)
    change = ensure_journal_state(stage.settings, grants, stage.dry_run)
    return {"changed": change.changed, "entries": change.entries}


if __name__ == "__main__":
    run_module(AnsibleModule, work, OPTIONS)

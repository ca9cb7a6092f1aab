#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: db_journal
short_description: Make the journal's table as an administrator, or drop an empty one
description:
  - With C(grants.state=present) the schema and the table are made where they are missing.
  - With C(grants.state=absent) they are dropped, unless there are entries in the journal; they are the only way back.
extends_documentation_fragment:
  - rehome
  - rehome.grants
  - rehome.attributes
"""

EXAMPLES = r"""
- name: Have the journal
  db_journal:
    settings: "{{ rehome_settings }}"
    grants: "{{ rehome_grants_settings }}"
"""

RETURN = r"""
entries:
  description: How many entries kept the journal from being dropped.
  returned: success
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.argument_spec import ARGUMENT_SPEC, GRANTS_SPEC
from rehome.ansible_module.run import run_stage
from rehome.ansible_module.stage import Stage
from rehome.grants.journal_table import keep_journal
from rehome.grants.settings import read_grant_settings

OPTIONS = {"grants": GRANTS_SPEC}


def work(stage: Stage) -> dict[str, object]:
    kept = keep_journal(stage.settings, read_grant_settings(stage.given["grants"], stage.settings), stage.dry_run)
    return {"changed": kept.changed, "entries": kept.entries}


if __name__ == "__main__":
    run_stage(AnsibleModule({**ARGUMENT_SPEC, **OPTIONS}, supports_check_mode=True), work)

#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: db_account
short_description: Create the database user with exactly the rights of a migration, and the journal, or drop them
version_added: "0.1.0"
description:
  - With C(grants.state=present), creates the journal's table, the user, and its rights, and revokes what it no longer
    needs.
  - With C(grants.state=absent), drops the user, and the journal unless it has entries. Those are the only way to roll
    rows back.
  - The password is sent in the form that the server keeps of it, never as it is.
  - PostgreSQL does all of it in one transaction. In MariaDB and MySQL each statement commits.
extends_documentation_fragment:
  - rehome
  - rehome.grants
  - rehome.attributes
options:
  password:
    description: A new password for the user. If unset, an existing user keeps its own, and a new one gets that of the
      settings.
    type: str
  trial:
    description: Only try it, and take it back.
    type: bool
    default: false
attributes:
  diff_mode:
    support: full
seealso:
  - module: rehome.rehome.migration_grants
    description: Says beforehand what would change.
  - module: rehome.rehome.db_path_rollback
    description: Reads the journal.
"""

EXAMPLES = r"""
- name: Have the user and the journal
  db_account:
    settings: "{{ rehome_settings }}"
    grants: "{{ rehome_grants_settings }}"
    password: "{{ grants_password }}"
"""

RETURN = r"""
entries:
  description: The number of entries that kept the journal from being dropped.
  returned: if C(trial=false)
  type: int
  sample: 0
tried:
  description: What was tried and taken back, in words.
  returned: if C(trial=true)
  type: str
  sample: the statements for the user rehome, in a transaction that was rolled back
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.argument_spec import GRANTS_SPEC
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.grants.database_user import try_user, update_user
from rehome.grants.settings import read_grant_settings

OPTIONS = {
    "grants": GRANTS_SPEC,
    "password": {"type": "str", "no_log": True},
    "trial": {"type": "bool", "default": False},
}


def work(stage: Stage) -> dict[str, object]:
    """Make the user and the journal as they should be, or only try it."""
    grants = read_grant_settings(stage.params["grants"], stage.settings, variables=stage.variables)
    if stage.params["trial"]:
        return {"changed": False, "tried": try_user(stage.settings, grants, stage.dry_run)}
    change = update_user(stage.settings, grants, stage.params["password"] or None, stage.dry_run)
    return {"changed": change.changed, "entries": change.entries, "diff": list(change.diffs)}


if __name__ == "__main__":
    run_module(AnsibleModule, work, OPTIONS)

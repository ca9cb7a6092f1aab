#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: iam_principal
short_description: Keep the policy of an IAM user or role and delete its old access keys, or delete it all
description:
  - The policy is a managed one; another content is another policy, which takes the place of the last.
  - Does what amazon.aws can on AWS only, as other services have not all of IAM.
extends_documentation_fragment:
  - rehome
  - rehome.grants
  - rehome.attributes
options:
  principal:
    description: What M(rehome.rehome.migration_grants) has worked out about the principal.
    type: dict
    required: true
  without_keys:
    description: Access keys to delete.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Keep the policy
  iam_principal:
    settings: "{{ rehome_settings }}"
    grants: "{{ rehome_grants_settings }}"
    principal: "{{ grants_plan.principals[0] }}"
"""

RETURN = r"""
name:
  description: The principal.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.argument_spec import ARGUMENT_SPEC, GRANTS_SPEC
from rehome.ansible_module.run import run_stage
from rehome.ansible_module.stage import Stage
from rehome.grants.iam_principal import keep_principal, remove_principal
from rehome.grants.settings import read_grant_settings

OPTIONS = {
    "grants": GRANTS_SPEC,
    "principal": {"type": "dict", "required": True},
    "without_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},  # identifiers
}


def work(stage: Stage) -> dict[str, object]:
    grants = read_grant_settings(stage.given["grants"], stage.settings)
    principal, keys = stage.given["principal"], stage.given["without_keys"]
    admin, kind, name = grants.admin_of(principal["admin"]), grants.kind, principal["name"]
    changed = principal["policy_changes"] or bool(keys) or (grants.state == "absent" and principal["exists"])
    if changed and not stage.dry_run:
        if grants.state == "absent":
            remove_principal(admin, kind, name)
        else:
            keep_principal(admin, kind, name, principal["policy"], keys)
    return {"changed": changed, "name": name}


if __name__ == "__main__":
    run_stage(AnsibleModule({**ARGUMENT_SPEC, **OPTIONS}, supports_check_mode=True), work)

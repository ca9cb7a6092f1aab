#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: iam_principal
short_description: Keep the policy of an IAM user or role and delete its old access keys, or delete the principal
version_added: "0.1.0"
description:
  - The policy is a managed one, or an inline one where the service has no managed policies. Different content makes a
    new policy, which replaces the previous one.
  - Covers what the modules of amazon.aws can do on AWS only, because other services implement a part of IAM.
extends_documentation_fragment:
  - rehome
  - rehome.grants
  - rehome.attributes
options:
  principal:
    description: What M(rehome.rehome.migration_grants) has returned about the principal.
    type: dict
    required: true
  without_keys:
    description: The access keys to delete.
    type: list
    elements: str
    default: []
seealso:
  - module: rehome.rehome.migration_grants
    description: Returns the principals.
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
  description: The name of the principal.
  returned: success
  type: str
  sample: rehome-avatars-migrate
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.argument_spec import GRANTS_SPEC
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.codes import Code, marked
from rehome.grants.iam_principal import remove_principal, update_principal
from rehome.grants.settings import read_grant_settings

OPTIONS = {
    "grants": GRANTS_SPEC,
    "principal": {"type": "dict", "required": True},
    "without_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},  # identifiers
}


def work(stage: Stage) -> dict[str, object]:
    """Update the principal's policy and delete its old keys, or delete the principal."""
    grants = read_grant_settings(stage.params["grants"], stage.settings, variables=stage.variables)
    principal, keys = stage.params["principal"], stage.params["without_keys"]
    admin, kind, name = grants.admin_of(principal["admin"]), grants.kind, principal["name"]
    changed = principal["policy_changes"] or bool(keys) or (grants.state == "absent" and principal["exists"])
    warnings = []
    if changed and not stage.dry_run:
        if grants.state == "absent":
            remove_principal(admin, kind, name)
        elif unknown := update_principal(admin, kind, name, principal["policy"], keys):
            text = (
                f"the service does not know {', '.join(unknown)}, which {name} has no right to now; what they would "
                "show of a bucket, the preflight reports as unknown"
            )
            warnings.append(marked(text, Code.S3_DETOUR))
    return {"changed": changed, "name": name, "warnings": warnings}


if __name__ == "__main__":
    run_module(AnsibleModule, work, OPTIONS)

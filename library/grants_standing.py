#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: grants_standing
short_description: Say which of the principals and users that grants makes exist now
version_added: "0.1.0"
description:
  - For the message of a run of C(grants) that breaks off in the middle. Writes nothing.
extends_documentation_fragment:
  - rehome
  - rehome.grants
  - rehome.attributes
options:
  principals:
    description: The principals that M(rehome.rehome.migration_grants) has returned.
    type: list
    elements: dict
    default: []
seealso:
  - module: rehome.rehome.migration_grants
    description: Returns the principals.
"""

EXAMPLES = r"""
- name: See what stands
  grants_standing:
    settings: "{{ rehome_settings }}"
    grants: "{{ rehome_grants_settings }}"
    principals: "{{ grants_plan.principals }}"
"""

RETURN = r"""
standing:
  description: What exists, in words. What could not be read is said to be unknown.
  returned: success
  type: list
  elements: str
  sample: [IAM user rehome-avatars-migrate with its policy, the journal in rehome]
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.argument_spec import GRANTS_SPEC
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.grants.settings import read_grant_settings
from rehome.grants.standing import what_stands

OPTIONS = {"grants": GRANTS_SPEC, "principals": {"type": "list", "elements": "dict", "default": []}}


def work(stage: Stage) -> dict[str, object]:
    """Read what exists."""
    grants = read_grant_settings(stage.params["grants"], stage.settings, variables=stage.variables)
    return {"changed": False, "standing": what_stands(stage.settings, grants, stage.params["principals"])}


if __name__ == "__main__":
    run_module(AnsibleModule, work, OPTIONS)

#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_grants
short_description: Work out which rights migrate and retire need, and which of them are missing
description:
  - Compares what IAM, the source's bucket and the database hold with what the settings call for, and shows the policies
    and statements that are to change. Writes nothing; what it returns is what the role C(grants) has to do.
extends_documentation_fragment:
  - rehome
  - rehome.grants
  - rehome.attributes
options:
  known_keys:
    description: Access keys whose secrets are kept, so that no new ones are needed.
    type: list
    elements: str
    default: []
attributes:
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Work out the rights
  migration_grants:
    settings: "{{ rehome_settings }}"
    grants: "{{ rehome_grants_settings }}"
"""

RETURN = r"""
principals:
  description: The principals of S3, each with its policy and what is to be done about its access keys.
  returned: success
  type: list
  elements: dict
bucket_policy:
  description: The whole policy that the source's bucket shall have, and whether it has another.
  returned: success
  type: dict
account:
  description: The database's user, with its privileges, and the statements that are missing.
  returned: success
  type: dict
"""

import json

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.argument_spec import ARGUMENT_SPEC, GRANTS_SPEC
from rehome.ansible_module.run import run_stage
from rehome.ansible_module.stage import Stage
from rehome.errors import Finding, RefusedError
from rehome.grants.planning import make_plan
from rehome.grants.settings import read_grant_settings

OPTIONS = {
    "grants": GRANTS_SPEC,
    "known_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},  # identifiers
}


def work(stage: Stage) -> dict[str, object]:
    grants = read_grant_settings(stage.given["grants"], stage.settings, stage.given["known_keys"])
    plan = make_plan(stage.settings, grants)
    text = json.dumps(plan)
    for setting, secret in grants.secrets(stage.settings):
        # Ansible would blot it out in the policies too, and the blotted ones would be installed
        if secret in text:
            problem = "is a part of the policies and statements, which can therefore not be shown or handed on"
            raise RefusedError([Finding(setting, None, problem, "Choose a longer one, of random characters")])
    return plan


if __name__ == "__main__":
    run_stage(AnsibleModule({**ARGUMENT_SPEC, **OPTIONS}, supports_check_mode=True), work)

#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_grants
short_description: Determine which rights migrate and retire need, and which of them are missing
version_added: "0.1.0"
description:
  - Compares IAM, the source's bucket policy and the database with what the settings need, and shows the policies and
    statements that would change.
  - Writes nothing. The role C(grants) carries out what this module returns.
extends_documentation_fragment:
  - rehome
  - rehome.grants
  - rehome.attributes
options:
  known_keys:
    description: The access keys whose secrets are stored already, so that no new ones are needed.
    type: list
    elements: str
    default: []
attributes:
  diff_mode:
    support: full
seealso:
  - module: rehome.rehome.iam_principal
  - module: rehome.rehome.db_account
  - module: rehome.rehome.vault_file
    description: Stores the secrets.
"""

EXAMPLES = r"""
- name: Work out the rights
  migration_grants:
    settings: "{{ rehome_settings }}"
    grants: "{{ rehome_grants_settings }}"
"""

RETURN = r"""
principals:
  description: The principals of S3, each with its policy and with what to do about its access keys.
  returned: success
  type: list
  elements: dict
  sample:
    - name: rehome-avatars-migrate
      verb: migrate
      place: both
      exists: false
      new_key: true
bucket_policy:
  description: The complete policy that the source bucket needs, and whether it differs from the present one.
  returned: success
  type: dict
  sample: {bucket: legacy-s3, changes: false}
counts:
  description: The number of principals, and of policies and accounts that change.
  returned: success
  type: dict
  sample: {principals: 2, changes: 0}
account:
  description: The database user, and the statements that make it as it should be, without its password.
  returned: success
  type: dict
  sample: {engine: mariadb, user: rehome-avatars, host: "%", exists: true, new_password: false, statements: []}
places:
  description: Where the administrators' requests go, for the source's account and for the target's.
  returned: success
  type: dict
  sample:
    source: {endpoint_url: null, region: eu-central-1}
    target: {endpoint_url: null, region: eu-central-1}
lines:
  description: What a terminal shows at the end of the run, if it comes to its end.
  returned: success
  type: list
  elements: str
  sample:
    - "avatars: grants, s3://legacy-s3/image/ → s3://production-s3/avatar/"
    - "outcome  complete: rehome-avatars-migrate: exactly what migrate and retire need"
"""

import json

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.argument_spec import GRANTS_SPEC
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.codes import Code
from rehome.errors import Finding, RefusedError
from rehome.grants.card import grants_card
from rehome.grants.planning import make_plan
from rehome.grants.settings import read_grant_settings

OPTIONS = {
    "grants": GRANTS_SPEC,
    "known_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},  # identifiers
}


def work(stage: Stage) -> dict[str, object]:
    """Return the plan of rights. Raises RefusedError if a secret is part of its text."""
    grants = read_grant_settings(stage.params["grants"], stage.settings, stage.params["known_keys"], stage.variables)
    plan = make_plan(stage.settings, grants)
    text = json.dumps(plan)
    for setting, secret in grants.secrets(stage.settings):
        # Ansible would mask it in the policies too, and the masked ones would be installed
        if secret in text:
            problem = "is a part of the policies and statements, which can therefore not be shown or handed on"
            raise RefusedError(
                [Finding(setting, None, problem, "Choose a longer one, of random characters", Code.UNUSABLE_VALUE)]
            )
    return plan | {"lines": grants_card(stage.settings, stage.record.origin, grants, plan, dry_run=stage.dry_run)}


if __name__ == "__main__":
    run_module(AnsibleModule, work, OPTIONS)

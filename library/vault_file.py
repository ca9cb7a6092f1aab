#!/usr/bin/python
"""Ansible module: see DOCUMENTATION. What it does is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_file
short_description: Keep variables in a file that Ansible's vault encrypts
version_added: "0.1.0"
description:
  - Merges variables into a file, and writes it encrypted with the vault secret of the run
    (C(--vault-password-file), E(ANSIBLE_VAULT_PASSWORD_FILE), C(vault_identity_list)).
  - The content never leaves the controller, is never part of a result, and is never on disk unencrypted.
options:
  path:
    description: The file. Only its owner can read it.
    type: path
    required: true
  content:
    description:
      - The variables. Mappings are merged with those in the file. If empty, the module only checks that the file can be
        read and written.
    type: dict
    default: {}
requirements:
  - a vault secret in the run
notes:
  - Runs on the controller only, because no other machine knows the vault's secrets.
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and report what it would change, without changing it.
  diff_mode:
    support: none
    description: Reports what changes in C(diff) mode.
seealso:
  - module: rehome.rehome.migration_grants
    description: Determines which secrets are new.
author:
  - The Rehome authors (@rehome)
"""

EXAMPLES = r"""
- name: Keep the secrets
  vault_file:
    path: "{{ rehome_grants_secrets_file }}"
    content: "{{ {'rehome_credentials': made} }}"
  no_log: true
"""

RETURN = r"""
path:
  description: The file.
  returned: always
  type: str
  sample: /srv/ops/inventory/host_vars/rehome-prod/rehome_credentials.yml
"""

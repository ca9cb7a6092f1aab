#!/usr/bin/python
"""Ansible module: see DOCUMENTATION. What it does is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_file
short_description: Keep variables in a file that Ansible's vault encrypts
description:
  - Merges variables into a file, and writes it encrypted with the vault secret that the run was given
    (C(--vault-password-file), E(ANSIBLE_VAULT_PASSWORD_FILE), C(vault_identity_list)).
  - The content never leaves the controller, is no part of any result, and is never on disk unencrypted.
options:
  path:
    description: The file. Only its owner can read it.
    type: path
    required: true
  content:
    description:
      - The variables; mappings are merged with those that are in the file. Without any, it is only seen that the file
        could be read and written.
    type: dict
    default: {}
author:
  - The Rehome authors (@rehome)
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and tell what it would change, without changing it.
  diff_mode:
    support: none
    description: Tells what changes in C(diff) mode.
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
"""

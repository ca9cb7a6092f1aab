#!/usr/bin/python
"""Ansible module: see DOCUMENTATION. What it does is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: variable_names
short_description: Refuse variables that Rehome does not know
version_added: "0.2.0"
description:
  - Ansible ignores a variable that nothing reads. A misspelled one would leave its setting at the default.
  - Refuses every variable whose name begins with C(rehome_) and that no role specifies, keys of such mappings that are
    not specified, and the look-alikes of C(approved_plan), and on the command line of C(env), C(confirm) and
    C(restore).
  - What AWX hands on from one job to the next, C(rehome_artifacts), is known and not read.
  - Looks at all variables that the task sees, wherever they are set. Their values are not part of the message.
options:
  roles:
    description: The folder of the roles, whose C(meta/argument_specs.yml) specify the variables.
    type: path
    required: true
  short:
    description: Further variables without the prefix that the playbook itself reads, such as C(state).
    type: list
    elements: str
    default: []
requirements:
  - the argument specifications of the roles
notes:
  - Runs on the controller only, because no other machine knows the variables.
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and report what it would change, without changing it.
  diff_mode:
    support: none
    description: Reports what changes in C(diff) mode.
seealso:
  - module: rehome.rehome.migration_preflight
    description: Checks the values.
author:
  - The Rehome authors (@rehome)
"""

EXAMPLES = r"""
- name: Check that every variable is one that Rehome knows
  variable_names:
    roles: "{{ role_path | dirname }}"
"""

RETURN = r"""
msg:
  description: The variables that are refused, one a line, each with the one that may have been meant.
  returned: failure
  type: str
  sample: "rehome_limits: is no variable of Rehome and would be ignored; did you mean rehome_limit?"
"""

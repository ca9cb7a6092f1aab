#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_report
short_description: Say what a run did, and end its hold on the state folder
description:
  - Reads the summary that the stages of this run have kept in C(summary.json).
extends_documentation_fragment:
  - rehome
  - rehome.attributes
"""

EXAMPLES = r"""
- name: Sum up
  migration_report:
    settings: "{{ rehome_settings }}"
  register: report
"""

RETURN = r"""
summary:
  description: The summary, as it stands in C(summary.json).
  returned: success
  type: dict
lines:
  description: The summary for a terminal.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.argument_spec import ARGUMENT_SPEC
from rehome.ansible_module.run import run_stage
from rehome.ansible_module.stage import Stage
from rehome.state.sync import save_state


def work(stage: Stage) -> dict[str, object]:
    summary = stage.summary()
    save_state(stage.settings)
    stage.release()
    return {"changed": False, "summary": summary.facts, "lines": summary.lines()}


if __name__ == "__main__":
    run_stage(AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True), work)

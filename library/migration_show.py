#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_show
short_description: Show objects or rows of a class of the last run
version_added: "0.2.0"
description:
  - Shows what the last run has counted in a class, from its list, its catalog, or the samples of its report.
  - Reads the state folder alone.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
options:
  name:
    description: The class, such as V(foreign), or V(rows-foreign) for rows alone.
    type: str
    required: true
  limit:
    description: How many of each class to show.
    type: int
    default: 20
  form:
    description: For people, or for programs.
    type: str
    choices: [text, csv, json]
    default: text
attributes:
  diff_mode:
    support: none
seealso:
  - module: rehome.rehome.migration_pages
    description: Writes the whole report.
"""

EXAMPLES = r"""
- name: Show what is not under the map
  migration_show:
    settings: "{{ rehome_settings }}"
    name: foreign
  register: foreign
"""

RETURN = r"""
lines:
  description: The entries, one a line.
  returned: success
  type: list
  elements: str
  sample: ["rows-foreign: 2 of 2, from the catalog", "  value_begins_with=static/"]
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_beside
from rehome.config.settings import Settings
from rehome.report.again import read_report
from rehome.report.showing import MOST, chosen, lines_of, show

OPTIONS = {
    "name": {"type": "str", "required": True},
    "limit": {"type": "int", "default": 20},
    "form": {"type": "str", "choices": ["text", "csv", "json"], "default": "text"},
}


def work(settings: Settings, params: Mapping[str, Any], _dry_run: bool) -> dict[str, object]:
    """Return the entries of the classes of this name."""
    state_dir = settings.state_dir
    report = read_report(state_dir)
    limit = min(max(1, params["limit"]), MOST)
    some = [show(state_dir, report, one, limit) for one in chosen(report, params["name"])]
    return {"changed": False, "lines": lines_of(some, params["form"])}


if __name__ == "__main__":
    run_beside(AnsibleModule, work, OPTIONS)

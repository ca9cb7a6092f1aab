#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_show
short_description: Show objects or rows of a class of the last run
version_added: "0.2.0"
description:
  - Shows what the last run has counted in a class, from its list, its catalog, or the samples of its report. Where it
    has kept none, such as a verification, what the newest run of another verb has kept is shown.
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
    description: How many of each class to show, from 1 to 10,000.
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
older_run:
  description: Which run it is of, where that is not the last one.
  returned: success
  type: str
  sample: >-
    The last run (verify, 2026-11-29T13:02:11 UTC) has not counted this class. This is what an earlier one has found
    (plan, 2026-11-29T12:58:40 UTC).
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_beside
from rehome.codes import Code
from rehome.config.settings import Settings
from rehome.errors import RefusedError
from rehome.report.again import earlier_reports, read_report
from rehome.report.showing import MOST, find, lines_of

OPTIONS = {
    "name": {"type": "str", "required": True},
    "limit": {"type": "int", "default": 20},
    "form": {"type": "str", "choices": ["text", "csv", "json"], "default": "text"},
}


def work(settings: Settings, params: Mapping[str, Any], _dry_run: bool) -> dict[str, object]:
    """Return the entries of the classes of this name."""
    state_dir, limit = settings.state_dir, params["limit"]
    if not 1 <= limit <= MOST:
        way_out = "A class with a list has all in its file in lists/"
        raise RefusedError.of("show_limit", str(limit), f"is not from 1 to {MOST:,}", way_out, Code.UNUSABLE_VALUE)
    last = read_report(state_dir)
    found = find(state_dir, [last, *earlier_reports(state_dir, last)], params["name"], limit)
    return {"changed": False, "lines": lines_of(found.parts, params["form"]), "older_run": found.older}


if __name__ == "__main__":
    run_beside(AnsibleModule, work, OPTIONS)

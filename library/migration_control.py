#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_control
short_description: Look at a run that is at work, pause it, and set its limits
version_added: "0.2.0"
description:
  - Tells what runs, since when, by whom, where and how far, and what it is held to.
  - Pauses and resumes it, and sets limits, by the control file in its state folder or by its row in the database.
  - Takes no lock, so that it works beside the run, and waits some seconds for the run to take an order up.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
options:
  action:
    description: What to do.
    type: str
    choices: [status, pause, resume, set]
    default: status
  door:
    description: By what to reach the run. V(auto) is its state folder if the run works in it, or else the database.
    type: str
    choices: [auto, file, database]
    default: auto
  limits:
    description: >-
      The limits to set, by name. Each is a number, C(none) for no limit, or C(default) for that of the settings. Empty
      ones are left as they are.
    type: dict
    default: {}
attributes:
  diff_mode:
    support: none
seealso:
  - module: rehome.rehome.s3_batch_copy
    description: Can be paused.
  - module: rehome.rehome.db_path_rewrite
    description: Can be paused.
"""

EXAMPLES = r"""
- name: Let the run go easy
  migration_control:
    settings: "{{ rehome_settings }}"
    action: set
    limits: {objects_per_second: "200", requests: "32"}
"""

RETURN = r"""
lines:
  description: How it stands, as lines for a terminal.
  returned: success
  type: list
  elements: str
  sample:
    - "avatars: migrate, process 4711 of anna on ops1, since 2026-11-29T13:02:11+00:00"
    - "stage    copy at 700 of 1,000 (70%), 62.0/s, 0:00:05 left"
place:
  description: Whether a run is at work V(here), in this state folder, V(elsewhere), or V(nowhere).
  returned: success
  type: str
  sample: here
paused:
  description: Whether a pause is asked for.
  returned: success
  type: bool
  sample: false
did:
  description: How the run stands then, in one line.
  returned: success
  type: str
  sample: paused, in copy
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_beside
from rehome.config.settings import Settings
from rehome.job import read_job
from rehome.stages.control_run import control_run

OPTIONS = {
    "action": {"type": "str", "choices": ["status", "pause", "resume", "set"], "default": "status"},
    "door": {"type": "str", "choices": ["auto", "file", "database"], "default": "auto"},
    "limits": {"type": "dict", "default": {}},
}


def work(settings: Settings, params: Mapping[str, Any], dry_run: bool) -> dict[str, object]:
    """Do what is asked, and return how it stands."""
    given = {name: str(value) for name, value in params["limits"].items() if value not in (None, "")}
    job = read_job(params["run_job"])
    done = control_run(settings, params["action"], given, params["door"], job=job, dry_run=dry_run)
    standing = done.standing
    return {
        "changed": done.changed,
        "lines": done.lines,
        "place": standing.place,
        "paused": standing.paused,
        "did": done.did,
    }


if __name__ == "__main__":
    run_beside(AnsibleModule, work, OPTIONS)

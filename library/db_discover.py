#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: db_discover
short_description: Find every column of the database that names objects of the source
version_added: "0.2.0"
description:
  - Searches all columns that may hold texts for values that name objects under the source's prefix, as a whole or
    inside a text.
  - Small tables are read as a whole, large ones by samples, and as a whole where a sample finds something.
  - Reads only, in short statements, and pauses when the throttle says so.
  - If it is interrupted, it goes on where it was when it runs again with the same settings.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
seealso:
  - module: rehome.rehome.migration_preflight
    description: Warns of the columns that were found and are no references.
  - module: rehome.rehome.s3_batch_delete
    description: Refuses to retire objects that such a column names.
"""

EXAMPLES = r"""
- name: Find every column
  db_discover:
    settings: "{{ rehome_settings }}"
  register: discovered
"""

RETURN = r"""
lines:
  description: What was found, for a terminal.
  returned: success
  type: list
  elements: str
  sample: ["names    thumbs.url  key  1,204 rows"]
references:
  description: What to add to C(rehome_references), as YAML. Empty if there is nothing to add.
  returned: success
  type: str
  sample: "rehome_references:\n  - {table: thumbs, column: url, form: key}"
did:
  description: What was done, in one line.
  returned: success
  type: str
  sample: 320 columns searched in 2.4 s
outcome:
  description: What was found, in one line.
  returned: success
  type: str
  sample: "columns that name objects and are neither references nor acknowledged: 1"
counts:
  description: The number of columns by what is known of them.
  returned: success
  type: dict
  sample: {columns_reference: 1, columns_names: 1, columns_may: 0, columns_none: 320, columns_not_searched: 2}
file:
  description: The file in the state folder that has all columns.
  returned: success
  type: str
  sample: /srv/ops/.rehome/rehome-prod/avatars/discover.json
sha256:
  description: The checksum of that file.
  returned: success
  type: str
  sample: 9f2feb0f1ef425b292f2f94bc8482494df430413c3d4d8a6c1c2f2fd5c1e5b3a
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.discover.result import result_of
from rehome.stages.discover import discover
from rehome.state.sync import download_state, upload_state


def work(stage: Stage) -> dict[str, object]:
    """Search the database, and keep what was found in the state folder."""
    download_state(stage.settings)
    with stage.stopping.finishing():
        record = discover(stage.settings, stage.progress, lambda: stage.stopping.requested)
    upload_state(stage.settings)
    stage.release()
    return {"changed": False, **(result_of(stage.settings, record) if record else {})}


if __name__ == "__main__":
    run_module(AnsibleModule, work)

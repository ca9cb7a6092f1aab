#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_verify
short_description: Look at both buckets and the database again, from nothing, and judge
description:
  - Needs no plan and no catalog of an earlier stage, and no more than rights to read.
  - Where there is a journal, each row that it says was rewritten is compared with what it was given. Ranges of rows are
    compared by their checksums, and those that differ row by row.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
"""

EXAMPLES = r"""
- name: Verify
  migration_verify:
    settings: "{{ rehome_settings }}"
  register: verdict
"""

RETURN = r"""
complete:
  description: Whether everything is moved that the policies do not keep.
  returned: success
  type: bool
problems:
  description: What is left, one message each.
  returned: success
  type: list
  elements: str
objects_compared:
  description: How many source objects were held against the target's.
  returned: success
  type: int
objects_sampled:
  description: How many objects were read on both sides and compared byte by byte.
  returned: success
  type: int
objects_differing:
  description: How many of those differ.
  returned: success
  type: int
objects_weak:
  description: How many objects of ours nothing but their size speaks for.
  returned: success
  type: int
rows_compared:
  description: How many rows under the map were held against the objects.
  returned: success
  type: int
rows_checked:
  description: How many rewritten rows were held against the journal. 0 where it has none of this migration.
  returned: success
  type: int
ranges_checked:
  description: How many ranges of those rows were compared by their checksums.
  returned: success
  type: int
ranges_differing:
  description: How many of them were gone through row by row.
  returned: success
  type: int
rows_changed_since:
  description: How many rewritten rows the application has given another value of its own.
  returned: success
  type: int
rows_gone:
  description: How many rewritten rows are not there any more.
  returned: success
  type: int
rows_wrong:
  description: How many rewritten rows hold the old value again, or a value whose object is nowhere.
  returned: success
  type: int
rows_without_object:
  description: How many rewritten rows name an object that is not in the target.
  returned: success
  type: int
lists:
  description: The class of what needs a human → file, count and sha256 of its list.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.argument_spec import ARGUMENT_SPEC
from rehome.ansible_module.run import run_stage
from rehome.ansible_module.stage import Stage
from rehome.planning.passes import left_of_slice
from rehome.report.lists import VERIFY_LISTS
from rehome.stages.verify import verify
from rehome.state.completion import note_completion


def work(stage: Stage) -> dict[str, object]:
    with stage.new_catalog("verify.duckdb") as catalog:
        found = verify(stage.on(catalog))
        problems = found.problems + left_of_slice(stage.settings, stage.summary().facts)
        facts = {**found.counts(), "complete": found.complete, "problems": problems}
        # on its own, it is also the only one to count what is there
        alone = not stage.summary().facts["plan_sha256"]
        there = found.plan.counts() | {"plan_sha256": found.plan.sha256} if alone else {}
        lists = stage.report(catalog, VERIFY_LISTS, **(there | facts))
    if found.complete and stage.settings.only_keys is None:  # a slice says nothing of the rest
        note_completion(stage.settings, stage.run_id)
    return {"changed": False, **facts, "lists": lists}


if __name__ == "__main__":
    run_stage(AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True), work)

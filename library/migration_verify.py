#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_verify
short_description: Look at both buckets and the database again, from nothing, and judge
description:
  - Needs no plan and no catalog of an earlier stage, and no more than rights to read.
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
lists:
  description: The class of what needs a human → file, count and sha256 of its list.
  returned: success
  type: dict
"""

from ansible.module_utils.rehome.completion import note_completion
from ansible.module_utils.rehome.module import Stage, run_stage
from ansible.module_utils.rehome.passes import left_of_slice
from ansible.module_utils.rehome.report import VERIFY_LISTS
from ansible.module_utils.rehome.verify import verify


def work(stage: Stage) -> dict[str, object]:
    with stage.new_catalog("verify.duckdb") as catalog:
        found = verify(stage.settings, catalog, stage.progress)
        problems = found.problems + left_of_slice(stage.settings, stage.summary().facts)
        facts = {**found.counts(), "complete": found.complete, "problems": problems}
        # on its own, it is also the only one to count what is there
        alone = not stage.summary().facts["plan_sha256"]
        there = found.plan.counts() | {"plan_sha256": found.plan.sha256} if alone else {}
        lists = stage.report(catalog, VERIFY_LISTS, **(there | facts))
    if found.complete and stage.settings.only_keys is None:  # a slice says nothing of the rest
        note_completion(stage.settings, stage.run)
    return {"changed": False, **facts, "lists": lists}


if __name__ == "__main__":
    run_stage(work)

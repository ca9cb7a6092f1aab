#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_batch_copy
short_description: Copy the objects of a plan, and verify each
description:
  - Copies what the plan of the same run calls to copy, each object under conditions on both ends. The service copies
    where it can; otherwise objects are read from one service and written to the other.
  - Nothing in the target is replaced unless the policy for conflicts is V(overwrite); nothing is ever deleted.
  - Asks for archived objects to be restored, where O(settings.restore) says so.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
attributes:
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Copy the objects
  s3_batch_copy:
    settings: "{{ rehome_settings }}"
"""

RETURN = r"""
counts:
  description: What became of the objects, by outcome.
  returned: success
  type: dict
lists:
  description: The class of what needs a human → file, count and sha256 of its list.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.argument_spec import ARGUMENT_SPEC
from rehome.ansible_module.run import run_stage
from rehome.ansible_module.stage import Stage
from rehome.planning.passes import grown
from rehome.report.lists import OUTCOME_LISTS, failures
from rehome.stages.copy_objects import CopyCounts, copy_planned, objects_to_copy
from rehome.stages.restore_archived import restore_archived


def work(stage: Stage) -> dict[str, object]:
    with stage.catalog() as catalog:
        to_copy = objects_to_copy(catalog, stage.settings)
        diff = {
            "before": f"{to_copy} objects only in {stage.settings.source.bucket}\n",
            "after": f"{to_copy} objects also in {stage.settings.target.bucket}\n",
        }
        if stage.dry_run:
            return {"changed": to_copy > 0, "counts": {"objects_to_copy": to_copy}, "lists": {}, "diff": diff}
        done = CopyCounts()
        try:
            with stage.held(), stage.stoppable() as stopping:
                copy_planned(stage.on(catalog, stopping), done)
                restores = restore_archived(stage.on(catalog, stopping))
        finally:
            facts = {"copy_method": done.method, "failures": failures(catalog)}
            counts = grown(stage.summary().facts, done.counts())
            lists = stage.report(catalog, OUTCOME_LISTS, **counts, **facts)
        stage.summary().add(**restores.counts())
    changed = done.copied > 0 or restores.requested > 0
    return {"changed": changed, "counts": done.counts() | restores.counts(), "lists": lists, "diff": diff}


if __name__ == "__main__":
    run_stage(AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True), work)

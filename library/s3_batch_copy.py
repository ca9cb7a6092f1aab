#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_batch_copy
short_description: Copy the objects of a plan, and verify each
version_added: "0.1.0"
description:
  - Copies what the plan of the same run says to copy, each object under conditions on both sides. The service copies
    if it can. Otherwise objects are read from one service and written to the other.
  - Replaces nothing in the target unless the policy for conflicts is V(overwrite), and never deletes.
  - Requests the restoration of archived objects, if O(settings.restore) is set.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
attributes:
  diff_mode:
    support: full
seealso:
  - module: rehome.rehome.migration_plan
    description: Plans the objects.
  - module: rehome.rehome.db_path_rewrite
    description: Follows.
  - module: rehome.rehome.s3_remove_copies
    description: Removes the copies after a rollback.
"""

EXAMPLES = r"""
- name: Copy the objects
  s3_batch_copy:
    settings: "{{ rehome_settings }}"
"""

RETURN = r"""
did:
  description: What the stage did, or would do in check mode, in one line.
  returned: success
  type: str
  sample: 1,000 objects copied (531.1 KiB) in 3.1 s
counts:
  description:
    - The number of objects by outcome. In check mode only C(objects_to_copy).
    - With O(settings.cluster), also how many C(movers) have copied.
  returned: success
  type: dict
  sample:
    objects_copied: 1000
    objects_changed: 0
    objects_found_archived: 0
    objects_failed: 0
    bytes_copied: 543854
    objects_restoring: 0
    objects_not_restored: 0
lists:
  description:
    - The files in the state folder that list what needs attention, by class.
    - Each has its C(file), the C(count) of its lines and their C(sha256). A class without a line is left out.
  returned: success
  type: dict
  sample:
    objects-failed:
      file: /srv/ops/.rehome/rehome-prod/avatars/lists/objects-failed.jsonl
      count: 2
      sha256: 9f2feb0f1ef425b292f2f94bc8482494df430413c3d4d8a6c1c2f2fd5c1e5b3a
"""

from collections import Counter
from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.report.fields import SummaryFields
from rehome.report.lists import OUTCOME_LISTS, failures
from rehome.report.samples import added_proofs, proofs_of_copies
from rehome.stages.copy_objects import CopyCounts, copy_planned, objects_to_copy
from rehome.stages.passes import add_earlier_passes
from rehome.stages.restore_archived import restore_archived


def work(stage: Stage) -> dict[str, object]:
    """Copy the planned objects, and request the restore of archived ones."""
    with stage.catalog() as catalog:
        to_copy = objects_to_copy(catalog, stage.settings)
        diff = {
            "before": f"{to_copy} objects only in {stage.settings.source.bucket}\n",
            "after": f"{to_copy} objects also in {stage.settings.target.bucket}\n",
        }
        if stage.dry_run:
            return {"changed": to_copy > 0, "counts": {"objects_to_copy": to_copy}, "lists": {}, "diff": diff}
        done = CopyCounts(planned=to_copy)
        try:
            with stage.locked_unless_dry(), stage.stoppable(catalog) as run:
                copy_planned(run, done)
                restores = restore_archived(run)
        finally:
            counts = add_earlier_passes(stage.summary().fields, done.counts())
            outcome = SummaryFields(
                copy_method=done.method, failures=failures(catalog), movers=_added(stage.summary().fields, done.movers)
            )
            proofs = added_proofs(stage.record.kept.get("proofs", {}).get("copied", []), proofs_of_copies(catalog))
            stage.record.keep(proofs={"copied": proofs})
            lists = stage.report(catalog, OUTCOME_LISTS, counts, **outcome)
        stage.summary().add(restores.counts())
    changed = done.copied > 0 or restores.requested > 0
    movers = {"movers": len(done.movers)} if done.movers else {}
    return {"changed": changed, "counts": done.counts() | restores.counts() | movers, "lists": lists, "diff": diff}


def _added(before: SummaryFields, movers: Mapping[str, int]) -> dict[str, int]:
    """Return each mover's objects in all passes of the run so far."""
    return dict(Counter(before.get("movers", {})) + Counter(movers))


if __name__ == "__main__":
    run_module(AnsibleModule, work)

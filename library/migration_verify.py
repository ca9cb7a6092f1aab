#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_verify
short_description: Verify both buckets and the database again, without relying on earlier stages
version_added: "0.1.0"
description:
  - Needs no plan and no catalog of an earlier stage. Rights to read are enough.
  - If there is a journal, each row that it records as rewritten is compared with the value that was written. Ranges of
    rows are compared by checksum, and those that differ row by row.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
seealso:
  - module: rehome.rehome.migration_report
    description: Reports the result.
  - module: rehome.rehome.migration_plan
"""

EXAMPLES = r"""
- name: Verify
  migration_verify:
    settings: "{{ rehome_settings }}"
  register: verdict
"""

RETURN = r"""
did:
  description: What the stage did, or would do in check mode, in one line.
  returned: success
  type: str
  sample: 1,000 of 1,000 objects, 1,000 of 1,000 rows verified in 2.5 s
complete:
  description: Whether everything is moved, except what a policy keeps.
  returned: success
  type: bool
  sample: true
problems:
  description: What is left, one message each.
  returned: success
  type: list
  elements: str
  sample: []
codes:
  description: The codes of the problems, which are headings of docs/runbook.md.
  returned: if there is one
  type: list
  elements: str
  sample: [RH-608]
objects_compared:
  description: The number of source objects that were compared with the target's.
  returned: success
  type: int
  sample: 1000
objects_sampled:
  description: The number of objects that were read on both sides and compared byte by byte.
  returned: success
  type: int
  sample: 0
objects_differing:
  description: The number of sampled objects that differ.
  returned: success
  type: int
  sample: 0
objects_weak:
  description: The number of our copies that only their size proves.
  returned: success
  type: int
  sample: 0
rows_compared:
  description: The number of rows under the key map that were compared with the objects.
  returned: success
  type: int
  sample: 1000
rows_checked:
  description:
    - The number of rewritten rows that were compared with the journal. 0 if it has none of this migration, or all were
      rolled back.
  returned: success
  type: int
  sample: 1000
ranges_checked:
  description: The number of ranges of those rows that were compared by checksum.
  returned: success
  type: int
  sample: 4
ranges_differing:
  description: The number of ranges that were compared row by row.
  returned: success
  type: int
  sample: 0
rows_changed_since:
  description: The number of rewritten rows that the application has changed since.
  returned: success
  type: int
  sample: 0
rows_gone:
  description: The number of rewritten rows that no longer exist.
  returned: success
  type: int
  sample: 0
rows_wrong:
  description: The number of rewritten rows that hold the old value again, or a value whose object does not exist.
  returned: success
  type: int
  sample: 0
rows_without_object:
  description: The number of rewritten rows whose object is not in the target.
  returned: success
  type: int
  sample: 0
lists:
  description:
    - The files in the state folder that list what needs attention, by class.
    - Each has its C(file), the C(count) of its lines and their C(sha256). A class without a line is left out.
  returned: success
  type: dict
  sample:
    rows-dangling:
      file: /srv/ops/.rehome/rehome-prod/avatars/lists/rows-dangling.jsonl
      count: 2
      sha256: 9f2feb0f1ef425b292f2f94bc8482494df430413c3d4d8a6c1c2f2fd5c1e5b3a
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.report.lists import VERIFY_LISTS
from rehome.report.samples import class_facts, proofs_of_present
from rehome.stages.passes import counts_of_all_passes, unmoved_of_slice
from rehome.stages.verify import verify
from rehome.state.completion import record_completion


def work(stage: Stage) -> dict[str, object]:
    """Verify objects and rows without an earlier catalog, and record whether the migration is complete."""
    with stage.new_catalog("verify.duckdb") as catalog:
        found = verify(stage.on(catalog))
        before = stage.summary().fields
        problems = found.problems + unmoved_of_slice(stage.settings, before)
        # without a plan before it, it is also the only one to count what exists
        counts = (
            found.counts() if before["plan_sha256"] else counts_of_all_passes(before, found.plan)[0] | found.counts()
        )
        proofs = stage.record.kept.get("proofs", {})
        stage.record.keep(proofs={**proofs, "verified": proofs_of_present(catalog)}, classes=class_facts(catalog))
        digest = before["plan_sha256"] or found.plan.sha256
        lists = stage.report(
            catalog,
            VERIFY_LISTS,
            counts,
            plan_sha256=digest,
            complete=found.complete,
            problems=problems,
            left=found.left,
        )
    # a slice proves nothing about other objects, nor does a source without any
    if found.complete and stage.settings.only_keys is None and "source_empty" not in found.left:
        record_completion(stage.settings, stage.run_id)
    return {
        "changed": False,
        **found.counts(),
        "complete": found.complete,
        "outcome": stage.summary().fields["outcome"],
        "problems": problems,
        "lists": lists,
    }


if __name__ == "__main__":
    run_module(AnsibleModule, work)

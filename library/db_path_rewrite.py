#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: db_path_rewrite
short_description: Rewrite the rows of a plan whose objects are verified in the target
version_added: "0.1.0"
description:
  - Works in chunks. Each is one transaction that locks its rows, compares them byte for byte with what the plan read,
    rewrites them and writes the journal.
  - Rows that the application has changed in the meantime are left unchanged and listed.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
attributes:
  diff_mode:
    support: full
seealso:
  - module: rehome.rehome.migration_plan
    description: Plans the rows.
  - module: rehome.rehome.s3_batch_copy
    description: Copies and verifies the objects first.
  - module: rehome.rehome.db_path_rollback
    description: Undoes the rewrite.
"""

EXAMPLES = r"""
- name: Rewrite the rows
  db_path_rewrite:
    settings: "{{ rehome_settings }}"
"""

RETURN = r"""
did:
  description: What the stage did, or would do in check mode, in one line.
  returned: success
  type: str
  sample: 1,000 rows rewritten in 0.4 s
counts:
  description: The number of rows by outcome. In check mode only C(rows_to_rewrite).
  returned: success
  type: dict
  sample:
    rows_rewritten: 1000
    rows_changed_by_app: 0
    rows_refused: 0
lists:
  description:
    - The files in the state folder that list what needs attention, by class.
    - Each has its C(file), the C(count) of its lines and their C(sha256). A class without a line is left out.
  returned: success
  type: dict
  sample:
    rows-changed-by-app:
      file: /srv/ops/.rehome/rehome-prod/avatars/lists/rows-changed-by-app.jsonl
      count: 2
      sha256: 9f2feb0f1ef425b292f2f94bc8482494df430413c3d4d8a6c1c2f2fd5c1e5b3a
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.report.lists import OUTCOME_LISTS
from rehome.stages.chunk_runner import sum_pauses
from rehome.stages.passes import add_earlier_passes
from rehome.stages.rewrite_rows import RewriteCounts, rewrite_planned, rows_to_rewrite, sample_diffs


def work(stage: Stage) -> dict[str, object]:
    """Rewrite the planned rows, and report what was done even if the run fails or is stopped."""
    with stage.catalog() as catalog:
        diff, rows = sample_diffs(stage.settings, catalog), rows_to_rewrite(stage.settings, catalog)
        if stage.dry_run:
            return {"changed": rows > 0, "counts": {"rows_to_rewrite": rows}, "lists": {}, "diff": diff}
        done = RewriteCounts(planned=rows)
        try:
            with stage.locked_unless_dry(), stage.stoppable(catalog) as run:
                rewrite_planned(run, done)
        finally:
            before = stage.summary().fields
            counts = add_earlier_passes(before, done.counts())
            pauses = sum_pauses(before["throttled_s"], done.throttled_s)
            lists = stage.report(catalog, OUTCOME_LISTS, counts, throttled_s=pauses)
    return {"changed": done.rewritten > 0, "counts": done.counts(), "lists": lists, "diff": diff}


if __name__ == "__main__":
    run_module(AnsibleModule, work)

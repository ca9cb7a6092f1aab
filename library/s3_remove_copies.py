#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_remove_copies
short_description: Remove the copies that a migration has made, after its rows are rolled back
version_added: "0.1.0"
description:
  - Lists both buckets and reads every row of the references again. Deletes the target's objects that the C(outcomes) in
    the state folder record as copies of this migration, that are unchanged, that the source has with the same content,
    and that no row names. Each is deleted only if its ETag is still the one that was compared.
  - Needs the target bucket's name again in O(settings.confirm). The next migration copies the objects again.
  - Continues the C(summary.json) of the rollback. In check mode, the rows of that rollback count as rolled back.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
attributes:
  diff_mode:
    support: full
seealso:
  - module: rehome.rehome.db_path_rollback
    description: Run it first.
  - module: rehome.rehome.s3_batch_copy
    description: Made the copies.
"""

EXAMPLES = r"""
- name: Remove the copies
  s3_remove_copies:
    settings: "{{ rehome_settings }}"
"""

RETURN = r"""
did:
  description: What the stage did, or would do in check mode, in one line.
  returned: success
  type: str
  sample: 1,000 copies removed (531.1 KiB) in 2.2 s
counts:
  description: The number of copies that were removed, and of objects that were kept, by reason.
  returned: success
  type: dict
  sample:
    copies_to_remove: 1000
    bytes_to_remove: 543854
    copies_removed: 1000
    bytes_removed: 543854
    copies_kept_referenced: 0
lists:
  description:
    - The files in the state folder that list what was removed and kept, by class.
    - Each has its C(file), the C(count) of its lines and their C(sha256). A class without a line is left out.
  returned: success
  type: dict
  sample:
    copies-kept-referenced:
      file: /srv/ops/.rehome/rehome-prod/avatars/lists/copies-kept-referenced.jsonl
      count: 2
      sha256: 9f2feb0f1ef425b292f2f94bc8482494df430413c3d4d8a6c1c2f2fd5c1e5b3a
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import CATALOG_FILE, Stage
from rehome.codes import Code, marked
from rehome.report.fields import KEPT_COPIES
from rehome.report.lists import REMOVE_LISTS
from rehome.stages.remove_copies import inspect_target, plan_removal, remove_copies, warnings_of
from rehome.state.completion import withdraw_completion
from rehome.state.outcomes import export_leftover_outcomes


def work(stage: Stage) -> dict[str, object]:
    """Plan the removal of this migration's copies from fresh listings, and delete them."""
    settings, summary = stage.settings, stage.summary()
    before, unfinished = summary.fields.copy(), [marked("the copies are not all removed", Code.INTERRUPTED)]
    summary.add(complete=False, problems=before["problems"] + unfinished)
    bucket = inspect_target(settings, stage.dry_run)
    # from the first read on: a migration elsewhere would rely on the copies
    with stage.locked_unless_dry():
        # the last copies of a killed migration are recorded in its catalog only
        export_leftover_outcomes(settings.state_dir / CATALOG_FILE, settings.state_dir)
        with stage.new_catalog("removal.duckdb") as catalog:
            dry_rollback = settings.state_dir / "rollback.duckdb" if stage.dry_run else None
            counts = plan_removal(stage.on(catalog), bucket, dry_rollback)
            try:
                if not stage.dry_run:
                    withdraw_completion(settings, stage.run_id)
                    with stage.stoppable(catalog) as run:
                        remove_copies(run, bucket, counts)
                unfinished = []
            finally:
                named = counts.named("copies", "remove", KEPT_COPIES) | {"copies_expected": counts.expected}
                problems = before["problems"] + counts.problems() + unfinished
                complete = before["complete"] and not problems and not (stage.dry_run and counts.to_delete)
                left = before["left"] | counts.left("copies", KEPT_COPIES)
                warnings = bucket.warnings + warnings_of(catalog)
                lists = stage.report(catalog, REMOVE_LISTS, named, problems=problems, complete=complete, left=left)
    diff = counts.diff("copies to remove", settings.target.bucket)
    return {
        "changed": counts.changes(stage.dry_run),
        "counts": named,
        "lists": lists,
        "warnings": warnings,
        "diff": diff,
    }


if __name__ == "__main__":
    run_module(AnsibleModule, work)

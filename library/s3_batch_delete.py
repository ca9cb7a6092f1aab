#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_batch_delete
short_description: Retire legacy objects, or remove their delete markers
version_added: "0.1.0"
description:
  - Lists both buckets and reads every row of the references again. Deletes the source's objects that have the same
    content in the target, that no row names, and that are older than O(settings.retire_after). Each is deleted only if
    its ETag is still the one that was compared.
  - Needs the bucket's name again in O(settings.confirm), and a bucket with versioning, unless
    O(settings.retire_unversioned) explicitly allows otherwise.
  - Records the version id of each delete marker in the folder C(retired) of the state folder. With
    O(settings.retire_restore) exactly those markers are removed.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
attributes:
  diff_mode:
    support: full
seealso:
  - module: rehome.rehome.migration_verify
    description: Run it first.
  - module: rehome.rehome.s3_redirect
    description: Keeps old URLs working.
"""

EXAMPLES = r"""
- name: Retire the legacy objects
  s3_batch_delete:
    settings: "{{ rehome_settings }}"
"""

RETURN = r"""
did:
  description: What the stage did, or would do in check mode, in one line.
  returned: success
  type: str
  sample: 1,000 objects deleted (531.1 KiB) in 2.2 s
counts:
  description: The number of objects that were retired or undeleted, and of those that were kept, by reason.
  returned: success
  type: dict
  sample:
    objects_to_retire: 998
    bytes_to_retire: 542000
    objects_retired: 998
    bytes_retired: 542000
    objects_kept_referenced: 2
    objects_kept_too_young: 0
lists:
  description:
    - The files in the state folder that list what was retired and kept, by class.
    - Each has its C(file), the C(count) of its lines and their C(sha256). A class without a line is left out.
  returned: success
  type: dict
  sample:
    objects-kept-referenced:
      file: /srv/ops/.rehome/rehome-prod/avatars/lists/objects-kept-referenced.jsonl
      count: 2
      sha256: 9f2feb0f1ef425b292f2f94bc8482494df430413c3d4d8a6c1c2f2fd5c1e5b3a
"""

from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.catalog.catalog import Catalog
from rehome.report.fields import KEPT_OBJECTS, SummaryFields
from rehome.report.lists import RETIRE_LISTS, UNDELETE_LISTS
from rehome.report.summary import UNFINISHED
from rehome.stages.delete_objects import DeleteCounts
from rehome.stages.retire import (
    inspect_source,
    nothing_recorded,
    plan_retirement,
    retire,
    undelete_retired,
    warnings,
)


def work(stage: Stage) -> dict[str, object]:
    """Retire legacy objects, or undelete those that were retired (`retire_restore`)."""
    return undeleted(stage) if stage.settings.retire.restore else retired(stage)


def retired(stage: Stage) -> dict[str, object]:
    """Plan the retirement from fresh listings, and delete the objects."""
    bucket = inspect_source(stage.settings, stage.dry_run)
    # from the first read on: a rollback elsewhere would roll rows back to what is being deleted
    with stage.locked_unless_dry(), stage.new_catalog("retire.duckdb") as catalog:
        counts = plan_retirement(stage.on(catalog), bucket)
        unfinished = [UNFINISHED]
        try:
            if not stage.dry_run:
                with stage.stoppable(catalog) as run:
                    retire(run, bucket, counts)
            unfinished = []
        finally:
            result = reported(stage, catalog, RETIRE_LISTS, counts, unfinished)
    diff = counts.diff("objects to retire", stage.settings.source.bucket)
    warned = warnings(bucket)
    return {**result, "changed": counts.changes(stage.dry_run), "warnings": warned, "diff": diff}


def undeleted(stage: Stage) -> dict[str, object]:
    """Remove the delete markers that an earlier retirement recorded."""
    counts = DeleteCounts()
    with stage.locked_unless_dry(), stage.new_catalog("retire.duckdb") as catalog:
        unfinished = [UNFINISHED]
        try:
            with stage.stoppable(catalog) as run:
                undelete_retired(run, counts, stage.dry_run)
            unfinished = nothing_recorded(catalog, stage.settings)
        finally:
            result = reported(stage, catalog, UNDELETE_LISTS, counts, unfinished)
    diff = {"before": f"{counts.brought_back} delete markers\n", "after": "0 delete markers\n"}
    return {**result, "changed": counts.brought_back > 0, "diff": diff}


def reported(
    stage: Stage, catalog: Catalog, queries: Mapping[str, str], counts: DeleteCounts, unfinished: list[str]
) -> dict[str, object]:
    """Write the lists and the summary, and return the counts and lists of the result.

    unfinished: why the work is not done, beside what `counts` says
    """
    problems, restores = counts.problems() + unfinished, stage.settings.retire.restore
    complete = not (problems or stage.dry_run)
    left = counts.left("objects", KEPT_OBJECTS)
    outcome = SummaryFields(dry_run=stage.dry_run, restores=restores, problems=problems, complete=complete, left=left)
    named = counts.named("objects", "retire", KEPT_OBJECTS)
    return {"counts": named, "lists": stage.report(catalog, queries, named, **outcome)}


if __name__ == "__main__":
    run_module(AnsibleModule, work)

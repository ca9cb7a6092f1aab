#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_plan
short_description: Plan a migration
version_added: "0.1.0"
description:
  - Lists both buckets and reads the referencing columns into the catalog, and puts every object and every row in a
    class.
  - Writes nothing but files in the state folder, so rights to read are enough.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
seealso:
  - module: rehome.rehome.migration_preflight
    description: Checks everything first.
  - module: rehome.rehome.s3_batch_copy
    description: Copies what is planned.
  - module: rehome.rehome.db_path_rewrite
    description: Rewrites what is planned.
"""

EXAMPLES = r"""
- name: Make the plan
  migration_plan:
    settings: "{{ rehome_settings }}"
  register: plan
"""

RETURN = r"""
did:
  description: What the stage did, or would do in check mode, in one line.
  returned: success
  type: str
  sample: 1,000 objects to copy (531.1 KiB), 1,000 rows to rewrite in 1.7 s
plan_sha256:
  description: The digest of the plan. The same buckets, rows and policies give the same digest.
  returned: success
  type: str
  sample: b827db92aacda44eddac855405d5cd2d315b17509b9c56f56d79331cf5931867
objects_to_move:
  description: The number of objects that a run would copy, outdated copies included.
  returned: success
  type: int
  sample: 1000
codes:
  description: The codes of the refusals and the warnings, which are headings of docs/runbook.md.
  returned: if there is one
  type: list
  elements: str
  sample: [RH-605]
pass_number:
  description: The pass of the run that this plan starts, from 1.
  returned: success
  type: int
  sample: 1
last_pass:
  description: Whether the rows are rewritten after this pass, without another one before.
  returned: success
  type: bool
  sample: false
whole:
  description: Whether the run may go beyond this plan, to include what the application writes in the meantime.
  returned: success
  type: bool
  sample: true
counts:
  description: The number of objects and rows of each class, and the number of bytes to copy.
  returned: success
  type: dict
  sample:
    objects_to_copy: 1000
    objects_present: 0
    rows_to_rewrite: 1000
    rows_done: 0
    rows_dangling: 0
    rows_remaining: 1000
    bytes_to_copy: 543854
refusals:
  description: Why a run must not continue, one message each. Empty if it may.
  returned: success
  type: list
  elements: str
  sample: []
kept_in:
  description: The place of the folder C(lists), with a slash at its end.
  returned: success
  type: str
  sample: /srv/ops/.rehome/rehome-prod/avatars/
lines:
  description:
    - What the first pass of a run leaves as it is, as lines for a terminal; empty if that is nothing. The end of a dry
      run shows the whole plan.
  returned: success
  type: list
  elements: str
  sample:
    - left     2 conflicts; 1 dangling row
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

import time

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.report.document import measured
from rehome.report.fields import SummaryFields
from rehome.report.lists import OUTCOME_LISTS, ROLLBACK_LISTS, VERIFY_LISTS
from rehome.report.plan_text import left_lines
from rehome.report.samples import class_facts, counts_by_reference, samples_of_plan
from rehome.stages.forecast import forecast
from rehome.stages.passes import counts_of_all_passes, is_last_pass, left_by, plan_pass
from rehome.stages.verify import problems
from rehome.state.completion import withdraw_completion

LISTS = VERIFY_LISTS | OUTCOME_LISTS | ROLLBACK_LISTS


def work(stage: Stage) -> dict[str, object]:
    """Plan the next pass of the run, and report why the run must not continue, if so."""
    settings = stage.settings
    with stage.catalog_of_pass() as catalog:
        began = time.monotonic()
        plan, refusals, warnings, approved = plan_pass(stage.on(catalog), stage.dry_run)
        reading_s = time.monotonic() - began
        before = stage.summary().fields
        counts, passes = counts_of_all_passes(before, plan)
        number = len(passes)
        outcome = SummaryFields(
            passes=passes,
            # the run is known by its first plan
            plan_sha256=plan.sha256 if number == 1 else before["plan_sha256"],
            # a real run does not end with its plan: it keeps the problem that it began with
            approved_plan=approved,
            problems=refusals if refusals or stage.dry_run else before["problems"],
            complete=not (refusals or problems(plan, settings)),
            left=left_by(settings, plan, after_run=True),
            failures={},
        )
        stage.record.keep(
            classes=class_facts(catalog),
            by_reference=counts_by_reference(catalog),
            # a later pass plans what the application wrote meanwhile
            samples=stage.record.kept.get("samples") or samples_of_plan(catalog, settings),
            refusals=refusals,
            warnings=warnings,
        )
        if stage.dry_run:
            method, rates = before["copy_method"], measured(settings.state_dir)
            stage.record.keep(estimate=forecast(catalog, settings, plan, method, reading_s, rates))
        lists = stage.report(catalog, LISTS, counts, **outcome)
    if refusals:  # the playbook ends here
        stage.write_report()
        stage.upload()
    if not (stage.dry_run or refusals) and plan.moves_anything:
        withdraw_completion(settings, stage.run_id)
    return {
        "changed": False,
        "warnings": warnings,
        "counts": plan.counts(),
        "objects_to_move": plan.objects_to_move,
        "pass_number": number,
        "last_pass": is_last_pass(settings, plan, number),
        "whole": settings.whole,
        "plan_sha256": plan.sha256,
        "refusals": refusals,
        "kept_in": before["kept_in"],
        "lists": lists,
        "lines": left_lines(number, plan.counts()),
    }


if __name__ == "__main__":
    run_module(AnsibleModule, work)

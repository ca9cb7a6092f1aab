#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_plan
short_description: See what is there, and say what a migration would do
description:
  - Lists both buckets and reads the referencing columns into the catalog, and gives every object and every row a class.
  - Writes nothing but files in the state folder, so that it needs no more than rights to read.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
"""

EXAMPLES = r"""
- name: Make the plan
  migration_plan:
    settings: "{{ rehome_settings }}"
  register: plan
"""

RETURN = r"""
plan_sha256:
  description: The plan's digest; the same buckets, rows and policies give the same digest.
  returned: success
  type: str
objects_to_move:
  description: How many objects a run would copy, or copy again.
  returned: success
  type: int
pass_number:
  description: Which pass of the run this plan begins, from 1.
  returned: success
  type: int
last_pass:
  description: Whether no other pass follows before the rows are rewritten.
  returned: success
  type: bool
whole:
  description: Whether the run may go beyond this plan, to take in what the application writes meanwhile.
  returned: success
  type: bool
counts:
  description: How many objects and rows there are of each class, and how many bytes are to be copied.
  returned: success
  type: dict
refusals:
  description: Why a run must not go on, one message each; empty where it may.
  returned: success
  type: list
  elements: str
lines:
  description: The plan for a terminal.
  returned: success
  type: list
  elements: str
lists:
  description: The class of what needs a human → file, count and sha256 of its list.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.argument_spec import ARGUMENT_SPEC
from rehome.ansible_module.run import run_stage
from rehome.ansible_module.stage import Stage
from rehome.planning.approval import keep_plan, objections
from rehome.planning.passes import is_last, over_all_passes
from rehome.planning.plan import emptiness, make_plan, other_forms, refusals
from rehome.report.lines import plan_lines
from rehome.report.lists import OUTCOME_LISTS, ROLLBACK_LISTS, VERIFY_LISTS
from rehome.scan.scan import scan
from rehome.stages.verify import problems
from rehome.state.completion import forget_completion


def work(stage: Stage) -> dict[str, object]:
    settings = stage.settings
    with stage.catalog_of_pass() as catalog:
        scan(settings, catalog, stage.progress)
        plan = make_plan(catalog, settings)
        stops = refusals(plan, settings.on_conflict, settings.on_dangling) + objections(catalog, settings, plan)
        found = [str(refusal) for refusal in stops]
        if stage.dry_run:
            keep_plan(catalog, settings, plan)
        counts = over_all_passes(stage.summary().facts, plan)
        number = len(counts["passes"])
        warnings = [*emptiness(plan, settings), *other_forms(catalog, settings)]
        lists = stage.report(
            catalog,
            VERIFY_LISTS | OUTCOME_LISTS | ROLLBACK_LISTS,
            **counts,
            # the run is known by its first plan
            **({"plan_sha256": plan.sha256} if number == 1 else {}),
            # a real run is not over with its plan: it keeps the problem that it began with
            **({"problems": found} if found or stage.dry_run else {}),
            complete=not problems(plan, settings),
        )
    if not (stage.dry_run or found) and plan.moves_anything(settings.on_conflict, settings.on_dangling):
        forget_completion(settings, stage.run)
    return {
        "changed": False,
        "warnings": warnings,
        "counts": plan.counts(),
        "objects_to_move": plan.objects_to_move(settings.on_conflict),
        "pass_number": number,
        "last_pass": is_last(settings, plan, number),
        "whole": settings.whole,
        "plan_sha256": plan.sha256,
        "refusals": found,
        "lists": lists,
        "lines": plan_lines(plan.counts()),
    }


if __name__ == "__main__":
    run_stage(AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True), work)

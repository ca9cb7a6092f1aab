#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: db_path_rewrite
short_description: Rewrite the rows of a plan whose objects are verified in the target
description:
  - Works in chunks; each is one transaction that locks its rows, compares them byte for byte with what the plan saw,
    rewrites them and writes the journal.
  - Rows that the application has changed meanwhile are left alone and listed.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
attributes:
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Rewrite the rows
  db_path_rewrite:
    settings: "{{ rehome_settings }}"
"""

RETURN = r"""
counts:
  description: What became of the rows, by outcome.
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
from rehome.report.lists import OUTCOME_LISTS
from rehome.stages.rewrite_rows import RewriteCounts, rewrite_planned, rows_to_rewrite, sample_diffs


def work(stage: Stage) -> dict[str, object]:
    with stage.catalog() as catalog:
        diff = sample_diffs(stage.settings, catalog)
        if stage.dry_run:
            rows = rows_to_rewrite(stage.settings, catalog)
            return {"changed": rows > 0, "counts": {"rows_to_rewrite": rows}, "lists": {}, "diff": diff}
        done = RewriteCounts()
        try:
            with stage.held(), stage.stoppable() as stopping:
                rewrite_planned(stage.on(catalog, stopping), done)
        finally:
            before = stage.summary().facts
            waited = done.waited(before["throttled_s"])
            lists = stage.report(catalog, OUTCOME_LISTS, **grown(before, done.counts()), throttled_s=waited)
    return {"changed": done.rewritten > 0, "counts": done.counts(), "lists": lists, "diff": diff}


if __name__ == "__main__":
    run_stage(AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True), work)

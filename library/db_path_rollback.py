#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: db_path_rollback
short_description: Roll back the rows that a migration has rewritten
version_added: "0.1.0"
description:
  - Reads the journal from its newest entry. Each chunk is one transaction that locks its rows, compares them byte for
    byte with what the migration wrote, writes what they held before, and writes the journal.
  - Rows that the application has changed or deleted since are left unchanged and listed. So are rows whose object is
    no longer in the source with the content that it has in the target.
  - Starts a new C(summary.json).
extends_documentation_fragment:
  - rehome
  - rehome.attributes
attributes:
  diff_mode:
    support: full
seealso:
  - module: rehome.rehome.db_path_rewrite
    description: Writes the journal.
  - module: rehome.rehome.s3_remove_copies
    description: Removes the copies afterwards.
"""

EXAMPLES = r"""
- name: Roll the rows back
  db_path_rollback:
    settings: "{{ rehome_settings }}"
"""

RETURN = r"""
did:
  description: What the stage did, or would do in check mode, in one line.
  returned: success
  type: str
  sample: 1,000 rows restored in 0.6 s
counts:
  description: The number of rows by outcome.
  returned: success
  type: dict
  sample:
    rows_journalled: 1000
    rows_restored: 998
    rows_changed_since: 2
    rows_gone: 0
    rows_kept: 0
lists:
  description:
    - The files in the state folder that list what needs attention, by class.
    - Each has its C(file), the C(count) of its lines and their C(sha256). A class without a line is left out.
  returned: success
  type: dict
  sample:
    rows-changed-since:
      file: /srv/ops/.rehome/rehome-prod/avatars/lists/rows-changed-since.jsonl
      count: 2
      sha256: 9f2feb0f1ef425b292f2f94bc8482494df430413c3d4d8a6c1c2f2fd5c1e5b3a
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.preflight.preflight import preflight_rollback
from rehome.report.fields import SummaryFields
from rehome.report.lists import ROLLBACK_LISTS
from rehome.report.summary import UNFINISHED
from rehome.stages.chunk_runner import sum_pauses
from rehome.stages.rollback_rows import OBSTRUCTED, inspect_rows, nothing_selected, plan_rollback, roll_back
from rehome.state.completion import withdraw_completion


def work(stage: Stage) -> dict[str, object]:
    """Plan the rollback from the journal, inspect the rows, and roll them back."""
    settings, since = stage.settings, stage.settings.rollback.since
    stage.start_summary("rollback").add(since=since.isoformat() if since else None)
    preflight_rollback(settings, stage.dry_run)
    # from the first read on: a retirement elsewhere would delete the objects that rows are rolled back to
    with stage.locked_unless_dry(), stage.new_catalog("rollback.duckdb") as catalog:
        counts = plan_rollback(stage.on(catalog))
        problems = [UNFINISHED]
        try:
            inspect_rows(stage.on(catalog), counts, OBSTRUCTED)
            if stage.dry_run:
                diff = inspect_rows(stage.on(catalog), counts)
            else:
                if counts.journalled:
                    withdraw_completion(settings, stage.run_id)
                with stage.stoppable(catalog) as run:
                    diff = roll_back(run, counts)
            problems = counts.problems()
            if settings.rollback.copies == "keep":  # copies may be removed though no row named them
                problems += nothing_selected(counts, settings)
        finally:
            complete, pauses = not problems and not counts.to_restore, sum_pauses(counts.throttled_s)
            outcome = SummaryFields(problems=problems, complete=complete, throttled_s=pauses, left=counts.left())
            lists = stage.report(catalog, ROLLBACK_LISTS, counts.counts(), **outcome)
    changed, warnings = counts.to_restore + counts.restored > 0, nothing_selected(counts, settings)
    return {"changed": changed, "counts": counts.counts(), "lists": lists, "diff": diff, "warnings": warnings}


if __name__ == "__main__":
    run_module(AnsibleModule, work)

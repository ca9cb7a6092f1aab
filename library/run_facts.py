#!/usr/bin/python
"""Ansible module: see DOCUMENTATION. What it does is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_facts
short_description: Tell what a run was and how it ended
version_added: "0.2.0"
description:
  - Reads the summary that the stages of this run have written to C(summary.json), if there is one, and puts together
    what the next job of a workflow and the task files of C(rehome_hooks) are given.
  - Never fails, and writes nothing. A run whose settings were refused has facts, too.
options:
  state_dir:
    description: The state folder. Empty or missing if the run did not come so far.
    type: str
  failed:
    description: Whether a task of the run has failed.
    type: bool
    required: true
  counts:
    description: Counts to add to those of the summary.
    type: dict
    default: {}
  outcome:
    description: How the run ended, in words, if the summary does not say.
    type: str
requirements:
  - psutil
notes:
  - Runs on the controller only, in the Python that runs Ansible.
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and report what it would change, without changing it.
  diff_mode:
    support: none
    description: Reports what changes in C(diff) mode.
seealso:
  - module: ansible.builtin.set_stats
    description: Hands the artifacts on.
  - module: rehome.rehome.migration_report
    description: Reports the whole summary.
author:
  - The Rehome authors (@rehome)
"""

EXAMPLES = r"""
- name: Gather what the run was
  run_facts:
    state_dir: "{{ rehome_state_dir }}"
    failed: "{{ inventory_hostname not in ansible_play_hosts }}"
  register: run
"""

RETURN = r"""
artifacts:
  description:
    - What the run hands on, for M(ansible.builtin.set_stats).
    - C(approved_plan) is the digest of the plan that the verb C(plan) has made, unless the plan is refused.
  returned: success
  type: dict
  sample:
    approved_plan: b827db92aacda44eddac855405d5cd2d315b17509b9c56f56d79331cf5931867
    rehome_artifacts:
      verb: plan
      env: prod
      dry_run: true
      complete: false
      outcome: "a dry run: nothing was written"
      codes: []
      plan_sha256: b827db92aacda44eddac855405d5cd2d315b17509b9c56f56d79331cf5931867
      counts: {objects_to_copy: 1000, rows_to_rewrite: 1000}
      summary: s3://production-s3/rehome-state/runs/2026-11-29T09:44:33.120+00:00/summary.json
      report: s3://production-s3/rehome-state/runs/2026-11-29T09:44:33.120+00:00/report.md
lines:
  description: What the terminal shows at the end of the run, from its report; empty if it has left none.
  returned: success
  type: list
  elements: str
  sample:
    - "avatars: migrate, s3://legacy-s3/image/ → s3://production-s3/avatar/"
    - "outcome  NOT COMPLETE: failed; the message is above (3.1 s)"
run:
  description:
    - What task files of C(rehome_hooks) are given as C(rehome_run).
    - It is what is handed on, with C(failed), C(message) (why it failed), C(problems) and C(job) (the job of AWX).
    - C(codes) has the codes of all that, which are headings of docs/runbook.md.
  returned: success
  type: dict
  sample:
    verb: migrate
    env: prod
    dry_run: false
    failed: true
    complete: false
    outcome: NOT COMPLETE
    message: "2 objects of the slice could not be copied [RH-602]"
    problems: ["2 objects of the slice could not be copied [RH-602]"]
    codes: [RH-602]
    counts: {objects_copied: 998, objects_failed: 2}
"""

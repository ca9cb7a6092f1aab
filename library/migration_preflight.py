#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_preflight
short_description: Check everything that a migration needs, before its first write
version_added: "0.1.0"
description:
  - Checks this machine, both buckets and the database, and reports everything it finds at once, as one table of checks.
  - Outside check mode it also makes sure that the column can be rewritten, tries what the services can do on scratch
    objects, and creates the journal if it is missing. It does none of that if a check says stop.
  - Starts a new C(summary.json), and writes the checks to C(preflight.json).
options:
  for_run:
    description:
      - Judge for a run in check mode, too. Then a right that only a run needs is missing, where a dry run does without.
    type: bool
    default: false
  deletes:
    description:
      - Also check whether these credentials may bring back what is deleted from the source. That deletes a version
        which does not exist, and so changes nothing.
    type: bool
    default: false
extends_documentation_fragment:
  - rehome
  - rehome.attributes
seealso:
  - module: rehome.rehome.migration_plan
    description: Follows.
  - module: rehome.rehome.migration_grants
    description: Determines the rights that are missing.
"""

EXAMPLES = r"""
- name: Check everything before the first write
  migration_preflight:
    settings: "{{ rehome_settings }}"
"""

RETURN = r"""
did:
  description: What the stage did, or would do in check mode, in one line.
  returned: success
  type: str
  sample: 49 checks made, 1 warning in 2.1 s
checks:
  description: The checks.
  returned: success
  type: list
  elements: dict
  sample:
    - subject: source bucket
      name: access
      status: pass
      found: s3://legacy-s3/image/ can be listed
      advice: ""
  contains:
    subject:
      description: What the check is about, such as a bucket, the database, a column or this machine.
      type: str
      sample: source bucket
    name:
      description: What was checked.
      type: str
      sample: access
    status:
      description: One of C(pass), C(info), C(warn) and C(stop).
      type: str
      sample: pass
    found:
      description: What was found, in words.
      type: str
      sample: s3://legacy-s3/image/ can be listed
    advice:
      description: What to do about it.
      type: str
      sample: ""
refusals:
  description: Why a run must not continue, one message each. Empty if it may.
  returned: success
  type: list
  elements: str
  sample: []
codes:
  description: The codes of the refusals, which are headings of docs/runbook.md.
  returned: if there is one
  type: list
  elements: str
  sample: [RH-201]
kept_in:
  description: The place of C(preflight.json), with a slash at its end.
  returned: success
  type: str
  sample: /srv/ops/.rehome/rehome-prod/avatars/
verdict:
  description: Whether a migration may begin, in one line.
  returned: if O(for_run)
  type: str
  sample: "verdict: a migration may begin"
counts:
  description: The number of checks by their status.
  returned: success
  type: dict
  sample: {checks_pass: 40, checks_info: 4, checks_warn: 1, checks_stop: 0}
table:
  description:
    - The checks as lines for a terminal. With O(for_run) all of them, as a table.
    - Else only those that are not passed, and one line with the number of the others. What stops the run is in
      RV(refusals).
  returned: success
  type: list
  elements: str
  sample: ["source bucket  access  pass  s3://legacy-s3/image/ can be listed"]
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.checks import as_dicts, as_short_list, as_table, counts, refusals, verdict
from rehome.grants.needed import rights_needed
from rehome.grants.policy import Verb
from rehome.preflight.credentials import findings_beside
from rehome.preflight.preflight import preflight
from rehome.report.checks import how_to_see_all, preflight_facts

OPTIONS = {"for_run": {"type": "bool", "default": False}, "deletes": {"type": "bool", "default": False}}


def work(stage: Stage) -> dict[str, object]:
    """Run all checks, and begin the summary of a migration."""
    summary = stage.start_summary("migration")
    for_run, deletes = stage.params["for_run"], stage.params["deletes"]
    verb_name = stage.verb.removesuffix("-check")
    found = preflight(
        stage.settings,
        stage.dry_run,
        stage.progress,
        for_run=for_run,
        deletes=deletes,
        copies=verb_name in ("migrate", "preflight"),
        job=stage.job,
    )
    refused = [str(finding) for finding in refusals(found.checks)]
    # the preflight alone has come to its end, and any other run has not
    problems = refused if for_run else refused or summary.fields["problems"]
    summary.add(copy_method=found.copy_method, problems=problems)
    stage.record.keep(preflight=preflight_facts(found.checks), refusals=refused)
    if verb_name != "verify":  # it needs but a part of them
        verb: Verb = "retire" if deletes else "migrate"
        stage.record.keep(rights=rights_needed(stage.settings, verb, found.tables))
    stage.record.write(summary.fields, text=bool(refused) or for_run)
    if refused or for_run:
        stage.upload()  # no other stage follows, and the message names the table
    others = how_to_see_all(stage.record.origin, in_job=stage.job is not None)
    return {
        "changed": found.journal_created,
        "checks": as_dicts(found.checks),
        "refusals": refused,
        "kept_in": summary.fields["kept_in"],
        "counts": counts(found.checks),
        "table": as_table(found.checks) if for_run else as_short_list(found.checks, others),
        **({"verdict": verdict(found.checks)} if for_run else {}),
    }


if __name__ == "__main__":
    run_module(AnsibleModule, work, OPTIONS, findings_beside)

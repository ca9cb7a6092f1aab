#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_redirect
short_description: Have old URLs lead to where the objects are now
description:
  - Merges routing rules into the website of the source bucket, or takes exactly those out again; whatever else is
    configured there stays.
  - Answers with what the templates for nginx and CloudFront are filled with.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
attributes:
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Have old URLs lead to the new place
  s3_redirect:
    settings: "{{ rehome_settings }}"
  register: redirect
"""

RETURN = r"""
routes:
  description: The old places and the new ones, as texts for the templates; empty where they are taken away.
  returned: success
  type: dict
directory:
  description: Where the files belong.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.argument_spec import ARGUMENT_SPEC
from rehome.ansible_module.run import run_stage
from rehome.ansible_module.stage import Stage
from rehome.redirect.apply import apply_website
from rehome.redirect.routes import notes, refuse_without_url, routes
from rehome.state.sync import fetch_state, save_state


def work(stage: Stage) -> dict[str, object]:
    settings, wanted = stage.settings, stage.settings.redirect
    fetch_state(settings)
    if wanted.present:
        refuse_without_url(settings)
    told = routes(settings) if wanted.present else {}
    website = apply_website(settings, stage.dry_run)
    if not stage.dry_run:
        save_state(settings)
    stage.release()
    return {
        "changed": website.changed,
        "warnings": [*([website.note] if website.note else []), *(notes(told) if told else [])],
        "routes": told,
        "directory": wanted.directory or str(settings.state_dir / "redirect"),
        "diff": {"before": website.before or {}, "after": website.after or {}},
    }


if __name__ == "__main__":
    run_stage(AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True), work)

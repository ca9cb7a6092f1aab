#!/usr/bin/python
"""Ansible module: see DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_redirect
short_description: Redirect old URLs to the new location of the objects
version_added: "0.1.0"
description:
  - Merges routing rules into the website configuration of the source bucket, or removes exactly those. The rest of that
    configuration is left unchanged.
  - Returns the values for the templates of nginx and CloudFront.
extends_documentation_fragment:
  - rehome
  - rehome.attributes
attributes:
  diff_mode:
    support: full
seealso:
  - module: rehome.rehome.s3_batch_delete
    description: Deletes the objects at the old URLs.
"""

EXAMPLES = r"""
- name: Have old URLs lead to the new place
  s3_redirect:
    settings: "{{ rehome_settings }}"
  register: redirect
"""

RETURN = r"""
routes:
  description: The old and the new locations, as text for the templates. Empty if the redirect is removed.
  returned: success
  type: dict
  sample:
    name: avatars
    code: 301
    location: https://cdn.example.com/avatar/
counts:
  description: The number of routing rules that the website has, of anybody's.
  returned: success
  type: dict
  sample: {routing_rules: 2}
directory:
  description: The folder for the files.
  returned: success
  type: str
  sample: /srv/ops/.rehome/rehome-prod/avatars/redirect
lines:
  description: What a terminal shows at the end of the run.
  returned: success
  type: list
  elements: str
  sample:
    - "avatars: redirect, s3://legacy-s3/image/ → s3://production-s3/avatar/"
    - "outcome  complete: old URLs are redirected to https://cdn.example.com/avatar/ (301)"
"""

from ansible.module_utils.basic import AnsibleModule
from rehome.ansible_module.run import run_module
from rehome.ansible_module.stage import Stage
from rehome.redirect.apply import apply_website
from rehome.redirect.card import redirect_card
from rehome.redirect.routes import check_redirect, notes, routes
from rehome.state.sync import download_state, upload_state


def work(stage: Stage) -> dict[str, object]:
    """Merge the routing rules into the source bucket's website configuration, or remove them."""
    settings, redirect = stage.settings, stage.settings.redirect
    download_state(settings)
    if redirect.present:
        check_redirect(settings)
    found = routes(settings) if redirect.present else {}
    website = apply_website(settings, stage.dry_run)
    if not stage.dry_run:
        upload_state(settings)
    stage.release()
    rules = len((website.after or {}).get("RoutingRules", []))
    directory = redirect.directory or str(settings.state_dir / "redirect")
    location = found["location"] if found else None
    card = redirect_card(
        settings, stage.record.origin, dry_run=stage.dry_run, location=location, rules=rules, directory=directory
    )
    return {
        "changed": website.changed,
        "warnings": [*([website.note] if website.note else []), *(notes(found) if found else [])],
        "routes": found,
        "counts": {"routing_rules": rules},
        "directory": directory,
        "lines": card,
        "diff": {"before": website.before or {}, "after": website.after or {}},
    }


if __name__ == "__main__":
    run_module(AnsibleModule, work)

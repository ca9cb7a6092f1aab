"""The cards of the verbs that write no summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rehome.grants.card import grants_card
from rehome.grants.settings import read_grant_settings
from rehome.redirect.card import redirect_card
from rehome.report.card import MOST_LINES

from tests.unit.grants.test_settings import GRANTS
from tests.unit.report.facts_of_runs import ORIGIN, settings_in

GIVEN = "-e env=prod -i ../ops/inventory"
PLACES = "s3://legacy-s3/image/ → s3://production-s3/avatar/"


def redirected(folder: Path, **more: Any) -> list[str]:
    facts = {"dry_run": False, "location": "https://cdn.example/avatar/", "rules": 2, "directory": "/state/redirect"}
    return redirect_card(settings_in(folder), ORIGIN, **{**facts, **more})


def test_a_redirect_says_where_old_urls_lead_and_what_is_left_to_do(tmp_path: Path) -> None:
    assert redirected(tmp_path) == [
        f"avatars: redirect, {PLACES}",
        "outcome  complete: old URLs are redirected to https://cdn.example/avatar/ (301)",
        "done     the website of legacy-s3 has 2 routing rules",
        "         nginx.conf and cloudfront.js written into /state/redirect",
        "human    serve one of nginx.conf and cloudfront.js where old URLs do not come to the bucket's website",
        f"next:    ansible-playbook playbooks/retire.yml {GIVEN} --check",
    ]
    gone = redirected(tmp_path, location=None, rules=0)
    assert gone[1] == "outcome  complete: the website redirects no old URL any more"
    assert gone[-1] == "human    nothing needs you"


def test_a_dry_redirect_says_how_to_do_it_for_real_and_what_to_give_again(tmp_path: Path) -> None:
    origin: Any = {**ORIGIN, "left_out": ["rehome_redirect"]}
    facts: Any = {"dry_run": True, "location": "https://cdn.example/", "rules": 1, "directory": "/state/redirect"}
    lines = redirect_card(settings_in(tmp_path), origin, **facts)
    assert lines[1] == "outcome  a dry run: nothing was written"
    assert lines[-2:] == [
        f"next:    ansible-playbook playbooks/redirect.yml {GIVEN}",
        "again    give what this run was given: -e rehome_redirect",
    ]


def granted(folder: Path, plan: dict[str, Any], *, dry_run: bool = False, **given: Any) -> list[str]:
    settings = settings_in(folder)
    options = {**GRANTS, "principals": "user", **given}
    whole = {"principals": [], "account": None, "counts": {"principals": 0, "changes": 0}, **plan}
    return grants_card(settings, ORIGIN, read_grant_settings(options, settings, []), whole, dry_run=dry_run)


PLAN = {
    "principals": [{"name": "rehome-avatars-migrate", "new_key": True}],
    "account": {"user": "rehome", "new_password": True, "hints": []},
    "counts": {"principals": 1, "changes": 3},
}


def test_grants_say_who_has_rights_now_and_where_the_secrets_are(tmp_path: Path) -> None:
    assert granted(tmp_path, PLAN, secrets_file="/ops/rehome_credentials.yml") == [
        f"avatars: grants, {PLACES}",
        "outcome  complete: rehome-avatars-migrate, the database user rehome: exactly what migrate and retire need",
        "done     3 changes made",
        "human    new secrets are in /ops/rehome_credentials.yml, encrypted: keep the vault's password",
        f"next:    ansible-playbook playbooks/preflight.yml {GIVEN}",
    ]


@pytest.mark.parametrize(
    ("given", "dry_run", "text"),
    [
        ({}, True, "a dry run: nothing was written"),
        ({"state": "absent"}, False, "complete: rehome-avatars-migrate, the database user rehome: taken away"),
    ],
)
def test_a_dry_run_and_taking_away_hand_nobody_a_secret(tmp_path: Path, given: Any, dry_run: bool, text: str) -> None:
    lines = granted(tmp_path, PLAN, dry_run=dry_run, **given)
    assert lines[1] == f"outcome  {text}"
    assert "human    nothing needs you" in lines
    assert len(lines) <= MOST_LINES

"""playbooks/awx.yml, run as it is, against a stand-in for AWX's API (awx_api.py): no real AWX is part of the tests."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.awx_api import ENCRYPTED, Awx, User, served
from tests.e2e.conftest import ROOT, Played, Worlds, play_to_end, start_program
from tests.e2e.modules import play_forked

# A run calls some fifty modules, one after the other, and a test has up to three runs.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PATIENCE_S = 600
"""For some 60 modules of awx.awx, one after the other."""
OF_AWX = ("ansible_collections.awx.awx.plugins.module_utils.controller_api",)
"""What the modules of awx.awx import."""
WITHOUT_CAS = {"SSL_CERT_FILE": os.devnull}
"""None of these AWX speaks TLS, and reading the system's CAs for each request took more than half of a run."""
SITE = "awx/site.example.yml"
MIGRATION = "Rehome: migration with approval"
RETIREMENT = "Rehome: retirement with approval"
SECRETS = {"source_s3": {"access_key": "AK", "secret_key": "hush-source"}, "database": {"password": "hush-db"}}
SLACK = {"type": "slack", "configuration": {"token": "hush-slack", "channels": ["#ops"]}}


def play(
    url: str, *arguments: str, held: str = "of-admin", user: str = ":", started: bool = False, **site: Any
) -> Played:
    """Run the playbook for the site of the example, with secrets and with changes, against the AWX at this URL.

    held: the token
    user: name and password
    started: as operators do, and not in forks
    """
    name, _, password = user.partition(":")
    reached = {"CONTROLLER_HOST": url, "CONTROLLER_OAUTH_TOKEN": held}
    reached |= {"CONTROLLER_USERNAME": name, "CONTROLLER_PASSWORD": password}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CONTROLLER_", "TOWER_"))}
    environment |= {name: value for name, value in reached.items() if value}
    mail = yaml.safe_load((ROOT / SITE).read_text())["awx_site_notify"]["failure"]
    own = {"awx_site_secrets": SECRETS, "awx_site_notify": {"failure": mail, "approval": SLACK}, **site}
    options = ["playbooks/awx.yml", "-e", f"@{SITE}", "-e", json.dumps(own), *arguments]
    if not started:
        return play_forked(options, environment | WITHOUT_CAS, OF_AWX, PATIENCE_S)
    process = start_program("ansible-playbook", *options, folder=ROOT, environment=environment)
    return play_to_end(process, PATIENCE_S)


@pytest.fixture(scope="module")
def made() -> tuple[Awx, Played]:
    """An AWX that was empty, and the run that has made everything in it."""
    awx = Awx()
    with served(awx) as url:
        return awx, play(url)


@pytest.fixture
def applied(made: tuple[Awx, Played]) -> Awx:
    """Such an AWX, of the test's own."""
    awx, played = made
    assert played.code == 0, played.output
    return awx.copy()


@pytest.fixture
def empty() -> Awx:
    return Awx()


def contents(awx: Awx) -> str:
    """All that AWX has, by names: what is made anew has another number."""
    shown = {
        endpoint: sorted(
            [
                {key: value for key, value in item.items() if key not in ("id", "current_update", *FOREIGN)}
                | {key: awx.name_of(endpoint, key, item[key]) for key in FOREIGN & item.keys()}
                | {key: sorted(awx.related(endpoint, item["id"], key)) for key in awx.associations(endpoint)}
                for item in items.values()
            ],
            key=json.dumps,
        )
        for endpoint, items in awx.items.items()
        if endpoint != "workflow_approval_templates"
    }
    surveys = {awx.items[endpoint][number]["name"]: spec for (endpoint, number), spec in awx.surveys.items()}
    roles = {team: sorted(awx.roles(team)) for team in awx.names("teams")}
    return json.dumps([shown, surveys, roles], sort_keys=True, indent=1)


FOREIGN = {
    *("organization", "credential_type", "credential", "execution_environment", "default_environment", "project"),
    *("inventory", "source_project", "workflow_job_template", "unified_job_template"),
}


def test_a_dry_run_of_an_empty_awx_says_what_it_would_make_and_writes_nothing(empty: Awx) -> None:
    before = empty.everything()
    with served(empty) as url:
        played = play(url, "--check")
    assert played.code == 0, played.output
    assert played.changed > 0
    assert empty.everything() == before
    assert not empty.writes
    for name in ("Storage", "Rehome: source S3", "Rehome: migrate", MIGRATION, RETIREMENT, "Auditors"):
        assert name in played.output


def test_an_empty_awx_gets_all_that_a_migration_needs(made: tuple[Awx, Played]) -> None:
    awx, played = made
    assert played.code == 0, played.output
    verbs = [
        "grants",
        "preflight",
        "discover",
        "plan",
        "migrate",
        "control",
        "verify",
        "rollback",
        "redirect",
        "retire",
    ]
    assert awx.names("job_templates") == {f"Rehome: {verb}" for verb in verbs}
    migrate = awx.named("job_templates", "Rehome: migrate")
    assert migrate["playbook"] == "playbooks/migrate.yml"
    uris = {"staging": "s3://rehome-state/staging/", "prod": "s3://rehome-state/prod/"}
    assert json.loads(migrate["extra_vars"]) == {"rehome_state_uri": "{{ " + json.dumps(uris) + "[env] }}"}
    credentials = {"Rehome: source S3", "Rehome: target S3", "Rehome: application database"}
    assert awx.related("job_templates", migrate["id"], "credentials") == credentials
    injectors = awx.named("credential_types", "Rehome: target S3")["injectors"]["env"]
    assert injectors["S3_TARGET_SECRET_KEY"] == "{{ secret_key }}"
    assert awx.named("schedules", "Rehome: nightly verify of prod")["extra_data"] == {"env": "prod"}


def test_the_workflows_go_from_the_plan_by_the_approval_to_the_migration(made: tuple[Awx, Played]) -> None:
    awx, _ = made
    assert awx.path(MIGRATION) == ["plan", "approval", "migrate", "verify"]
    assert awx.path(RETIREMENT) == ["dry-run", "approval", "retire"]
    assert awx.named("workflow_approval_templates", "Rehome: approve the plan")["timeout"] == 259200
    workflow = awx.named("workflow_job_templates", MIGRATION)["id"]
    for when, name in (("error", "failure"), ("approvals", "approval")):
        told = awx.related("workflow_job_templates", workflow, f"notification_templates_{when}")
        assert told == {f"Rehome: {name}"}


def test_teams_get_what_they_may_and_no_more(made: tuple[Awx, Played]) -> None:
    awx, _ = made
    assert (MIGRATION, "execute_role") in awx.roles("Storage operators")
    assert ("Rehome: migrate", "execute_role") not in awx.roles("Storage operators")
    assert (MIGRATION, "approval_role") in awx.roles("Change board")
    assert {role for _, role in awx.roles("Change board")} == {"approval_role", "read_role"}
    assert {role for _, role in awx.roles("Auditors")} == {"read_role"}
    assert ("Rehome: migrate", "execute_role") in awx.roles("Storage on call")


def test_secrets_are_stored_and_not_even_shown_to_who_asks_for_everything(empty: Awx, made: tuple[Awx, Played]) -> None:
    """By modules that are started, as operators have it."""
    awx = empty
    with served(awx) as url:
        played = play(url, "-vvv", started=True)
    assert played.code == 0, played.output
    assert contents(awx) == contents(made[0])
    assert "hush" not in played.output
    assert awx.named("credentials", "Rehome: source S3")["inputs"] == {"access_key": "AK", "secret_key": ENCRYPTED}
    stored = json.dumps(list(awx.secrets.values()))
    assert all(secret in stored for secret in ("hush-source", "hush-db", "hush-slack"))


@pytest.mark.parametrize("argument", ["-vvv", "--check"])
def test_a_second_run_changes_nothing_and_an_administrator_of_the_organization_may_do_it(
    applied: Awx, argument: str
) -> None:
    applied.users["of-anna"] = User("anna", administers=("Storage",))
    before = applied.everything()
    applied.writes.clear()
    with served(applied) as url:
        played = play(url, argument, held="of-anna")
    assert (played.code, played.changed) == (0, 0), played.output
    assert not applied.writes
    assert applied.everything() == before
    assert "hush" not in played.output


def _change_by_hand(awx: Awx) -> None:
    """What people do in the user interface."""
    awx.named("job_templates", "Rehome: migrate").update(ask_limit_on_launch=True, timeout=60)
    retire = awx.named("job_templates", "Rehome: retire")["id"]
    awx.surveys["job_templates", retire]["spec"][0]["required"] = False
    awx.associated["job_templates", retire, "credentials"].pop()
    awx.named("inventory_sources", "Rehome")["overwrite_vars"] = False
    awx.named("notification_templates", "Rehome: failure")["notification_configuration"]["host"] = "elsewhere"
    nodes = {item["identifier"]: item for item in awx.nodes(MIGRATION)}
    nodes["migrate"].update(limit="one-host", extra_data={"rehome_on_conflict": "overwrite"})
    # straight to the migration, without the approval
    awx.associated["workflow_job_template_nodes", nodes["plan"]["id"], "success_nodes"] = [nodes["migrate"]["id"]]
    awx.named("workflow_approval_templates", "Rehome: approve the deletion")["timeout"] = 0
    workflow = awx.named("workflow_job_templates", RETIREMENT)["id"]
    template = awx.named("job_templates", "Rehome: migrate")["id"]
    node = {"identifier": "mine", "workflow_job_template": workflow, "unified_job_template": template}
    awx.make("workflow_job_template_nodes", **node)
    awx.granted[next(role for role, teams in awx.granted.items() if teams)].clear()
    awx.named("projects", "Rehome")["status"] = "failed"  # it can be fetched again by now
    awx.secrets.clear()


def test_what_was_changed_by_hand_is_seen_by_a_dry_run_and_put_back(applied: Awx) -> None:
    good = contents(applied)
    _change_by_hand(applied)
    before = applied.everything()
    assert contents(applied) != good
    with served(applied) as url:
        seen = play(url, "--check")
        assert applied.everything() == before
        assert seen.code == 0, seen.output
        assert seen.changed > 5
        played = play(url, awx_site_update_secrets=True)
    assert played.code == 0, played.output
    assert contents(applied) == good
    assert "hush-source" in json.dumps(list(applied.secrets.values()))
    assert applied.path(MIGRATION) == ["plan", "approval", "migrate", "verify"]
    assert applied.named("workflow_approval_templates", "Rehome: approve the deletion")["timeout"] == 259200


def test_a_run_that_broke_off_says_how_to_go_on_and_a_second_one_goes_on(empty: Awx, made: tuple[Awx, Played]) -> None:
    empty.fail_after = 95  # among the nodes of the first workflow
    with served(empty) as url:
        broken = play(url)
        assert broken.code != 0
        assert "the same run again goes on from there" in broken.output
        assert empty.nodes(MIGRATION)
        empty.fail_after = None
        assert play(url, "--check").code == 0
        played = play(url)
    assert played.code == 0, played.output
    assert contents(empty) == contents(made[0])


def refused(played: Played, *wanted: str) -> None:
    """Assert that a run was refused with one message that has all of these."""
    assert played.code != 0
    assert played.errors == 1, played.output
    for text in wanted:
        assert text in played.message, played.message
    assert "of-admin" not in played.output


def test_settings_that_are_missing_or_wrong_are_named_at_once() -> None:
    site: dict[str, Any] = {"awx_site_scm_url": "", "awx_site_image": "", "awx_site_environments": ["staging", "lab"]}
    played = play("", held="", **site, awx_site_nightly_verify={"prod": 750})
    refused(
        played,
        "CONTROLLER_HOST: is not set. Export the URL",
        "CONTROLLER_OAUTH_TOKEN: is not set. Make a token",
        *("awx_site_scm_url: is not set", "awx_site_image: is not set", "awx/site.example.yml"),
        "awx_site_environments: lacks prod",
        "awx_site_state_uris: lacks lab of awx_site_environments",
        *("awx_site_nightly_verify (750): is no time of day", "Write it in quotes"),
    )
    lines = {
        line.strip() for line in played.output.splitlines() if line.strip().startswith("awx_site_environments: lacks")
    }
    assert [line[-41:] for line in lines] == ["Add it there, or remove it here. [RH-901]"]


def test_a_name_that_nothing_reads_is_refused(empty: Awx) -> None:
    site: dict[str, Any] = {"awx_site_titel": "Moves", "awx_site_teams": {"aprove": ["Change board"]}}
    site |= {"awx_site_notify": {"error": {}}, "awx_site_secrets": {"source": {"secret_key": "hush-hush"}}}
    with served(empty) as url:
        played = play(url, **site)
    names = "awx_site_titel, awx_site_teams.aprove, awx_site_notify.error, awx_site_secrets.source"
    refused(played, f"{names}: is no variable of this playbook", "argument_specs.yml")
    assert "hush-hush" not in played.output
    assert not empty.writes


@pytest.mark.parametrize("version", [None, "23.9.0"])
def test_an_awx_awx_that_is_missing_or_too_old_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_SCAN_SYS_PATH", "false")
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(tmp_path))
    collection = tmp_path / "ansible_collections" / "awx" / "awx"
    if version:
        collection.mkdir(parents=True)
        facts = {"namespace": "awx", "name": "awx", "version": version}
        (collection / "MANIFEST.json").write_text(json.dumps({"collection_info": facts}))
        (collection / "FILES.json").write_text(json.dumps({"files": []}))
    said = version or "not installed"
    played = play("http://127.0.0.1:9", started=True)
    refused(played, f"awx.awx ({said}): this playbook needs a version from 24.6 on", "requirements.yml")


def test_a_url_where_nobody_answers_or_no_awx_is_named(applied: Awx) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    refused(play(closed), f"CONTROLLER_HOST ({closed}): is no AWX that can be reached", "Connection refused")
    with served(applied) as url:
        refused(play(f"{url}/login"), f"CONTROLLER_HOST ({url}/login): is no AWX", "without the part after")
    assert "no-such-host.invalid" in play("https://no-such-host.invalid").message


def test_a_token_that_has_expired_is_named_with_the_way_to_another(empty: Awx) -> None:
    with served(empty) as url:
        refused(play(url, held="of-yesterday"), "CONTROLLER_OAUTH_TOKEN", "expired", "scope write")
    assert not empty.writes


def test_a_token_that_may_only_read_is_named_when_it_first_writes(empty: Awx) -> None:
    empty.users["for-reading"] = User("admin", is_superuser=True, scope="read")
    with served(empty) as url:
        played = play(url, held="for-reading")
    assert played.code != 0
    assert "CONTROLLER_OAUTH_TOKEN: give it the scope write" in played.output
    assert not empty.writes


def test_who_may_not_make_the_organization_or_the_types_is_told_before_the_first_write(empty: Awx) -> None:
    empty.users["of-anna"] = User("anna", administers=("Storage",))
    with served(empty) as url:
        missing = play(url, held="of-anna")
        refused(missing, "awx_site_organization (Storage): is not there, or is not shown to anna", "system admin")
        empty.make("organizations", name="Storage")
        refused(play(url, held="of-anna"), "anna cannot make the credential types", "Rehome: source S3")
        empty.users["of-bob"] = User("bob")
        refused(play(url, held="of-bob"), "awx_site_organization (Storage)")
    assert not empty.writes


@pytest.mark.parametrize("lacks", ["workflow_approvals", "execution_environments"])
def test_an_awx_without_what_this_needs_is_called_too_old(lacks: str) -> None:
    awx = Awx(lacks=(lacks,))
    with served(awx) as url:
        refused(play(url), f"this AWX has no {lacks.replace('_', ' ')}: it is too old", "24.6", url)
    assert not awx.writes


def test_a_credential_that_awx_does_not_have_is_named_before_the_first_write(empty: Awx) -> None:
    with served(empty) as url:
        refused(
            play(url, awx_site_vault_credentials=["Vault of prod"]), "Vault of prod (credentials)", "Make it in AWX"
        )
    assert not empty.writes


def test_a_repository_that_awx_cannot_fetch_is_named(empty: Awx) -> None:
    empty.unreachable.add("https://git.example.com/ops/rehome.git")
    with served(empty) as url:
        played = play(url)
    assert played.code != 0
    assert "awx_site_scm_url, awx_site_scm_branch, awx_site_scm_credential: AWX cannot fetch" in played.output


def test_a_user_with_a_password_does_as_well_as_a_token(empty: Awx) -> None:
    with served(empty) as url:
        got_in = play(url, held="", user="admin:hush-admin", awx_site_vault_credentials=["Vault of prod"])
        refused(got_in, "Vault of prod (credentials)")
        refused(play(url, held="", user="admin:hush-other"), "CONTROLLER_USERNAME and CONTROLLER_PASSWORD", "wrong")
    assert "hush" not in got_in.output


def test_a_secret_that_awx_refuses_is_not_shown_but_named(empty: Awx) -> None:
    with served(empty) as url:
        played = play(url, awx_site_secrets={"database": {"password": 987654321}})
    assert played.code != 0
    wanted = "Bring the credentials to it (Rehome: application database): AWX refuses what awx_site_secrets"
    assert wanted in " ".join(played.output.split())
    assert "987654321" not in played.output


def test_the_answers_that_a_survey_leaves_empty_are_as_if_they_were_not_there(worlds: Worlds) -> None:
    world = worlds.of("sqlite")
    world.seed(5)
    plain = world.play(playbook="playbooks/plan.yml")
    assert plain.code == 0, plain.output
    digest = world.summary["plan_sha256"]
    place = "s3://production-s3/state/"
    by_env = "{{ " + json.dumps({"prod": "s3://elsewhere/", "sandbox": place}) + "[env] }}"
    answers = {"rehome_limit": "", "approved_plan": "", "confirm": "", "rehome_state_uri": by_env}
    played = world.play(playbook="playbooks/plan.yml", **answers)
    assert played.code == 0, played.output
    assert world.summary["plan_sha256"] == digest
    # and so are the fields of credentials that nobody has filled in
    injected = re.findall(r"^ +(\w+): !unsafe", (ROOT / "awx" / "credential_types.yml").read_text(), re.MULTILINE)
    assert {"S3_SOURCE_SECRET_KEY", "DB_URL", "DB_CA", "DB_PORT"} <= set(injected)
    migrated = world.play(**answers, exported=dict.fromkeys(injected, ""))
    assert migrated.code == 0, migrated.output
    assert world.summary["complete"] is True
    assert place in migrated.output
    assert any(key.startswith("state/") for key in world.objects("production-s3"))

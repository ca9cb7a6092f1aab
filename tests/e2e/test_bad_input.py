"""Every invalid setting ends in one message that names setting, value and remedy, before the first write."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Played, World, Worlds, own_settings

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def seeded(worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = worlds.of("mariadb")
    world.seed(5)
    return world


def source(world: World, **changes: Any) -> dict[str, Any]:
    """Return the sandbox's `rehome_source` with changes."""
    settings: dict[str, Any] = own_settings(world)["rehome_source"]
    return settings | changes


def database(world: World, **changes: Any) -> dict[str, Any]:
    """Return the sandbox's `rehome_database` with changes."""
    settings: dict[str, Any] = own_settings(world)["rehome_database"]
    return settings | changes


def refused(world: World, *named: str, **variables: Any) -> Played:
    """Run, and assert that it is refused with these words, without a traceback or a secret, and changes nothing."""
    before = world.everything()
    played = world.play(**variables)
    assert played.code != 0, played.output
    for word in named:
        assert word in played.message, f"{word!r} is not in: {played.message}"
    assert "Traceback" not in played.output
    # the message of an unexpected exception does not begin with a setting
    assert re.match(r"error: (?:rehome_\w+|env|--limit|\w+: is no variable)", played.message), played.message
    for users in (world.record["s3"]["users"], world.record["database"]["users"]):
        for login in users.values():
            for name, secret in login.items():
                if name in ("secret_key", "password"):
                    assert secret not in played.output
    after = world.everything()
    assert {name: after[name] for name in ("source", "target", "rows")} == {
        name: before[name] for name in ("source", "target", "rows")
    }
    return played


def codes_of(text: str) -> list[str]:
    return re.findall(r"\[(RH-\d{3})\]", text)


def test_the_message_of_a_wrong_setting_ends_with_its_code(seeded: World) -> None:
    played = refused(seeded, "is no number of objects", "[RH-102]", rehome_limit="many")
    assert codes_of(played.message) == ["RH-102"]


def test_a_refusal_shows_its_code_in_the_terminal_the_report_and_to_hooks(seeded: World, tmp_path: Path) -> None:
    hook = tmp_path / "tell.yml"
    told = {"content": "{{ rehome_run | to_json }}", "dest": str(tmp_path / "told"), "mode": "0600"}
    hook.write_text(f"- {{name: Write it, ansible.builtin.copy: {json.dumps(told)}}}\n")
    elsewhere = source(seeded, bucket="not-there-at-all")
    hooks = {"on_failure": str(hook)}
    played = refused(seeded, "S3 denies listing", rehome_source=elsewhere, rehome_hooks=hooks)
    assert "RH-202" in codes_of(played.message)
    facts = json.loads((seeded.state / "report.json").read_text())
    assert "RH-202" in facts["codes"]
    assert codes_of(facts["refusals"][0]) == ["RH-202"]
    assert [check["code"] for check in facts["preflight"]["checks"] if check["status"] == "stop"] == ["RH-202"]
    assert "[RH-202]" in (seeded.state / "report.md").read_text()
    assert "RH-202" in json.loads((tmp_path / "told").read_text())["codes"]


def test_no_env(seeded: World) -> None:
    refused(seeded, "env (not set)", "-e env=<name>", "avatars, prod, sandbox, staging", env=None)


def test_unknown_env(seeded: World) -> None:
    refused(seeded, "env (nope)", "-e env=<name>", "avatars, prod, sandbox, staging", env="nope")


@pytest.mark.parametrize("verb", ["grants", "migrate", "plan", "preflight", "redirect", "retire", "rollback", "verify"])
def test_a_variable_that_would_be_ignored_stops_every_verb(seeded: World, verb: str) -> None:
    variables = {"rehome_limits": 5, "aproved_plan": "f00", "restroe": True}
    played = refused(
        seeded,
        *("rehome_limits: is no variable", "mean rehome_limit?", "mean approved_plan?", "mean restore?"),
        playbook=f"playbooks/{verb}.yml",
        **variables,
    )
    assert "UTC  preflight  " not in played.output


def test_a_misspelled_variable_is_found_in_a_file_and_in_the_inventory_too(seeded: World, tmp_path: Path) -> None:
    file = tmp_path / "more.yml"
    file.write_text("rehome_exlude: [x]\nsite_name: mine\nrehome_source: {bukcet: b}\n")
    own = seeded.folder / "inventory" / "host_vars"
    own.mkdir()
    try:
        (own / "rehome-sandbox.yml").write_text("rehome_on_conflit: skip\nsite: {colour: blue}\n")
        played = seeded.play("-e", f"@{file}")
    finally:
        shutil.rmtree(own)
    assert played.code != 0
    for name in ("rehome_exclude", "rehome_on_conflict", "bucket"):
        assert f"did you mean {name}?" in played.message


@pytest.mark.parametrize(
    "switch",
    [("--limit", "rehome-prod"), ("--tags", "copy"), ("--skip-tags", "verify"), ("--skip-tags", "always")],
)
def test_a_playbook_that_is_run_in_part_does_not_look_like_a_success(seeded: World, switch: tuple[str, str]) -> None:
    before = seeded.everything()
    played = seeded.play(*switch)
    assert played.code != 0
    assert seeded.everything() == before
    assert "would leave out stages" in played.message


def test_a_password_in_a_url_is_refused_and_not_even_shown_to_who_asks_for_everything(seeded: World) -> None:
    played = seeded.play("-vvv", rehome_source=source(seeded, endpoint_url="http://me:hush-hush@127.0.0.1:9"))
    assert played.code != 0
    assert "rehome_source.endpoint_url" in played.message
    shown = [line for line in played.output.splitlines() if "hush-hush" in line]
    assert not [line for line in shown if not line.startswith("ansible-playbook")], shown


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("rehome_cluster", False, "rehome_cluster (False): is no mapping. Write it as {hosts: movers}"),
        ("rehome_cluster", "tls://a:1", "rehome_cluster (a text): is no mapping"),
        (
            "rehome_cluster",
            "",
            "rehome_cluster (a text): is no mapping. Write it as {hosts: movers}, for no cluster as",
        ),
        ("rehome_cluster", {"hosts": ["movers"]}, "rehome_cluster.hosts (['movers']): is not the name of a group"),
        ("rehome_source", "hunter2", "rehome_source (a text): is no mapping. Write it as {bucket: legacy-s3"),
    ],
)
def test_what_should_be_a_mapping_or_a_name_is_told_by_its_own_name(
    seeded: World, setting: str, value: object, told: str
) -> None:
    played = seeded.play(playbook="playbooks/plan.yml", **{setting: value})
    assert played.code != 0
    assert played.errors == 1
    assert told in played.message
    assert "RH-102" in played.message
    assert "hunter2" not in played.output


def test_a_cluster_of_a_group_that_is_null_is_not_taken_for_none(seeded: World) -> None:
    played = seeded.play(playbook="playbooks/plan.yml", rehome_cluster={"hosts": None})
    assert played.code != 0
    assert "rehome_cluster: has neither address nor hosts" in played.message


def test_a_mapping_that_is_null_by_default_may_be_null(seeded: World) -> None:
    played = seeded.play(playbook="playbooks/plan.yml", rehome_restore=None, rehome_cluster=None)
    assert played.code == 0, played.output


def test_the_text_of_a_key_in_place_of_its_path_is_shown_and_kept_nowhere(seeded: World) -> None:
    text = "-----BEGIN PRIVATE KEY-----\nhunter2hunter2\n-----END PRIVATE KEY-----\n"
    cluster = {"address": "tls://127.0.0.1:1", "ca": "ca.pem", "cert": "cert.pem", "key": text}
    played = seeded.play("-vvv", playbook="playbooks/plan.yml", rehome_cluster=cluster)
    assert "rehome_cluster.key: is the text of a file" in played.output
    # Ansible itself prints the variables of its command line with -vvv
    shown = [line for line in played.output.splitlines() if "hunter2" in line and '"env": "sandbox"' not in line]
    assert shown == []
    kept = [path for path in seeded.state.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert kept == []


def test_a_damaged_catalog_or_summary_ends_in_one_message(seeded: World, tmp_path: Path) -> None:
    (tmp_path / "catalog.duckdb").mkdir()
    refused(seeded, "rehome_state_dir", "catalog.duckdb", rehome_state_dir=str(tmp_path))


def test_an_environment_without_a_host_does_not_look_like_a_success(seeded: World) -> None:
    played = seeded.play(env="ungrouped")
    assert played.code != 0
    assert "names no environment" in played.message


def test_a_run_that_begins_at_its_end_does_not_report_an_older_one(seeded: World) -> None:
    assert seeded.play("--check").code == 0
    played = seeded.play("--start-at-task", "Sum up")
    assert played.code != 0
    assert "is of another run" in played.message


def test_a_user_who_may_not_write_the_journal_is_reported_before_anything_moves(seeded: World) -> None:
    seeded.query("CREATE DATABASE readonly_journal")
    seeded.query(
        "CREATE TABLE readonly_journal.journal (id INT, chunk TEXT, migration TEXT, fingerprint TEXT, reference TEXT,"
        " direction TEXT, undoes INT, row_count INT, first_key TEXT, last_key TEXT, entries BLOB, sha256 TEXT,"
        " written_at TIMESTAMP, written_by TEXT)"
    )
    seeded.query("GRANT SELECT ON readonly_journal.* TO 'migrate'@'%'")
    try:
        refused(
            seeded,
            *("rehome_journal_schema (readonly_journal)", "INSERT command denied"),
            "GRANT CREATE, SELECT, INSERT ON `readonly_journal`.* TO 'migrate'@'%'",
            rehome_journal_schema="readonly_journal",
        )
    finally:
        seeded.query("DROP DATABASE readonly_journal")


def test_nothing_set_at_all(seeded: World) -> None:
    refused(
        seeded,
        *("rehome_source.bucket", "S3_LEGACY_BUCKET_NAME", "rehome_target.bucket", "S3_PROD_BUCKET_NAME"),
        *("rehome_source.prefix", "OLD_PREFIX", "rehome_database.host", "DB_HOST", "rehome_database.name", "DB_NAME"),
        env="prod",
    )


def test_the_sandbox_is_not_up(seeded: World) -> None:
    record = seeded.sandbox.record
    aside = record.with_suffix(".aside")
    record.rename(aside)
    try:
        played = seeded.play()
    finally:
        aside.rename(record)
    assert played.code != 0
    assert "make sandbox-up" in played.message
    assert "Traceback" not in played.output


def test_a_bucket_that_does_not_exist(seeded: World) -> None:
    admin = seeded.record["s3"]["users"]["admin"]
    refused(
        seeded,
        *("rehome_source.bucket (no-such-bucket)", "no bucket of this name"),
        rehome_source=source(seeded, bucket="no-such-bucket", **admin),
    )


def test_a_bucket_that_these_credentials_may_not_list_is_distinguished_from_a_missing_one(seeded: World) -> None:
    seeded.sandbox.store.client().create_bucket(Bucket="somebody-elses")
    try:
        refused(
            seeded,
            "rehome_source",
            "somebody-elses",
            "denies listing",
            rehome_source=source(seeded, bucket="somebody-elses"),
        )
    finally:
        seeded.sandbox.store.client().delete_bucket(Bucket="somebody-elses")


def test_credentials_that_may_not_write_the_target(seeded: World) -> None:
    reader = seeded.record["s3"]["users"]["reader"]
    refused(
        seeded,
        *("rehome_target (s3://production-s3/avatar/)", "AccessDenied", "Grant s3:PutObject on"),
        rehome_target=source(seeded, bucket="production-s3", prefix="avatar/", **reader),
    )


def test_a_wrong_access_key(seeded: World) -> None:
    refused(seeded, "rehome_source.access_key (AKWRONG)", rehome_source=source(seeded, access_key="AKWRONG"))


def test_a_wrong_secret(seeded: World) -> None:
    played = refused(seeded, "rehome_source.secret_key", rehome_source=source(seeded, secret_key="definitely-not-it"))
    assert "definitely-not-it" not in played.output


def test_an_endpoint_that_refuses_connections(seeded: World) -> None:
    refused(
        seeded,
        *("rehome_source.endpoint_url (http://127.0.0.1:9)", "refused"),
        rehome_source=source(seeded, endpoint_url="http://127.0.0.1:9"),
    )


def test_tls_against_a_plain_port(seeded: World) -> None:
    url = seeded.record["s3"]["endpoint_url"].replace("http://", "https://")
    refused(seeded, "rehome_source.endpoint_url", url, "TLS", rehome_source=source(seeded, endpoint_url=url))


def test_source_equal_to_target(seeded: World) -> None:
    refused(
        seeded,
        *("rehome_target (legacy-s3/image/)", "same place"),
        rehome_target=source(seeded),
    )


def test_target_inside_the_source(seeded: World) -> None:
    refused(
        seeded,
        *("rehome_target.prefix (image/new/)", "one inside the other"),
        rehome_target=source(seeded, prefix="image/new/"),
    )


def test_an_empty_prefix_without_an_explicit_setting(seeded: World) -> None:
    refused(
        seeded,
        *("rehome_source.prefix", "whole bucket", "rehome_source.whole_bucket: true"),
        rehome_source=source(seeded, prefix=""),
    )


def test_an_unknown_table(seeded: World) -> None:
    refused(
        seeded,
        *("rehome_references[0].table (avatar)", "no table avatar"),
        rehome_references=[{"table": "avatar", "column": "path"}],
    )


def test_an_unknown_column(seeded: World) -> None:
    refused(
        seeded,
        *("rehome_references[0].column (file)", "it has id, user_id, path"),
        rehome_references=[{"table": "avatars", "column": "file"}],
    )


def test_a_condition_that_the_server_does_not_take(seeded: World) -> None:
    refused(
        seeded,
        *("rehome_references[0].where (deleted_at IS NULL)", "Unknown column", "t.<column>"),
        rehome_references=[{"table": "avatars", "column": "path", "where": "deleted_at IS NULL"}],
    )


def test_a_table_without_a_usable_unique_key(seeded: World) -> None:
    seeded.query("CREATE TABLE keyless (path VARCHAR(255))")
    try:
        refused(
            seeded,
            *("rehome_references[0] (keyless.path)", "no usable unique key"),
            rehome_references=[{"table": "keyless", "column": "path"}],
        )
    finally:
        seeded.query("DROP TABLE keyless")


def test_a_wrong_database_password(seeded: World) -> None:
    played = refused(
        seeded,
        *("rehome_database.user (migrate)", "rehome_database.password"),
        rehome_database=database(seeded, password="definitely-not-it"),
    )
    assert "definitely-not-it" not in played.output


def test_a_database_host_that_refuses_connections(seeded: World) -> None:
    refused(seeded, "rehome_database.host (127.0.0.1:9)", rehome_database=database(seeded, port=9))


def test_a_database_that_does_not_exist(seeded: World) -> None:
    refused(seeded, "rehome_database.name (nope)", rehome_database=database(seeded, name="nope"))


def test_a_database_user_who_may_only_read(seeded: World) -> None:
    reader = seeded.record["database"]["users"]["reader"]
    refused(
        seeded,
        *("rehome_database.user", "may not rewrite avatars.path"),
        "GRANT SELECT (`id`, `path`, `updated_at`), UPDATE (`path`, `updated_at`) ON `app`.`avatars` TO 'reader'@'%'",
        rehome_database=database(seeded, **reader),
    )


def test_a_target_path_longer_than_its_column(seeded: World) -> None:
    target = source(seeded, bucket="production-s3", prefix="a" * 250 + "/")
    refused(seeded, "5 rows would become longer than their column takes", "Widen the column", rehome_target=target)
    assert len(seeded.lines("rows-overflowing")) == 5


def test_a_dangling_row_under_the_policy_fail(seeded: World) -> None:
    seeded.query("INSERT INTO avatars (user_id, path) VALUES (99, 'image/avatar-none.png')")
    try:
        refused(seeded, "rehome_on_dangling (fail): 1 rows", "rows-dangling.jsonl", "keep")
        assert [line["value"] for line in seeded.lines("rows-dangling")] == ["image/avatar-none.png"]
    finally:
        seeded.query("DELETE FROM avatars WHERE user_id = 99")


def test_a_conflict_under_the_policy_fail(seeded: World) -> None:
    client = seeded.sandbox.store.client()
    client.put_object(Bucket="production-s3", Key="avatar/avatar-1.png", Body=b"something else")
    try:
        refused(seeded, "rehome_on_conflict (fail): 1 target objects", "objects-conflict.jsonl", "overwrite")
        assert [line["key"] for line in seeded.lines("objects-conflict")] == ["image/avatar-1.png"]
    finally:
        client.delete_object(Bucket="production-s3", Key="avatar/avatar-1.png")


def test_a_state_folder_that_cannot_be_written(seeded: World) -> None:
    # a file in place of the folder stops root too
    blocker = seeded.folder / "blocker"
    blocker.write_text("")
    refused(seeded, "rehome_state_dir", "cannot be written", rehome_state_dir=str(blocker / "state"))


def test_several_mistakes_are_reported_together(seeded: World, tmp_path: Path) -> None:
    refused(
        seeded,
        *("rehome_source.access_key", "rehome_references[0].table (avatar)"),
        rehome_source=source(seeded, access_key="AKWRONG"),
        rehome_references=[{"table": "avatar", "column": "path"}],
    )


def test_the_same_name_for_other_settings_is_refused_once_it_has_written(seeded: World) -> None:
    try:
        assert seeded.play().code == 0
        refused(
            seeded,
            *("rehome_name (avatars)", " UTC by ", "s3://legacy-s3/image/ to s3://production-s3/avatar/"),
            *("include avatar-*.png", "include *.png", "put it back", "choose another rehome_name"),
            rehome_include=["*.png"],
        )
    finally:
        seeded.seed(5)

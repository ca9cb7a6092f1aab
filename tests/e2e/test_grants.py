"""grants.yml: a migration with exactly the rights that are granted, no secret in any output, and the removal."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import psutil
import pytest
import yaml

from matrix.servers.moto import Moto
from tests.e2e.conftest import BIN, Played, World, Worlds, play_to_end
from tests.e2e.modules import OF_AWS, play_forked

pytestmark = pytest.mark.needs("rights")

PLAYBOOK = "playbooks/grants.yml"
RETIRE = "playbooks/retire.yml"


class Granting:
    """A world with an administrator, in which grants.yml creates the user `rehome`."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.kept = world.folder / ".sandbox" / "credentials.yml"
        self._password = folder / "vault-password"
        self._password.write_text("of the vault, and no other")

    def play(
        self, playbook: str, *arguments: str, exported: Mapping[str, str] | None = None, **variables: Any
    ) -> Played:
        """Run a playbook to its end: in forks, or as operators do with -vvv."""
        given = [*(["-e", f"@{self.kept}"] if self.kept.exists() else []), *arguments]
        wanted = {"playbook": playbook, "sandbox_user": "rehome", **variables}
        if "-vvv" in arguments:
            vault = {"ANSIBLE_VAULT_PASSWORD_FILE": str(self._password)}
            return play_to_end(self.world.start(*given, exported={**vault, **(exported or {})}, **wanted))
        options = self.world.arguments(*given, "--vault-password-file", str(self._password), **wanted)
        return play_forked(options, {**os.environ, **(exported or {})}, OF_AWS if playbook == PLAYBOOK else ())

    def secrets(self) -> dict[str, Any]:
        command = [BIN / "ansible-vault", "view", "--vault-password-file", self._password, self.kept]
        text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        return yaml.safe_load(text)["rehome_credentials"]  # type: ignore[no-any-return]

    def users(self) -> set[str]:
        """Return the names of the database's users."""
        if self.world.db == "postgresql":
            return {name for (name,) in self.world.query("SELECT rolname FROM pg_roles")}
        return {name for (name,) in self.world.query("SELECT user FROM mysql.user")}

    def iam(self) -> Any:
        store = self.world.sandbox.store
        admin = store.users["admin"]
        return iam_at(store.endpoint_url, admin.access_key, admin.secret_key)

    def principals(self) -> set[str]:
        of_the_sandbox = {"admin", "migrate", "retire", "reader"}
        return {user["UserName"] for user in self.iam().list_users()["Users"]} - of_the_sandbox

    def policies(self) -> set[str]:
        """Return the names of the principals' policies: managed ones, or inline ones where the store has no others."""
        iam = self.iam()
        if "managed policies" not in self.world.sandbox.store.lacks:
            return {policy["PolicyName"] for policy in iam.list_policies(Scope="Local")["Policies"]}
        return {name for user in self.principals() for name in iam.list_user_policies(UserName=user)["PolicyNames"]}

    def everything(self) -> dict[str, Any]:
        return {
            **self.world.everything(),
            "users": self.users(),
            "principals": self.principals(),
            "policies": self.policies(),
            "kept": self.kept.exists(),
        }


def iam_at(endpoint_url: str, access_key: str, secret_key: str) -> Any:
    return botocore.session.Session().create_client(
        "iam",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    )


@pytest.fixture
def granting(world: World, tmp_path: Path) -> Iterator[Granting]:
    yield from _granting(world, tmp_path)


@pytest.fixture(params=["mariadb", "postgresql"])
def any_granting(
    request: pytest.FixtureRequest,
    worlds: Worlds,
    tmp_path: Path,
) -> Iterator[Granting]:
    yield from _granting(worlds.of(request.param), tmp_path)


def _granting(world: World, folder: Path) -> Iterator[Granting]:
    drop = "DROP TABLE IF EXISTS rehome.journal" if world.db == "mariadb" else "DROP SCHEMA IF EXISTS rehome CASCADE"
    world.query(drop)
    world.seed(6)
    granting = Granting(world, folder)
    yield granting
    if granting.principals() or "rehome" in granting.users():
        assert granting.play(PLAYBOOK, rehome_grants_state="absent").code == 0
    assert granting.principals() == granting.policies() == set()


def test_a_dry_run_shows_what_would_be_granted_and_grants_nothing(granting: Granting) -> None:
    before = granting.everything()
    checked = granting.play(PLAYBOOK, "--check", "--diff")
    assert checked.code == 0, checked.output
    assert checked.changed > 0
    assert granting.everything() == before
    assert '+        "arn:aws:s3:::production-s3/avatar/*"' in checked.output
    assert "+GRANT SELECT (`id`, `path`, `updated_at`), UPDATE (`path`, `updated_at`)" in checked.output
    assert "+GRANT REFERENCES ON `app`.* TO `rehome`@`%`" in checked.output


def test_a_job_of_awx_makes_no_secrets_that_would_be_gone_with_it(granting: Granting) -> None:
    before = granting.everything()
    inventory = granting.world.folder / "inventory"
    kept = inventory / "host_vars" / "rehome-sandbox" / "rehome_credentials.yml"
    refused = granting.play(PLAYBOOK, awx_job_id=7, rehome_grants_secrets_file=str(kept))
    assert refused.code != 0
    assert f"rehome_grants_secrets_file ({kept}): is in a folder of this job" in refused.message
    assert "rehome_grants_hand_over" in refused.message
    assert granting.everything() == before
    assert not kept.exists()


THEIRS = {
    "Sid": "Theirs",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:PutBucketWebsite",
    "Resource": "arn:aws:s3:::legacy-s3",
}
"""A foreign statement in the policy of the source bucket."""


@pytest.fixture
def bucket_policy(any_granting: Granting) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Return the statements of the source bucket's policy, which holds a foreign one."""
    s3 = any_granting.world.sandbox.store.client()
    s3.put_bucket_policy(Bucket="legacy-s3", Policy=json.dumps({"Version": "2012-10-17", "Statement": [THEIRS]}))
    yield lambda: json.loads(s3.get_bucket_policy(Bucket="legacy-s3")["Policy"])["Statement"]
    s3.delete_bucket_policy(Bucket="legacy-s3")


def test_migrate_works_with_exactly_the_rights_that_are_granted_and_they_go_again(
    any_granting: Granting, bucket_policy: Callable[[], list[dict[str, Any]]]
) -> None:
    granting, world = any_granting, any_granting.world
    options = {"rehome_grants_bucket_policy": True}
    with command_lines() as seen:
        granted = granting.play(PLAYBOOK, "-vvv", **options)
    assert granted.code == 0, granted.output
    made = granting.secrets()
    assert granting.principals() == {"rehome-avatars-migrate", "rehome-avatars-retire"}
    assert stat.S_IMODE(granting.kept.stat().st_mode) == 0o600
    assert made["migrate"]["source"] == made["migrate"]["target"] != made["retire"]["source"]
    assert any("ansible-playbook" in line for line in seen)
    assert_nowhere(secrets_of(made), granted.output, *seen, granting.kept.read_text(), *texts_in(world.state))
    assert THEIRS in bucket_policy()
    ours = [one for one in bucket_policy() if one != THEIRS]
    assert {one["Principal"]["AWS"].rpartition("/")[2] for one in ours} == granting.principals()

    again = granting.play(PLAYBOOK, **options)
    assert (again.code, again.changed) == (0, 0), again.output

    migrated = granting.play("migrate.yml")
    assert migrated.code == 0, migrated.output
    assert world.summary["complete"]
    assert world.summary["rows_rewritten"] == 6
    world.assert_no_row_dangles()
    assert_nowhere(secrets_of(made), migrated.output, *texts_in(world.state))

    for changes in (True, False):
        gone = granting.play(PLAYBOOK, **options, rehome_grants_state="absent")
        assert gone.code == 0, gone.output
        assert (gone.changed > 0) == changes, gone.output
        # the journal is kept
        assert "entries are the only way back" in " ".join(gone.output.split())
    assert "rehome" not in granting.users()
    assert not granting.kept.exists()
    assert granting.principals() == granting.policies() == set()
    assert bucket_policy() == [THEIRS]
    assert world.query("SELECT COUNT(*) FROM rehome.journal")[0][0] > 0


def test_an_administrator_of_the_environment_grants_and_what_was_granted_wins_over_the_environment(
    granting: Granting,
) -> None:
    store, database = granting.world.record["s3"], granting.world.record["database"]
    admin, endpoint = database["users"]["admin"], store["endpoint_url"]
    places = {"S3_SOURCE_ENDPOINT_URL": endpoint, "S3_TARGET_ENDPOINT_URL": endpoint}
    administrator = {
        "DB_ADMIN_USER": admin["user"],
        "DB_ADMIN_PASSWD": admin["password"],
        "AWS_ACCESS_KEY_ID": store["users"]["admin"]["access_key"],
        "AWS_SECRET_ACCESS_KEY": store["users"]["admin"]["secret_key"],
    }
    settings: dict[str, Any] = {
        "rehome_source": {"bucket": store["source_bucket"], "prefix": "image/", "region": store["region"]},
        "rehome_target": {"bucket": store["target_bucket"], "prefix": "avatar/", "region": store["region"]},
        **{f"rehome_admin_{part}": {} for part in ("source", "target", "database")},
    }
    granted = granting.play(PLAYBOOK, exported={**places, **administrator}, **settings)
    assert granted.code == 0, granted.output
    assert granting.users() >= {"rehome"}
    assert granting.principals()
    for secret in (administrator["DB_ADMIN_PASSWD"], administrator["AWS_SECRET_ACCESS_KEY"]):
        assert secret not in granted.output

    keys = ("ACCESS_KEY", "SECRET_KEY", "SESSION_TOKEN")
    of_others = {f"S3_{side}_{key}": "of-another" for side in ("SOURCE", "TARGET") for key in keys}
    others = {**places, **of_others, "DB_USER": "another", "DB_PASSWD": "of-another"}
    migrated = granting.play("migrate.yml", exported=others, **settings)
    assert migrated.code == 0, migrated.output
    assert granting.world.summary["rows_rewritten"] == 6


def test_retire_deletes_and_brings_back_with_exactly_the_rights_that_are_granted(granting: Granting) -> None:
    world = granting.world
    assert world.play().code == 0
    client = world.sandbox.store.client()
    client.put_bucket_versioning(Bucket="legacy-s3", VersioningConfiguration={"Status": "Enabled"})
    before = world.objects("legacy-s3")
    granted = granting.play(PLAYBOOK, rehome_grants_undelete=False)
    assert granted.code == 0, granted.output
    warned = granting.play(RETIRE, "--check", rehome_retire_after="0d")
    assert warned.code == 0, warned.output
    assert "rehome_grants_undelete: true" in " ".join(warned.output.split())
    granted = granting.play(PLAYBOOK)
    assert granted.code == 0, granted.output
    retired = granting.play(RETIRE, confirm="legacy-s3", rehome_retire_after="0d")
    assert retired.code == 0, retired.output
    assert "rehome_grants_undelete" not in retired.output
    assert (world.summary["objects_retired"], world.objects("legacy-s3")) == (6, {})
    back = granting.play(RETIRE, restore="true")
    assert back.code == 0, back.output
    assert world.objects("legacy-s3") == before
    rolled_back = granting.play("playbooks/rollback.yml")
    assert rolled_back.code == 0, rolled_back.output
    assert world.summary["rows_restored"] == 6


def test_secrets_are_handed_over_to_the_operators_own_tasks_and_rotated_on_request(
    granting: Granting, tmp_path: Path
) -> None:
    safe, tasks = tmp_path / "safe.json", tmp_path / "safe.yml"
    tasks.write_text(
        "- ansible.builtin.lineinfile:\n"
        f"    path: {safe}\n    create: true\n    mode: '0600'\n"
        "    line: '{{ rehome_credentials_made | to_json }}'\n"
    )
    for changes in (True, False):
        played = granting.play(PLAYBOOK, "-vv", rehome_grants_hand_over=str(tasks))
        assert played.code == 0, played.output
        assert (played.changed > 0) == changes, played.output
    assert not granting.kept.exists()
    old = [json.loads(line) for line in safe.read_text().splitlines()]
    assert [sorted(part) for part in old] == [["migrate"], ["retire"], ["migrate", "retire"]]
    assert_nowhere([secret for part in old for secret in secrets_of(part)], played.output)

    lost = granting.play(PLAYBOOK)  # into a file, which does not hold them
    assert lost.code != 0
    assert "does not hold the secret of" in lost.message
    assert "rehome_grants_rotate=true" in lost.message

    changed = granting.play(PLAYBOOK, rehome_grants_rotate=True)
    assert changed.code == 0, changed.output
    new = granting.secrets()["migrate"]["source"]["access_key"]
    assert new != old[0]["migrate"]["source"]["access_key"]
    keys = granting.iam().list_access_keys(UserName="rehome-avatars-migrate")["AccessKeyMetadata"]
    assert [key["AccessKeyId"] for key in keys] == [new]


def test_policies_are_only_written_where_others_manage_iam(granting: Granting) -> None:
    before = granting.everything()
    written = granting.play(PLAYBOOK, rehome_grants_principals="document", rehome_grants_database=False)
    assert written.code == 0, written.output
    assert granting.everything() == before
    policy = json.loads((granting.world.state / "grants" / "rehome-avatars-migrate.json").read_text())
    assert {one["Sid"] for one in policy["Statement"]} >= {"RehomeListSource", "RehomeWriteTarget"}


def test_a_user_that_has_other_rights_too_is_left_alone(granting: Granting) -> None:
    before = granting.everything()
    refused = granting.play(PLAYBOOK, sandbox_user="migrate")
    assert refused.code != 0
    assert "rehome_database.user (migrate): exists and has more than a migration needs" in refused.message
    assert "SELECT ON app.*" in refused.message
    assert granting.everything() == before


def test_what_the_database_would_refuse_is_found_before_a_principal_is_made(granting: Granting) -> None:
    before = granting.everything()
    granting.world.query("CREATE USER half@'%%' IDENTIFIED BY 'of no great use'")
    granting.world.query("GRANT SELECT ON *.* TO half@'%%'")
    admin = {"rehome_admin_database": {"user": "half", "password": "of no great use"}}
    try:
        checked = granting.play(PLAYBOOK, "--check", **admin)
        assert "The administrator may lack CREATE USER" in " ".join(checked.output.split())
        refused = granting.play(PLAYBOOK, **admin)
    finally:
        granting.world.query("DROP USER half@'%%'")
    assert refused.code != 0
    assert "rehome_admin_database.user (half): cannot create or change the user rehome" in refused.message
    assert granting.everything() == before


def test_a_break_in_the_middle_says_what_stands_and_how_to_take_it_away(granting: Granting, tmp_path: Path) -> None:
    tasks = tmp_path / "safe.yml"
    tasks.write_text("- name: Open the safe\n  ansible.builtin.fail:\n    msg: it is closed\n")
    before = granting.everything()
    broken = granting.play(PLAYBOOK, rehome_grants_hand_over=str(tasks))
    assert broken.code != 0
    assert granting.principals() == {"rehome-avatars-migrate"}
    words = " ".join(broken.output.split())
    assert "Open the safe: " in words
    assert "Now stand: IAM user rehome-avatars-migrate with its policy, 1 access key." in words
    assert "-e rehome_grants_state=absent" in words
    gone = granting.play(PLAYBOOK, rehome_grants_state="absent")
    assert gone.code == 0, gone.output
    assert granting.everything() == before


def test_without_a_vault_password_nothing_is_made(granting: Granting) -> None:
    before = granting.everything()
    refused = play_to_end(granting.world.start(playbook=PLAYBOOK, sandbox_user="rehome"))
    assert refused.code != 0
    assert "this run has no vault password" in " ".join(refused.output.split())
    assert granting.everything() == before


def test_roles_get_a_trust_policy_and_go_again(granting: Granting, moto: Moto) -> None:
    """Run against moto, as SeaweedFS has no roles."""
    keys = moto.users["admin"]
    iam = iam_at(moto.endpoint_url, keys.access_key, keys.secret_key)
    principal = {"AWS": "arn:aws:iam::123456789012:root"}
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
    }
    options = {
        "rehome_grants_principals": "role",
        "rehome_grants_database": False,
        "rehome_grants_trust": trust,
        "rehome_admin_target": {
            "endpoint_url": moto.endpoint_url,
            "access_key": keys.access_key,
            "secret_key": keys.secret_key,
        },
    }
    played = granting.play(PLAYBOOK, **options)
    assert played.code == 0, played.output
    role = iam.get_role(RoleName="rehome-avatars-migrate")["Role"]
    assert role["AssumeRolePolicyDocument"] == trust
    assert len(iam.list_attached_role_policies(RoleName="rehome-avatars-migrate")["AttachedPolicies"]) == 1
    played = granting.play(PLAYBOOK, **options, rehome_grants_state="absent")
    assert played.code == 0, played.output
    assert not [role for role in iam.list_roles()["Roles"] if role["RoleName"].startswith("rehome-")]
    assert iam.list_policies(Scope="Local")["Policies"] == []


# P9


def secrets_of(made: dict[str, Any]) -> list[str]:
    """Return every generated secret in credentials."""
    if not isinstance(made, dict):
        return []
    found = [str(value) for name, value in made.items() if name in ("secret_key", "password")]
    return found + [secret for value in made.values() for secret in secrets_of(value)]


def assert_nowhere(secrets: list[str], *places: str) -> None:
    assert len(secrets) >= 1
    assert all(len(secret) >= 16 for secret in secrets)
    for place in places:
        assert not [True for secret in secrets if secret in place]


def texts_in(folder: Path) -> list[str]:
    return [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]


@contextmanager
def command_lines() -> Iterator[list[str]]:
    """Collect the command lines of all descendants of this process. Yields the list, which is filled at the end."""
    seen: list[str] = []
    over = threading.Event()

    def collect() -> None:
        lines: set[str] = set()
        while not over.wait(0.1):
            for process in psutil.Process().children(recursive=True):
                try:
                    lines.add(" ".join(process.cmdline()))
                except psutil.Error:
                    continue  # the process has ended
        seen.extend(lines)

    watcher = threading.Thread(target=collect)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()

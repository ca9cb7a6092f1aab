"""The rights that grants.yml grants suffice, none is superfluous, and the preflight names each missing one."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from rehome.config.read import read_settings
from rehome.config.settings import Database, Settings
from rehome.db.dialect import DatabaseError
from rehome.db.engines.mysql import account as mysql
from rehome.db.engines.mysql.dialect import MySQL
from rehome.db.engines.open import connect
from rehome.db.engines.postgresql import account as postgresql
from rehome.db.engines.postgresql.dialect import PostgreSQL
from rehome.db.rights import Right, mysql_privileges, postgresql_changes
from rehome.errors import RefusedError, RehomeError
from rehome.grants.account import plan_account
from rehome.grants.database_user import try_user, update_user
from rehome.grants.iam_principal import remove_principal
from rehome.grants.policy import Document, Needs, actions, principals
from rehome.grants.principal_policy import set_policy
from rehome.grants.settings import GrantSettings, read_grant_settings
from rehome.preflight.preflight import preflight
from rehome.progress import Progress

from sandbox.database import DatabaseServer
from sandbox.s3_server import S3Server, s3_client
from sandbox.sqlite import SQLite
from tests.conftest import Buckets
from tests.statements import execute_as

pytestmark = pytest.mark.needs("rights")


@dataclass
class Place:
    """The servers and settings of a migration, and the principal whose rights are tested."""

    store: S3Server
    settings: Settings
    iam: Any
    name: str

    @property
    def policy(self) -> Document:
        return principals(self.settings, Needs())[0].policy

    def allow(self, policy: Document) -> None:
        set_policy(self.iam, "user", self.name, policy)

    def client(self) -> Any:
        side = self.settings.source
        return s3_client(self.store.endpoint_url, side.access_key or "", side.secret_key or "")


def iam_of(store: S3Server) -> Any:
    admin = store.users["admin"]
    return botocore.session.Session().create_client(
        "iam",
        endpoint_url=store.endpoint_url,
        region_name=store.region,
        aws_access_key_id=admin.access_key,
        aws_secret_access_key=admin.secret_key,
    )


def settings_of(store: S3Server, buckets: Buckets, database: dict[str, Any], folder: Path, key: Any) -> Settings:
    access = {
        "endpoint_url": store.endpoint_url,
        "region": store.region,
        "access_key": key["AccessKeyId"],
        "secret_key": key["SecretAccessKey"],
    }
    return read_settings(
        {
            "name": "test",
            "source": {"bucket": buckets.source, "prefix": "image/", **access},
            "target": {"bucket": buckets.target, "prefix": "avatar/", **access},
            "include": ["*"],
            "exclude": [],
            "database": database,
            "references": [{"table": "avatars", "column": "path", "form": "key", "where": "user_id > 0"}],
            "on_conflict": "fail",
            "on_dangling": "fail",
            "journal_schema": "rehome",
            "state_dir": str(folder),
        }
    )


def grants_of(
    store: S3Server, settings: Settings, admin_database: dict[str, Any] | None = None, **further: Any
) -> GrantSettings:
    keys = store.users["admin"]
    admin = {"access_key": keys.access_key, "secret_key": keys.secret_key}
    return read_grant_settings(
        {
            "state": "present",
            "principals": "user",
            "name": "rehome-test",
            "database": True,
            "connections": 10,
            "secrets_file": str(settings.state_dir / "kept" / "secrets.yml"),
            "admin_source": admin,
            "admin_target": admin,
            "admin_database": admin_database or {},
            **further,
        },
        settings,
    )


@pytest.fixture
def place(object_store: S3Server, buckets: Buckets, sqlite: SQLite, tmp_path: Path) -> Iterator[Place]:
    iam, name = iam_of(object_store), f"rehome-{secrets.token_hex(4)}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    settings = settings_of(object_store, buckets, sqlite.database(), tmp_path, key)
    admin = object_store.client()
    admin.put_object(Bucket=buckets.source, Key="image/a.png", Body=b"a", Tagging="a=b")
    admin.put_object(Bucket=buckets.source, Key="other/a.png", Body=b"a")
    place = Place(object_store, settings, iam, name)
    place.allow(place.policy)
    yield place
    remove_principal(grants_of(object_store, settings).admin_target, "user", name)


IMPLIED_BY_PUT_OBJECT = {"seaweedfs": {"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}, "ceph": set[str]()}
"""SeaweedFS 4.48 grants these with s3:PutObject. tests/unit/s3/probe/test_probe.py denies them one by one."""

FOR_ADMINISTRATORS_ONLY = {
    "seaweedfs": {"s3:GetBucketOwnershipControls", "s3:GetReplicationConfiguration"},
    "ceph": {"s3:GetBucketOwnershipControls"},
}
"""SeaweedFS 4.48 and Ceph 20.2 refuse these to all but administrators. The preflight reports that and goes on."""


def test_without_any_one_of_the_actions_the_preflight_names_it(place: Place) -> None:
    place.store.client().put_bucket_versioning(
        Bucket=place.settings.target.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    for_administrators = FOR_ADMINISTRATORS_ONLY[place.store.name]
    before = preflight_messages(place.settings, of="bucket")
    assert {action for action in allowed(place.policy) if named(action, before)} == for_administrators
    unnoticed = set()
    for sid, action in actions(place.policy):
        place.allow(without(place.policy, sid, action))
        if named(action, preflight_messages(place.settings, of="bucket")) <= named(action, before):
            unnoticed.add(action)
    assert unnoticed == IMPLIED_BY_PUT_OBJECT[place.store.name] | for_administrators


def allowed(policy: Document) -> set[str]:
    return {action for _, action in actions(policy)}


def named(action: str, messages: str) -> int:
    """Return how often the messages advise to grant the action."""
    return len(re.findall(rf"Grant [^.]*{action} (?:and|on) ", messages))


def preflight_messages(settings: Settings, of: str) -> str:
    """Return all checks that did not pass, about buckets (`of="bucket"`) or about anything else."""
    checks = preflight(settings, dry_run=False, progress=Progress(settings.state_dir)).checks
    return " ".join(
        f"{check.value}: {check.found}. {check.advice}."
        for check in checks
        if check.status != "pass" and check.subject.endswith("bucket") == (of == "bucket")
    )


def test_actions_that_the_server_does_not_tell_apart_are_really_let_through(place: Place) -> None:
    """If the server begins to refuse one of them, the loop above has to notice it."""
    policy = place.policy
    for action in IMPLIED_BY_PUT_OBJECT[place.store.name]:
        policy = without(policy, "RehomeWriteTarget", action)
    place.allow(policy)
    client, params = place.client(), {"Bucket": place.settings.target.bucket, "Key": "avatar/a.png"}
    upload = client.create_multipart_upload(**params)["UploadId"]
    client.list_parts(**params, UploadId=upload)
    client.abort_multipart_upload(**params, UploadId=upload)


def test_everything_else_is_refused(place: Place) -> None:
    source, target, client = place.settings.source.bucket, place.settings.target.bucket, place.client()
    place.store.client().put_object(Bucket=target, Key="avatar/mine.png", Body=b"x")
    place.store.client().put_object(Bucket=target, Key="other/mine.png", Body=b"x")
    attempts = {
        "list the whole source": lambda: client.list_objects_v2(Bucket=source),
        "list another prefix": lambda: client.list_objects_v2(Bucket=source, Prefix="other/"),
        "list the whole target": lambda: client.list_objects_v2(Bucket=target),
        "read another prefix": lambda: client.get_object(Bucket=source, Key="other/a.png"),
        "read another prefix of the target": lambda: client.get_object(Bucket=target, Key="other/mine.png"),
        "write to the source": lambda: client.put_object(Bucket=source, Key="image/b.png", Body=b"x"),
        "tag the source": lambda: client.put_object_tagging(
            Bucket=source, Key="image/a.png", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}
        ),
        "delete from the source": lambda: client.delete_object(Bucket=source, Key="image/a.png"),
        "delete from the target": lambda: client.delete_object(Bucket=target, Key="avatar/mine.png"),
        "write beside the prefix": lambda: client.put_object(Bucket=target, Key="other/b.png", Body=b"x"),
        "copy from beside the prefix": lambda: client.copy_object(
            Bucket=target, Key="avatar/b.png", CopySource={"Bucket": source, "Key": "other/a.png"}
        ),
        "change access": lambda: client.put_object_acl(Bucket=target, Key="avatar/mine.png", ACL="public-read"),
        "change the bucket's policy": lambda: client.delete_bucket_policy(Bucket=source),
        "delete the bucket": lambda: client.delete_bucket(Bucket=target),
        "make a bucket": lambda: client.create_bucket(Bucket=f"{target}-more"),
    }
    allowed = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied", (name, error)
        else:
            allowed.append(name)
    assert allowed == []


def without(policy: Document, sid: str, action: str) -> Document:
    statements = [
        {**one, "Action": [other for other in one["Action"] if (one["Sid"], other) != (sid, action)]}
        for one in policy["Statement"]
    ]
    return {**policy, "Statement": [one for one in statements if one["Action"]]}


@dataclass
class Accounts:
    """A database with the table, and a user who was created with the statements of the plan."""

    server: DatabaseServer
    settings: Settings
    grants: GrantSettings

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        return execute_as(self.server, "admin", *statements)

    @property
    def is_postgresql(self) -> bool:
        return self.server.engine == "postgresql"

    @property
    def table(self) -> tuple[str, str]:
        return "public" if self.is_postgresql else "app", "avatars"

    @property
    def user(self) -> str:
        return self.settings.database.user or ""

    def forbidden(self) -> list[str]:
        """Return what the user must not do. Before 15, everybody may create tables in PostgreSQL's `public`."""
        if self.is_postgresql and self.execute("SELECT has_schema_privilege('public', 'public', 'CREATE')") == [
            (True,)
        ]:
            return [statement for statement in FORBIDDEN if statement != CREATE]
        return FORBIDDEN

    def make(self) -> None:
        assert update_user(self.settings, self.grants, None, dry_run=False).changed

    def remove(self) -> None:
        update_user(self.settings, replace(self.grants, state="absent"), None, dry_run=False)

    def change(self, action: str, right: Right) -> None:
        """GRANT or REVOKE one right."""
        if self.is_postgresql:
            self.execute(*postgresql_changes(action, [right], self.user, "app"))
        else:
            ((schema, table), words), *_ = mysql_privileges([right]).items()
            self.execute(
                f"{action} {words} ON {schema}.{table or '*'} {'TO' if action == 'GRANT' else 'FROM'} {self.user}"
            )


def named_of(accounts: Accounts, user: str) -> Settings:
    """Return the settings with a user of another name."""
    return replace(accounts.settings, database=replace(accounts.settings.database, user=user))


@pytest.fixture(params=["mariadb", "postgresql"])
def accounts(
    request: pytest.FixtureRequest, object_store: S3Server, buckets: Buckets, tmp_path: Path
) -> Iterator[Accounts]:
    server: DatabaseServer = request.getfixturevalue(request.param)
    admin = server.database("admin")
    object_store.client().put_object(Bucket=buckets.source, Key="image/a.png", Body=b"a")
    keys = object_store.users["migrate"]
    database = {**admin, "user": f"rehome_{secrets.token_hex(4)}", "password": secrets.token_hex(16)}
    key = {"AccessKeyId": keys.access_key, "SecretAccessKey": keys.secret_key}
    settings = settings_of(object_store, buckets, database, tmp_path, key)
    accounts = Accounts(server, settings, grants_of(object_store, settings, admin))
    everybody = ["CONNECT ON DATABASE app", "USAGE ON SCHEMA public"] if accounts.is_postgresql else []
    # as on a hardened server; rights that PUBLIC has cannot be missing
    accounts.execute(*[f"REVOKE {right} FROM PUBLIC" for right in everybody])
    try:
        accounts.make()
        yield accounts
    finally:
        accounts.execute(*[f"GRANT {right} TO PUBLIC" for right in everybody])
        accounts.remove()


def everything(accounts: Accounts) -> object:
    """Return users, rights and journal, as far as the plan sees them, and the names of all users."""
    users = "SELECT rolname FROM pg_roles" if accounts.is_postgresql else "SELECT user FROM mysql.user"
    absent = replace(accounts.grants, state="absent")
    return (
        sorted(accounts.execute(f"{users} ORDER BY 1")),
        plan_account(accounts.settings, absent).diffs,
        update_user(accounts.settings, absent, None, dry_run=True),
    )


def test_a_second_run_changes_nothing_and_a_trial_leaves_nothing(accounts: Accounts) -> None:
    before = everything(accounts)
    assert not update_user(accounts.settings, accounts.grants, None, dry_run=False).changed
    assert "nothing to change" in try_user(accounts.settings, accounts.grants, dry_run=False)
    accounts.remove()
    try:
        removed = everything(accounts)
        tried = try_user(accounts.settings, accounts.grants, dry_run=False)
        assert ("rolled back" if accounts.is_postgresql else "dropped again") in tried
        assert everything(accounts) == removed != before
        assert update_user(accounts.settings, accounts.grants, None, dry_run=True).changed
        assert everything(accounts) == removed
    finally:
        accounts.make()
    assert everything(accounts) == before


@pytest.mark.product("mysql")
@pytest.mark.parametrize("accounts", ["mariadb"], indirect=True)
def test_a_password_that_another_plugin_keeps_is_tried_by_a_login(accounts: Accounts) -> None:
    login = accounts.settings.database
    accounts.execute(f"ALTER USER '{login.user}'@'%' IDENTIFIED WITH sha256_password BY '{login.password}'")
    assert not update_user(accounts.settings, accounts.grants, None, dry_run=False).changed
    other = replace(accounts.settings, database=replace(login, password="of somebody else"))
    with pytest.raises(RefusedError, match=r"rehome_database.password: is not the password of database user"):
        update_user(other, accounts.grants, None, dry_run=False)


def test_the_user_logs_in_with_its_password_and_its_present_one_is_not_replaced_by_another(accounts: Accounts) -> None:
    with connect(accounts.settings.database) as database:
        assert database.run("SELECT 1") == [(1,)]
    other = replace(accounts.settings, database=replace(accounts.settings.database, password="of somebody else"))
    with pytest.raises(RefusedError, match=r"rehome_database.password: is not the password of database user"):
        update_user(other, accounts.grants, None, dry_run=False)
    with pytest.raises(RehomeError, match="needs a new password"):
        update_user(other, replace(accounts.grants, rotate=True), None, dry_run=False)
    rotated = update_user(other, replace(accounts.grants, rotate=True), "of somebody else", dry_run=False)
    assert rotated.changed
    with connect(other.database) as database:
        assert database.run("SELECT 1") == [(1,)]
    assert not update_user(other, accounts.grants, None, dry_run=False).changed


def test_what_differs_is_changed_and_nothing_else(accounts: Accounts) -> None:
    wanted = replace(accounts.grants, connections=11, expire_days=30)
    made = plan_account(accounts.settings, wanted)
    assert len(made.account.statements) == 1
    assert update_user(accounts.settings, wanted, None, dry_run=False).changed
    assert not update_user(accounts.settings, wanted, None, dry_run=False).changed
    accounts.change("GRANT", Right("SELECT", *accounts.table, "created_at"))
    assert update_user(accounts.settings, wanted, None, dry_run=False).changed
    assert Right("SELECT", *accounts.table, "created_at") not in rights_of(accounts)


def test_an_administrator_without_the_rights_is_told_before_the_first_write(accounts: Accounts) -> None:
    accounts.remove()
    before = everything(accounts)
    if accounts.is_postgresql:
        execute_as(accounts.server, "postgres", "ALTER ROLE admin NOCREATEROLE")
        weak = accounts.grants
    else:
        weak = replace(accounts.grants, admin_database=Database(**accounts.server.database("migrate")))
    try:
        for dry_run in (True, False) if accounts.is_postgresql else (False,):
            with pytest.raises(RefusedError, match=r"rehome_admin_database.user \(\w+\): cannot (read|create)"):
                try_user(accounts.settings, weak, dry_run)
    finally:
        if accounts.is_postgresql:
            execute_as(accounts.server, "postgres", "ALTER ROLE admin CREATEROLE")
    assert everything(accounts) == before
    accounts.make()


def test_a_name_that_is_too_long_for_the_server_is_told_before_the_first_write(accounts: Accounts) -> None:
    before = everything(accounts)
    settings = named_of(accounts, "ü" * 129)
    with pytest.raises(RefusedError) as refused:
        try_user(settings, accounts.grants, dry_run=False)
    assert "Use an administrator" not in str(refused.value)
    assert everything(accounts) == before


def test_a_server_that_takes_no_writes_stops_a_run_with_its_way_out_and_no_dry_run(accounts: Accounts) -> None:
    accounts.remove()
    before = everything(accounts)
    admin = accounts.server.superuser if accounts.is_postgresql else "admin"
    on, off = (
        (
            "ALTER ROLE admin IN DATABASE app SET default_transaction_read_only = on",
            "ALTER ROLE admin IN DATABASE app RESET ALL",
        )
        if accounts.is_postgresql
        else ("SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0")
    )
    execute_as(accounts.server, admin, on)
    try:
        assert "A run would stop" in try_user(accounts.settings, accounts.grants, dry_run=True)
        with pytest.raises(RefusedError, match=r"takes no writes now.*Connect to the primary"):
            try_user(accounts.settings, accounts.grants, dry_run=False)
    finally:
        execute_as(accounts.server, admin, off)
    assert everything(accounts) == before
    accounts.make()


def test_a_host_in_capitals_is_found_again_and_its_user_dropped(accounts: Accounts, object_store: S3Server) -> None:
    admin = accounts.server.database("admin")
    settings = named_of(accounts, f"{accounts.user}_h")
    for state, changes in (("present", (True, False)), ("absent", (True, False))):
        grants = replace(grants_of(object_store, settings, admin, database_host="App.Example.COM"), state=state)
        for changed in changes:
            assert update_user(settings, grants, None, dry_run=False).changed is changed
    assert f"{accounts.user}_h" not in str(everything(accounts))


def test_no_statement_holds_the_password(accounts: Accounts) -> None:
    accounts.remove()
    seen: list[str] = []
    original = MySQL.run if not accounts.is_postgresql else PostgreSQL.run
    kind = MySQL if not accounts.is_postgresql else PostgreSQL

    def run(self: Any, statement: str, values: Any = ()) -> Any:
        seen.append(f"{statement} {values}")
        return original(self, statement, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "run", run)
        accounts.make()
    assert any("CREATE" in line for line in seen)
    assert not [line for line in seen if str(accounts.settings.database.password) in line]


@pytest.mark.direct  # a pooler says for a while that the right to connect is missing, after it was granted again
def test_without_any_one_of_the_database_rights_the_preflight_names_it(accounts: Accounts) -> None:
    planned = plan_account(accounts.settings, accounts.grants)
    assert planned.diffs == []
    # those that show more than definitions: MySQL's REPLICATION SLAVE and REPLICATION CLIENT
    assert not re.search("GRANT (?!REPLICATION )", preflight_messages(accounts.settings, of="database").upper())
    granted = rights_of(accounts)
    assert len(granted) >= 7
    unnoticed = {}
    for right in granted:
        accounts.change("REVOKE", right)
        messages = preflight_messages(accounts.settings, of="database")
        accounts.change("GRANT", right)
        named = {"CONNECT": "app", "USAGE": "schema"}.get(right.privilege, right.column or right.table or right.schema)
        if named == "id" and not accounts.is_postgresql:
            named = "(id|key)"  # MariaDB and MySQL hide the names of columns that a user has no right on
        if right.privilege not in messages or not re.search(rf"\b{named}\b", messages):
            unnoticed[right] = messages
    assert unnoticed == {}


def rights_of(accounts: Accounts) -> list[Right]:
    with connect(accounts.grants.admin_database) as database:
        if accounts.is_postgresql:
            account = postgresql.read_account(database, accounts.user, "rehome")
        else:
            account = mysql.read_account(database, accounts.user, "%", "rehome")
    assert account is not None
    assert account.other_rights == ()
    return sorted(account.rights)


def test_a_user_who_cannot_see_all_columns_learns_what_that_may_hide(accounts: Accounts) -> None:
    """MariaDB hides columns, and that the server changes them on UPDATE, from users without rights on them."""
    if accounts.is_postgresql:
        assert "columns that this user may not read" not in preflight_messages(accounts.settings, of="database")
        return
    accounts.change("REVOKE", Right("REFERENCES", "app"))
    for privilege in ("SELECT", "UPDATE"):
        accounts.change("REVOKE", Right(privilege, "app", "avatars", "updated_at"))
    assert "columns that this user may not read are hidden" in preflight_messages(accounts.settings, of="database")


CREATE = "CREATE TABLE more (id INT)"
FORBIDDEN = [
    "SELECT created_at FROM avatars",
    "UPDATE avatars SET user_id = 1",
    "INSERT INTO avatars (user_id, path) VALUES (1, 'image/x.png')",
    "DELETE FROM avatars",
    "DROP TABLE avatars",
    CREATE,
    "UPDATE rehome.journal SET migration = 'x'",
    "DELETE FROM rehome.journal",
    "DROP TABLE rehome.journal",
    "CREATE TABLE rehome.more (id INT)",
]


def test_every_other_statement_is_refused(accounts: Accounts) -> None:
    with connect(accounts.settings.database) as database:
        for statement in accounts.forbidden():
            with pytest.raises(DatabaseError, match=r"denied|must be owner"):
                database.run(statement)

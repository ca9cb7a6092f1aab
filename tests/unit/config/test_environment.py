"""What the environment's variables add to the settings, row for row of the table in docs/environment.md."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from rehome.ansible_module.argument_spec import ARGUMENT_SPEC, GRANTS_SPEC
from rehome.config.environment import Exported
from rehome.config.environment_names import ENVIRONMENT_NAMES
from rehome.config.read import read_settings
from rehome.config.settings import Settings, Tls
from rehome.errors import RefusedError
from rehome.grants.settings import GrantSettings, read_grant_settings
from rehome.state.bucket import StateBucket

PAGE = Path(__file__).parents[3] / "docs" / "environment.md"
ROWS = {
    setting: re.findall(r"`(\w+)`", names)
    for setting, names in re.findall(r"^\| `([^`]+)` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
}
EACH = [(setting, name) for setting, names in ROWS.items() for name in names]

SET: dict[str, Any] = {
    "name": "avatars",
    "source": {"bucket": "set", "prefix": "set/old/", "endpoint_url": "http://set:1", "region": "set-1"}
    | {"access_key": "SET", "secret_key": "set-secret", "session_token": "set-token"},
    "target": {"bucket": "set-too", "prefix": "set/new/", "endpoint_url": "http://set:2", "region": "set-2"}
    | {"access_key": "SET2", "secret_key": "set-secret-2", "session_token": "set-token-2"},
    "database": {"engine": "mariadb", "host": "set-host", "port": 1, "name": "set-db", "user": "set-user"}
    | {"password": "set-password", "tls": {"ca": "/set.pem"}},
    "references": [{"table": "set_table", "column": "set_column"}],
    "state_dir": "/srv/state",
    "state_uri": "s3://set-state/folder/",
}
"""Every setting of the table but for the URL, as a task gives them to a module."""

ADMIN = {"user": "set-admin", "password": "set-admin-password"}

EXPORTED = {
    "rehome_source.bucket": "exported",
    "rehome_source.prefix": "exported/old/",
    "rehome_source.endpoint_url": "http://exported:1",
    "rehome_source.region": "exported-1",
    "rehome_source.access_key": "EXPORTED",
    "rehome_source.secret_key": "exported-secret",
    "rehome_source.session_token": "exported-token",
    "rehome_target.bucket": "exported-too",
    "rehome_target.prefix": "exported/new/",
    "rehome_target.endpoint_url": "http://exported:2",
    "rehome_target.region": "exported-2",
    "rehome_target.access_key": "EXPORTED2",
    "rehome_target.secret_key": "exported-secret-2",
    "rehome_target.session_token": "exported-token-2",
    "rehome_references[].table": "exported_table",
    "rehome_references[].column": "exported_column",
    "rehome_database.engine": "postgresql",
    "rehome_database.host": "exported-host",
    "rehome_database.port": "7777",
    "rehome_database.name": "exported-db",
    "rehome_database.user": "exported-user",
    "rehome_database.password": "exported-password",
    "rehome_database.tls.ca": "/exported.pem",
    "rehome_state_uri": "s3://exported-state/folder/",
    "rehome_admin_database.user": "exported-admin",
    "rehome_admin_database.password": "exported-admin-password",
}
"""A value for each setting of the table but for the URL, as operators export it."""

URL = "postgresql://exported-user:exported-password@exported-host:7777/exported-db"

BY_FIRST_NAME = {ROWS[setting][0]: value for setting, value in EXPORTED.items()}

GRANTS = {"database": True, "account": "1", "name": "rehome"}


def settings_of(given: Mapping[str, Any], variables: Mapping[str, str]) -> tuple[Settings, GrantSettings]:
    """What a module of the verb grants reads of its options and its environment."""
    admin = given.get("admin", {})
    arguments = {
        "settings": {name: value for name, value in given.items() if name != "admin"},
        "grants": {**GRANTS, "admin_database": admin},
        "run_pid": 1,
        "run_verb": "migrate",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name in {one for names in ENVIRONMENT_NAMES.values() for one in names}:
                patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        with patch_module_args(arguments):
            module = AnsibleModule({**ARGUMENT_SPEC, "grants": GRANTS_SPEC})
        settings = read_settings(module.params["settings"], os.environ)
        return settings, read_grant_settings(module.params["grants"], settings, variables=os.environ)


def arrived(setting: str, read: tuple[Settings, GrantSettings]) -> Any:
    """The value of a setting after reading."""
    settings, grants = read
    value: Any = grants if setting.startswith("rehome_admin_") else settings
    for part in setting.removeprefix("rehome_").replace("references[]", "references.0").split("."):
        value = value[int(part)] if part.isdigit() else getattr(value, part)
    return value


def without(*groups: str, **changes: Any) -> dict[str, Any]:
    """SET without some of its settings, and with changes; `database__port=None` reaches into a mapping."""
    given = {**copy.deepcopy(SET), "admin": dict(ADMIN)}
    for group in groups:
        given.pop(group)
    for path, value in changes.items():
        *outer, last = path.split("__")
        place = given
        for name in outer:
            place = place.setdefault(name, {})
        place[last] = value
    return given


NOTHING = {"name": "avatars", "state_dir": "/srv/state"}


def refusal(given: Mapping[str, Any], **variables: str) -> str:
    with pytest.raises(RefusedError) as caught:
        settings_of(given, variables)
    return str(caught.value)


def database(variables: Mapping[str, str], **given: Any) -> Any:
    """The database that is read where the settings say only this of it."""
    return settings_of(without(database=given), variables)[0].database


def test_the_page_lists_every_variable() -> None:
    assert {setting: tuple(names) for setting, names in ROWS.items()} == ENVIRONMENT_NAMES
    assert ROWS.keys() == {*EXPORTED, "rehome_database.url"}


@pytest.mark.parametrize(("setting", "name"), [pair for pair in EACH if pair[0] != "rehome_database.url"])
def test_a_variable_is_used_where_the_setting_is_unset(setting: str, name: str) -> None:
    variables = {one: value for one, value in BY_FIRST_NAME.items() if one not in ROWS[setting]}
    value = arrived(setting, settings_of(NOTHING, variables | {name: EXPORTED[setting]}))
    assert str(value) == EXPORTED[setting]


@pytest.mark.parametrize("name", ROWS["rehome_database.url"])
def test_an_exported_url_is_the_database_where_the_settings_name_none(name: str) -> None:
    found = database({name: URL})
    assert (found.engine, found.host, found.port, found.name, found.user, found.password) == (
        *("postgresql", "exported-host", 7777, "exported-db", "exported-user", "exported-password"),
    )


@pytest.mark.parametrize(("setting", "name"), EACH)
def test_a_setting_wins_over_its_variable(setting: str, name: str) -> None:
    value = URL if setting == "rehome_database.url" else EXPORTED[setting]
    assert settings_of(without(), {name: value}) == settings_of(without(), {})


def test_all_settings_win_over_all_variables() -> None:
    every = {name: URL if setting == "rehome_database.url" else EXPORTED[setting] for setting, name in EACH}
    assert settings_of(without(), every) == settings_of(without(), {})


@pytest.mark.parametrize("setting", [setting for setting in EXPORTED if len(ROWS[setting]) > 1])
def test_the_first_variable_of_a_row_wins_and_an_empty_one_is_unset(setting: str) -> None:
    first, second, *_ = ROWS[setting]
    variables = {one: value for one, value in BY_FIRST_NAME.items() if one not in ROWS[setting]}
    value, other = EXPORTED[setting], "x" + EXPORTED[setting].replace(":", "s:", 1)
    assert arrived(setting, settings_of(NOTHING, {**variables, first: value, second: other})) == value
    assert arrived(setting, settings_of(NOTHING, {**variables, first: "", second: value})) == value


@pytest.mark.parametrize("empty", [None, ""])
def test_a_setting_that_is_null_or_empty_is_unset(empty: str | None) -> None:
    given = without(source__bucket=empty, state_uri=empty, database__host=empty, database__port=None)
    settings, _ = settings_of(given, BY_FIRST_NAME)
    assert settings.source.bucket == "exported"
    assert settings.state_uri == "s3://exported-state/folder/"
    assert (settings.database.host, settings.database.port) == ("exported-host", 7777)


# A side's credentials

KEYS = {"S3_SOURCE_ACCESS_KEY": "EXPORTED", "S3_SOURCE_SECRET_KEY": "secret", "S3_SOURCE_SESSION_TOKEN": "token"}
WITHOUT_KEYS = {"source": {"bucket": "b", "prefix": "p/"}}


@pytest.mark.parametrize(
    "own",
    [{"access_key": "OWN", "secret_key": "own"}, {"profile": "own"}],
    ids=["a key pair in the settings", "a profile in the settings"],
)
def test_no_exported_credential_is_mixed_with_those_of_the_settings(own: dict[str, str]) -> None:
    source = settings_of(without(source={**WITHOUT_KEYS["source"], **own}), KEYS)[0].source
    found = (source.access_key, source.secret_key, source.session_token, source.profile)
    assert found == (own.get("access_key"), own.get("secret_key"), None, own.get("profile"))


@pytest.mark.parametrize("half", ["access_key", "secret_key"])
def test_half_a_pair_of_the_settings_is_not_completed_from_the_environment(half: str) -> None:
    message = refusal(without(source={**WITHOUT_KEYS["source"], half: "OWN"}), **KEYS)
    assert "rehome_source.access_key: goes together with rehome_source.secret_key" in message
    assert "a pair comes from one place" in message


@pytest.mark.parametrize(
    ("names", "exported", "missing"),
    [
        (["S3_SOURCE_ACCESS_KEY"], "S3_SOURCE_ACCESS_KEY", "S3_SOURCE_SECRET_KEY"),
        (["S3_SOURCE_SECRET_KEY"], "S3_SOURCE_SECRET_KEY", "S3_SOURCE_ACCESS_KEY"),
        (["S3_SOURCE_SESSION_TOKEN"], "S3_SOURCE_SESSION_TOKEN", "S3_SOURCE_ACCESS_KEY and S3_SOURCE_SECRET_KEY"),
    ],
)
def test_half_a_pair_of_the_environment_is_refused(names: list[str], exported: str, missing: str) -> None:
    message = refusal(without(**WITHOUT_KEYS), **{name: KEYS[name] for name in names})
    assert message.startswith(f"{exported}: is exported without {missing}. Export both")


def test_each_side_has_credentials_of_its_own() -> None:
    given = without(source={"bucket": "b", "prefix": "p/"}, target={"bucket": "c", "prefix": "q/"})
    settings, _ = settings_of(given, KEYS)
    assert (settings.source.access_key, settings.target.access_key) == ("EXPORTED", None)


def test_the_state_is_kept_with_the_targets_credentials_whatever_place_they_are_of() -> None:
    settings, _ = settings_of(NOTHING, BY_FIRST_NAME)
    credentials = StateBucket(settings)._client._request_signer._credentials
    assert (credentials.access_key, credentials.secret_key, credentials.token) == (
        *("EXPORTED2", "exported-secret-2", "exported-token-2"),
    )


def test_a_whole_bucket_takes_no_prefix_of_the_environment() -> None:
    given = without(source__prefix="", source__whole_bucket=True, include=["image/*"])
    assert settings_of(given, {"OLD_PREFIX": "image/"})[0].source.prefix == ""


def test_a_message_about_a_value_names_the_variable_that_it_is_of() -> None:
    message = refusal(without(source__endpoint_url=None), URL_ENDPOINT="http://me:hush-hush@host")
    assert message.startswith("rehome_source.endpoint_url from URL_ENDPOINT: has a user or a password")
    assert "hush-hush" not in message


# The database

ONE_BY_ONE = {name: value for name, value in BY_FIRST_NAME.items() if name.startswith("DB_") and "ADMIN" not in name}
OTHER = "mysql://root:hush-hush@other/other"


@pytest.mark.parametrize("part", ["host", "socket", "name"])
def test_no_exported_url_is_mixed_with_a_database_of_the_settings(part: str) -> None:
    variables = {name: value for name, value in ONE_BY_ONE.items() if name != "DB_CA"}
    found = database({**variables, "DB_URL": OTHER}, **{part: "/own"})
    assert getattr(found, part) == "/own"
    assert (found.user, found.password) == ("exported-user", "exported-password")
    assert "other" not in (found.host, found.name)
    # the port is the exported host's
    assert (found.host, found.port) == (("exported-host", 7777) if part == "name" else (found.host, None))


@pytest.mark.parametrize("given", [{"engine": "sqlite", "path": "/app.db"}, {"path": "/app.db"}])
def test_a_file_of_the_settings_is_the_whole_database(given: dict[str, str]) -> None:
    found = database({**ONE_BY_ONE, "DB_ENGINE": "sqlite", "DB_URL": OTHER}, **given)
    assert (found.path, found.host, found.name, found.user, found.tls) == ("/app.db", None, None, None, Tls())


def test_a_url_of_the_settings_takes_only_the_login_and_the_authorities_of_the_environment() -> None:
    found = database({**ONE_BY_ONE, "DB_URL": OTHER}, url="mysql://own/own")
    assert (found.engine, found.host, found.port, found.name) == ("mysql", "own", None, "own")
    assert (found.user, found.password) == ("exported-user", "exported-password")
    assert found.tls == Tls(enabled=True, ca="/exported.pem")


def test_what_the_settings_say_beside_an_exported_url_wins() -> None:
    variables = {"DB_URL": "mysql://root:hush-hush@db/app?ssl-mode=REQUIRED", "DB_PASSWD": "exported-password"}
    found = database(variables, engine="mariadb", port=3307, user="own", tls={"ca": "/own.pem"})
    assert (found.engine, found.host, found.port, found.name) == ("mariadb", "db", 3307, "app")
    assert found.tls == Tls(enabled=True, verify=True, ca="/own.pem")
    # not root's password
    assert (found.user, found.password) == ("own", "exported-password")
    assert database(variables, password="own").password == "own"


def test_an_exported_url_wins_over_the_single_variables_that_say_the_same() -> None:
    beside = {"DB_ENGINE": "mariadb", "DB_HOST": "DB", "DB_PORT": "3306", "DB_NAME": "app", "DB_USER": "u"}
    found = database({"MYSQL_URL": "mysql://u@db/app", "DB_PASSWD": "p", **beside})
    assert (found.engine, found.host, found.name, found.user, found.password) == ("mariadb", "db", "app", "u", "p")


@pytest.mark.parametrize(
    "beside",
    [
        {"DB_ENGINE": "postgresql"},
        {"DB_HOST": "another"},
        {"DATABASE_HOST": "another"},
        {"DB_PORT": "3307"},
        {"DB_NAME": "another"},
        {"DB_USER": "another"},
    ],
    ids=str,
)
def test_a_variable_that_names_another_database_than_an_exported_url_is_refused(beside: dict[str, str]) -> None:
    (name,) = beside
    message = refusal(without(database={}), DB_URL="mysql://u:hush-hush@db/app", **beside)
    assert message.startswith("DB_URL: says another ")
    assert f" than {name} ({beside[name]})" in message
    assert "hush-hush" not in message


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("oracle://u:hush-hush@db/app", "begins with none of mariadb://"),
        ("host=db password=hush-hush", "begins with none of mariadb://"),
        ("mysql://u:hush-hush@db:port/app", "is no URL"),
        ("mysql://u:hush-hush@db", "names no database"),
        ("mysql://u:hush-hush@/app", "names no host"),
        ("sqlite://", "names no file"),
        ("mysql://u:hush-hush@db/app?x=hush-hush", "has the option x, which"),
        ("mysql://u:1?hush-hush@db/app", "has an option, which"),
    ],
)
def test_what_is_no_url_of_a_database_is_refused_by_the_name_of_its_variable(url: str, problem: str) -> None:
    message = refusal(without(database={}), DB_CONN_STRING=url)
    assert message.startswith(f"DB_CONN_STRING: {problem}")
    assert len(message.splitlines()) == 1
    assert "unset it and set rehome_database" in message
    assert "hush-hush" not in message


def test_an_exported_url_of_another_kind_than_the_settings_say_is_refused() -> None:
    message = refusal(without(database={"engine": "postgresql"}), DB_URL="mysql://u@db/app")
    assert "DB_URL: is of mysql, and rehome_database.engine is postgresql" in message


@pytest.mark.parametrize("port", ["33o6", "0", "70000", "-1"])
def test_a_port_that_is_none_is_refused_by_the_name_of_its_variable(port: str) -> None:
    message = refusal(without(database__host=None, database__port=None), DB_HOST="db", DB_PORT=port)
    assert message.startswith(f"DB_PORT ({port}): is not the number of a port. Export a number from 1 to 65535")


def test_a_database_that_rehome_does_not_know_is_refused_by_the_name_of_its_variable() -> None:
    message = refusal(without(database={"host": "db", "name": "app", "user": "u"}), DB_ENGINE="oracle")
    assert message.startswith("DB_ENGINE (oracle): is no database that Rehome knows. Export one of mariadb, mysql, ")
    assert database(ONE_BY_ONE | {"DB_ENGINE": "Postgres"}).engine == "postgresql"


def test_authorities_of_the_environment_switch_tls_on_and_verify() -> None:
    assert database({"DB_CA": "/ca.pem"}, engine="mysql", host="h", name="n", user="u").tls == Tls(
        enabled=True, verify=True, ca="/ca.pem"
    )
    home = str(Path.home())
    assert database({"DB_URL": "mysql://u@db/app", "DB_CA": "~/ca.pem"}).tls.ca == f"{home}/ca.pem"
    verified = database({"DB_URL": "mysql://u@db/app?ssl-mode=VERIFY_IDENTITY", "DB_CA": "/ca.pem"}).tls
    assert verified == Tls(enabled=True, verify=True, ca="/ca.pem")


@pytest.mark.parametrize(
    ("given", "tls"),
    [
        ({"host": "h", "tls": {"enabled": False}}, Tls(enabled=False)),
        ({"host": "h", "tls": {"ca": "/own.pem"}}, Tls(enabled=True, ca="/own.pem")),
        ({"host": "h", "tls": {"verify": False}}, Tls(enabled=True, verify=False, ca="/ca.pem")),
        ({"socket": "/run/db.sock"}, Tls(enabled=False)),
        ({"host": "h", "socket": "/run/db.sock"}, Tls(enabled=False)),
        ({"url": "mysql://u@h/n?ssl-mode=DISABLED"}, Tls(enabled=False)),
        ({"url": "mysql://u@h/n?ssl-ca=/own.pem"}, Tls(enabled=True, ca="/own.pem")),
        ({"url": "mysql://u@h/n?ssl-mode=REQUIRED"}, Tls(enabled=True, verify=False, ca="/ca.pem")),
        ({"url": "mysql://u@/n?socket=/run/db.sock"}, Tls(enabled=False)),
        ({"url": "sqlite:////app.db"}, Tls(enabled=False)),
    ],
    ids=str,
)
def test_authorities_of_the_environment_change_nothing_that_the_settings_say_of_tls(
    given: dict[str, Any], tls: Tls
) -> None:
    single = {} if "url" in given else {"engine": "mysql", "name": "n", "user": "u"}
    assert database({"DB_CA": "/ca.pem"}, **single, **given).tls == tls


# The column


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("DATABASE_TABLE_TO_UPDATE", "TABLE_COLUMN_NAME_TO_UPDATE"),
        ("TABLE_COLUMN_NAME_TO_UPDATE", "DATABASE_TABLE_TO_UPDATE"),
    ],
)
def test_half_a_column_is_refused_unless_the_settings_have_references(name: str, missing: str) -> None:
    message = refusal(without("references"), **{name: "avatars"})
    assert message.splitlines() == [
        f"{name} (avatars): is exported without {missing}. Export both, which name one column, or set "
        "rehome_references. [RH-106]"
    ]
    assert settings_of(without(), {name: "avatars"})[0].references[0].name == "set_table.set_column"


# Secrets


def test_the_secrets_that_are_taken_are_known_with_the_passwords_in_urls() -> None:
    variables = {
        **{name: BY_FIRST_NAME[name] for name in ("S3_SOURCE_ACCESS_KEY", "S3_SOURCE_SECRET_KEY")},
        "DB_URL": "mysql://u:p%40ss@db/app",
        "S3_ENDPOINT_URL": "http://me:hush-hush@host",
        "DB_ADMIN_PASSWD": "exported-admin-password",
        "DB_PASSWD": "not taken: the URL has one",
    }
    exported = Exported(variables)
    exported.add_to(NOTHING)
    exported.add_to_grants({})
    assert set(exported.secrets()) == {
        *("exported-secret", "mysql://u:p%40ss@db/app", "p%40ss", "p@ss", "hush-hush", "exported-admin-password"),
    }

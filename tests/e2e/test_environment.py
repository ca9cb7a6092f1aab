"""A job that has nothing but what is exported, as AWX and the users of earlier scripts give it."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.e2e.conftest import World

pytestmark = pytest.mark.e2e


def everything_exported(world: World) -> dict[str, str]:
    """The whole migration of a world by names of the environment; the source's account can only read."""
    store, database = world.record["s3"], world.record["database"]
    reader, migrate, login = store["users"]["reader"], store["users"]["migrate"], database["users"]["migrate"]
    return {
        "OLD_BUCKET": store["source_bucket"],
        "LEGACY_S3_OBJECT_PREFIX": "image/",
        "S3_SOURCE_ACCESS_KEY": reader["access_key"],
        "S3_SOURCE_SECRET_KEY": reader["secret_key"],
        "S3_SOURCE_SESSION_TOKEN": "",
        "S3_SOURCE_ENDPOINT_URL": store["endpoint_url"],
        "S3_SOURCE_REGION": store["region"],
        "TARGET_S3_BUCKET": store["target_bucket"],
        "TARGET_OBJECT_PREFIX": "avatar/",
        "S3_TARGET_ACCESS_KEY": migrate["access_key"],
        "S3_TARGET_SECRET_KEY": migrate["secret_key"],
        "URL_ENDPOINT": store["endpoint_url"],
        "S3_ENDPOINT_URL": "",
        "MYSQL_URL": f"mysql://{login['user']}:{quote(login['password'], safe='')}@{database['host']}"
        f":{database['port']}/{database['name']}",
        "DATABASE_TABLE_TO_UPDATE": "avatars",
        "TABLE_COLUMN_NAME_TO_UPDATE": "path",
        "REHOME_STATE_URI": f"s3://{store['target_bucket']}/states/",
        # not used: the sides have their own
        "AWS_ACCESS_KEY_ID": "of-nobody",
        "AWS_SECRET_ACCESS_KEY": "of-nobody",
    }


def test_a_job_migrates_with_nothing_but_its_environment_and_shows_no_secret_of_it(world: World) -> None:
    world.seed(5)
    exported = everything_exported(world)
    unset = {"rehome_references": [], "rehome_database": {}}
    played = world.play("-vvv", env="prod", exported=exported, rehome_state_dir=str(world.state), **unset)
    assert played.code == 0, played.output
    assert (world.summary["objects_copied"], world.summary["rows_rewritten"]) == (5, 5)
    assert any(key.startswith("states/") for key in world.objects("production-s3"))
    assert "module_args" in played.output  # what -vvv adds
    password = world.record["database"]["users"]["migrate"]["password"]
    secrets = [exported["S3_SOURCE_SECRET_KEY"], exported["S3_TARGET_SECRET_KEY"], exported["MYSQL_URL"], password]
    kept = b"".join(path.read_bytes() for path in world.state.rglob("*") if path.is_file())
    for secret in secrets:
        assert secret not in played.output
        assert secret.encode() not in kept


def test_what_is_exported_for_another_migration_changes_nothing_that_the_settings_say(world: World) -> None:
    world.seed(5)
    login = world.record["database"]["users"]["migrate"]
    others = {
        "DB_URL": f"mysql://{login['user']}:{login['password']}@nowhere.invalid/another",
        "DB_HOST": "nowhere.invalid",
        "DB_PORT": "1",
        "DB_NAME": "another",
        "S3_SOURCE_ACCESS_KEY": "another",
        "S3_SOURCE_SECRET_KEY": "another",
        "S3_SOURCE_SESSION_TOKEN": "another",
        "S3_TARGET_SESSION_TOKEN": "another",
        "S3_ENDPOINT_URL": "http://nowhere.invalid",
        "OLD_PREFIX": "another/",
        "DATABASE_TABLE_TO_UPDATE": "another",
    }
    played = world.play(exported=others)
    assert played.code == 0, played.output
    assert world.summary["rows_rewritten"] == 5


def test_all_that_is_wrong_in_the_environment_is_said_at_once_by_its_names(world: World) -> None:
    world.seed(1)
    before = world.everything()
    exported = {
        **{name: value for name, value in everything_exported(world).items() if name != "MYSQL_URL"},
        "S3_SOURCE_SECRET_KEY": "",
        "DB_HOST": "db",
        "DB_PORT": "hush-hush",
        "DB_ENGINE": "oracle",
        "TABLE_COLUMN_NAME_TO_UPDATE": "",
    }
    played = world.play(
        env="prod", exported=exported, rehome_state_dir=str(world.state), rehome_references=[], rehome_database={}
    )
    assert played.code != 0
    for said in (
        "S3_SOURCE_ACCESS_KEY: is exported without S3_SOURCE_SECRET_KEY",
        "DB_PORT (hush-hush): is not the number of a port",
        "DB_ENGINE (oracle): is no database that Rehome knows",
        "DATABASE_TABLE_TO_UPDATE (avatars): is exported without TABLE_COLUMN_NAME_TO_UPDATE",
    ):
        assert said in played.message
    assert world.everything() == before

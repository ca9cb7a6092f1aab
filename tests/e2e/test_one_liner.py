from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, World

pytestmark = pytest.mark.e2e


def one_liner(*arguments: str, **exported: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "bin" / "avatar-migrate", *arguments],
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", **exported},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


USAGE = "usage: avatar-migrate SOURCE_BUCKET TARGET_BUCKET DATABASE_URL [--method METHOD] [--check]"
THREE = ("legacy-s3", "production-s3", "mysql://u:hush-hush@db/app")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("legacy-s3", "production-s3"),
        ("legacy-s3", "production-s3", "--check"),
        ("legacy-s3", "production-s3", "--method", "stream"),
    ],
)
def test_too_few_arguments_print_the_usage(arguments: tuple[str, ...]) -> None:
    refused = one_liner(*arguments)
    assert refused.returncode == 64
    assert USAGE in refused.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("legacy-s3", "--help"), (*THREE, "--check", "-h")])
def test_help_is_no_error_however_many_arguments_there_are(arguments: tuple[str, ...]) -> None:
    helped = one_liner(*arguments)
    assert (helped.returncode, helped.stderr) == (0, "")
    assert helped.stdout.startswith(USAGE)


@pytest.mark.parametrize("arguments", [("--method", "rsync"), ("--method=rsync",), ("--method",), ("--method=",)])
def test_a_method_that_is_none_is_refused_with_those_that_are(arguments: tuple[str, ...]) -> None:
    refused = one_liner(*THREE, *arguments)
    assert refused.returncode == 64
    assert "is none of auto, server_side, stream, sync" in refused.stderr
    assert "hush-hush" not in refused.stdout + refused.stderr


def test_a_value_that_was_taken_for_a_name_is_noticed_and_no_url_becomes_an_option_of_ansible() -> None:
    refused = one_liner("-e", "rehome_limit=1", *THREE)
    assert refused.returncode == 64
    assert "the third name is no database's URL" in refused.stderr
    assert "hush-hush" not in refused.stdout + refused.stderr


@pytest.fixture
def what_runs(tmp_path: Path) -> Path:
    """A copy of the one-liner whose ansible-playbook shows its arguments and the names that are exported to it."""
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "bin" / "avatar-migrate", tmp_path / "bin")
    program = tmp_path / ".venv" / "bin" / "ansible-playbook"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "arguments: $*"\nenv | grep -E "^(S3_|DB_|DATABASE_|OLD_|NEW_)"\n')
    program.chmod(0o755)
    return tmp_path / "bin" / "avatar-migrate"


@pytest.mark.parametrize("method", ["auto", "server_side", "stream", "sync"])
@pytest.mark.parametrize("form", ["--method {}", "--method={}"])
@pytest.mark.parametrize("first", [True, False])
def test_the_method_goes_to_the_setting_and_the_url_only_into_the_environment(
    what_runs: Path, method: str, form: str, first: bool
) -> None:
    own = [*form.format(method).split(), "--check"]
    arguments = [*own, *THREE] if first else [*THREE, *own, "--limit", "avatars"]
    exported = {"PATH": os.environ["PATH"], "DB_HOST": "another", "DATABASE_NAME": "another", "DB_PASSWD": "hush"}
    done = subprocess.run([what_runs, *arguments], env=exported, capture_output=True, text=True, check=True)
    ran, *environment = done.stdout.splitlines()
    taken = "auto" if method == "sync" else method
    after = "" if first else " --limit avatars"
    assert ran.endswith(f"migrate.yml -e env=avatars --check{after} -e rehome_copy_method={taken}")
    assert "hush-hush" not in ran
    assert set(environment) == {
        *("S3_LEGACY_BUCKET_NAME=legacy-s3", "S3_PROD_BUCKET_NAME=production-s3", f"DB_URL={THREE[2]}"),
        *("OLD_PREFIX=image/", "NEW_PREFIX=avatar/", "DB_PASSWD=hush"),
    }
    told = ["avatar-migrate: --method sync is what auto does, which is used: what the target has is not copied again"]
    assert done.stderr.splitlines() == (told if method == "sync" else [])


def test_one_line_checks_and_migrates(world: World) -> None:
    world.seed(10)
    record = world.record
    login, database = record["s3"]["users"]["migrate"], record["database"]
    user = database["users"]["migrate"]
    url = f"mysql://{user['user']}@127.0.0.1:{database['port']}/{database['name']}"
    exported = {
        "S3_ENDPOINT_URL": record["s3"]["endpoint_url"],
        "AWS_ACCESS_KEY_ID": login["access_key"],
        "AWS_SECRET_ACCESS_KEY": login["secret_key"],
        "AWS_DEFAULT_REGION": record["s3"]["region"],
        "DB_PASSWD": user["password"],
    }
    state = ("-e", f"rehome_state_dir={world.folder / 'one-liner'}")
    before = world.everything()
    site = world.folder / "site.cfg"
    site.write_text("[defaults]\ninventory = /nowhere\n")
    checked = one_liner("legacy-s3", "production-s3", url, "--check", *state, **exported, ANSIBLE_CONFIG=str(site))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert world.everything() == before
    done = one_liner(
        "--method=stream", "legacy-s3", "production-s3", url, *state, **exported, DB_HOST="another.invalid"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((world.folder / "one-liner" / "summary.json").read_text())["copy_method"] == "stream"
    assert all(path.startswith("avatar/") for _, path in world.rows())
    again = one_liner("legacy-s3", "production-s3", url, *state, **exported)
    assert re.search(r"^recap  .* changed=0 ", again.stdout, re.MULTILINE)

from __future__ import annotations

import os
import subprocess

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


@pytest.mark.parametrize("arguments", [(), ("legacy-s3", "production-s3"), ("legacy-s3", "production-s3", "--check")])
def test_too_few_arguments_print_the_usage(arguments: tuple[str, ...]) -> None:
    refused = one_liner(*arguments)
    assert refused.returncode == 64
    assert "usage: avatar-migrate SOURCE_BUCKET TARGET_BUCKET DATABASE_URL [--check]" in refused.stderr


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
    done = one_liner("legacy-s3", "production-s3", url, *state, **exported)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(path.startswith("avatar/") for _, path in world.rows())
    again = one_liner("legacy-s3", "production-s3", url, *state, **exported)
    assert "changed=0" in again.stdout.partition("PLAY RECAP")[2]

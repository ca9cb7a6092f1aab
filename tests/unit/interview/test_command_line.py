from __future__ import annotations

import pytest

from interview.__main__ import main
from interview.command_line import missing_answers, parser


def given(*arguments: str) -> dict[str, object]:
    return vars(parser().parse_args(arguments))


def test_every_missing_answer_is_named_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("S3_LEGACY_BUCKET_NAME", "DB_URL", "DB_HOST", "DB_NAME", "DB_USER", "DB_ENGINE"):
        monkeypatch.delenv(name, raising=False)
    assert main(["--yes", "--env", "staging", "--target-bucket", "production-s3"]) == 1
    said = capsys.readouterr().err
    for name in ("--source-bucket", "--source-prefix", "--target-prefix", "--database-engine", "--reference"):
        assert name in said
    assert "--target-bucket" not in said
    assert said.count("\n") == 1


def test_what_is_exported_is_not_missing() -> None:
    exported = {"S3_LEGACY_BUCKET_NAME": "a", "S3_PROD_BUCKET_NAME": "b", "OLD_PREFIX": "c", "NEW_PREFIX": "d"}
    assert missing_answers(given(), {**exported, "DB_URL": "mysql://u@h/n"}) == ["env", "reference"]


def test_sqlite_needs_a_file_alone_and_a_whole_bucket_no_prefix() -> None:
    options = given("--database-engine", "sqlite", "--source-whole-bucket", "--source-bucket", "b")
    assert missing_answers(options, {}) == ["env", "target_bucket", "target_prefix", "database_path", "reference"]


@pytest.mark.parametrize(
    "name", ["--database-password", "--source-secret-key", "--source-access-key", "--vault-password"]
)
def test_a_secret_is_no_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        given(name, "hunter2")
    assert name in capsys.readouterr().err

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rehome.config.settings import Settings
from rehome.errors import RehomeError
from rehome.report.summary import Summary
from rehome.state import outcomes
from rehome.state.sync import download_state, upload_state

from sandbox.s3_server import S3Server
from sandbox.sqlite import SQLite
from tests.conftest import Buckets
from tests.integration.migration import Migration


@pytest.fixture
def migration(object_store: S3Server, buckets: Buckets, sqlite: SQLite, tmp_path: Path) -> Iterator[Migration]:
    made = Migration(object_store, buckets, sqlite, tmp_path / "state")
    (tmp_path / "state").mkdir()
    yield made
    made.close()


def settings_of(migration: Migration, **changes: Any) -> Settings:
    return migration.settings(state_uri=f"s3://{migration.target}/rehome-state", **changes)


def moved(migration: Migration, settings: Settings) -> None:
    migration.put("avatar-1.png")
    Summary.start(settings, "run", "migrate", dry_run=False)
    migration.plan(settings)
    migration.copy(settings)
    migration.rewrite(settings)


def test_a_runner_that_is_thrown_away_leaves_what_the_next_one_needs(migration: Migration, tmp_path: Path) -> None:
    settings = settings_of(migration)
    download_state(settings)
    moved(migration, settings)
    (settings.state_dir / "lists").mkdir()
    (settings.state_dir / "lists" / "rows-refused.jsonl").write_text("{}\n")
    upload_state(settings)
    (outcomes,) = (settings.state_dir / "outcomes").iterdir()
    elsewhere = settings_of(migration, state_dir=str(tmp_path / "elsewhere"))
    download_state(elsewhere)
    downloaded = elsewhere.state_dir / "outcomes" / outcomes.name
    assert downloaded.read_bytes() == outcomes.read_bytes()
    assert not (elsewhere.state_dir / "summary.json").exists(), "that is another run's"
    began = Summary.load(settings.state_dir).fields["started_at"]
    kept = {key for key in migration.target_keys() if "/runs/" in key}
    assert kept == {f"rehome-state/runs/{began}/{name}" for name in ("summary.json", "lists/rows-refused.jsonl")}
    body = migration.target_s3.get_object(Bucket=migration.target, Key=f"rehome-state/runs/{began}/summary.json")
    assert json.loads(body["Body"].read())["name"] == "test"


def test_what_has_not_changed_is_not_put_again(migration: Migration) -> None:
    settings = settings_of(migration)
    moved(migration, settings)
    upload_state(settings)

    def stored() -> dict[str, Any]:
        listed = migration.target_s3.list_objects_v2(Bucket=migration.target, Prefix="rehome-state/outcomes/")
        return {item["Key"]: item["LastModified"] for item in listed["Contents"]}

    before = stored()
    upload_state(settings)
    assert stored() == before


def test_local_files_are_not_replaced_by_the_buckets(migration: Migration) -> None:
    settings = settings_of(migration)
    moved(migration, settings)
    (settings.state_dir / "capabilities.json").write_text("here")
    upload_state(settings)
    (settings.state_dir / "capabilities.json").write_text("newer")
    download_state(settings)
    assert (settings.state_dir / "capabilities.json").read_text() == "newer"


def test_a_name_that_climbs_out_of_the_folder_is_not_fetched(migration: Migration, tmp_path: Path) -> None:
    settings = settings_of(migration)
    migration.target_s3.put_object(Bucket=migration.target, Key="rehome-state/plans/..%2f/x", Body=b"x")
    migration.target_s3.put_object(Bucket=migration.target, Key="rehome-state/other.txt", Body=b"x")
    download_state(settings)
    assert not (settings.state_dir / "other.txt").exists()
    assert not (tmp_path / "x").exists()


def test_a_state_that_cannot_be_kept_is_reported(migration: Migration) -> None:
    settings = migration.settings(state_uri="s3://no-such-bucket/state/")
    with pytest.raises(RehomeError, match=r"rehome_state_uri \(s3://no-such-bucket/state/\)") as raised:
        download_state(settings)
    assert "rehome_target" in str(raised.value)


def test_without_a_uri_no_bucket_is_read(migration: Migration) -> None:
    settings = migration.settings()
    moved(migration, settings)
    upload_state(settings)
    download_state(settings)
    assert migration.target_keys() == ["avatar/avatar-1.png"]


def test_a_machine_that_is_lost_in_the_middle_of_a_copy_has_left_its_proofs_and_another_goes_on(
    migration: Migration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "PART_S", 0.0)
    settings = settings_of(migration, copy_method="stream")
    for number in range(5):
        migration.put(f"avatar-{number}.png")
    Summary.start(settings, "run", "migrate", dry_run=False)
    migration.plan(settings)
    with monkeypatch.context() as lost:
        # the machine is gone before the end of the stage, at which everything is uploaded
        lost.setattr(outcomes.Outcomes, "close", lambda _: None)
        migration.copy(settings)
    elsewhere = settings_of(migration, state_dir=str(tmp_path / "elsewhere"))
    download_state(elsewhere)
    with duckdb.connect() as database:
        query = "SELECT count(*) FROM read_parquet(?) WHERE result = 'copied'"
        (proofs,) = database.execute(query, [str(elsewhere.state_dir / "outcomes" / "*.parquet")]).fetchone() or (0,)
    assert proofs == 5
    assert migration.plan(elsewhere).objects["present"] == 5


def test_an_upload_beside_the_copy_that_fails_stops_nothing(
    migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "PART_S", 0.0)
    settings = migration.settings(state_uri="s3://no-such-bucket/state/")
    migration.put("avatar-1.png")
    migration.plan(settings)
    assert migration.copy(settings).copied == 1

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rehome.config.read import read_settings
from rehome.errors import RefusedError

GOOD: dict[str, Any] = {
    "name": "avatars",
    "source": {"bucket": "legacy-s3", "prefix": "image/"},
    "target": {"bucket": "production-s3", "prefix": "avatar/"},
    "include": ["avatar-*.png"],
    "exclude": [],
    "database": {"engine": "mariadb", "host": "db", "name": "app", "user": "u", "password": "hush-hush"},
    "references": [{"table": "avatars", "column": "path", "form": "key"}],
    "on_conflict": "fail",
    "on_dangling": "fail",
    "journal_schema": "rehome",
    "state_dir": "/srv/state",
}


def given(**changes: Any) -> dict[str, Any]:
    """GOOD with changes; `source__prefix=""` reaches into a mapping."""
    settings = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *outer, last = path.split("__")
        place = settings
        for name in outer:
            place = place[name]
        place[last] = value
    return settings


def refusal(**changes: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        read_settings(given(**changes))
    return str(caught.value)


def test_good_settings_are_taken() -> None:
    settings = read_settings(given())
    assert settings.keymap.to_target("image/avatar-1.png") == "avatar/avatar-1.png"
    assert settings.references[0].name == "avatars.path"


@pytest.mark.parametrize(
    ("engine", "milliseconds"), [("mariadb", 75), ("mysql", 75), ("postgresql", 12), ("sqlite", 75)]
)
def test_the_default_length_of_transactions_depends_on_the_server(engine: str, milliseconds: int) -> None:
    database = {"engine": engine, "host": "db", "name": "app", "user": "u", "path": "app.db"}
    assert read_settings(given(database=database)).chunk_ms == milliseconds
    assert read_settings(given(database=database, chunk_ms=40)).chunk_ms == 40


@pytest.mark.parametrize("empty", ["", None])
def test_the_answers_of_a_survey_that_are_left_empty_are_no_settings(empty: str | None) -> None:
    settings = read_settings(given(limit=empty, approved_plan=empty, confirm=empty, state_uri=empty))
    assert (settings.limit, settings.approved_plan, settings.confirm, settings.state_uri) == (None, None, None, None)
    assert read_settings(given(limit="5")).limit == 5


@pytest.mark.parametrize(
    ("changes", "named", "way_out"),
    [
        ({"chunk_ms": 0}, "rehome_chunk_ms (0)", "5 to 10000"),
        ({"connections": 17}, "rehome_connections (17)", "1 to 16"),
        ({"source__bucket": None}, "rehome_source.bucket", "S3_LEGACY_BUCKET_NAME"),
        ({"target__bucket": ""}, "rehome_target.bucket", "S3_PROD_BUCKET_NAME"),
        ({"source__prefix": ""}, "rehome_source.prefix", "rehome_source.whole_bucket: true"),
        ({"target__prefix": None}, "rehome_target.prefix", "rehome_target.whole_bucket: true"),
        ({"target__whole_bucket": True}, "rehome_target.whole_bucket", "Remove one"),
        ({"source__access_key": "AK"}, "rehome_source.access_key", "credential chain"),
        ({"source__endpoint_url": "http://me:hush-hush@host"}, "rehome_source.endpoint_url", "access_key"),
        ({"database": {}}, "rehome_database.engine", "mariadb"),
        ({"limit": "0"}, "rehome_limit (0): is too small", "1 or more"),
        ({"limit": "all"}, "rehome_limit (all)", "leave it unset for all"),
        ({"limit": "-1"}, "rehome_limit (-1)", "1 or more"),
        ({"rollback_since": "yesterday"}, "rehome_rollback_since", "2026-01-31T14:30:00Z"),
        ({"rollback_since": "2026-01-31 14:30"}, "rehome_rollback_since", "2026-01-31T15:30:00+01:00"),
        ({"database__host": None}, "rehome_database.host", "DB_HOST"),
        ({"database__name": None}, "rehome_database.name", "DB_NAME"),
        ({"database__user": None}, "rehome_database.user", "DB_USER"),
        ({"database": {"engine": "sqlite"}}, "rehome_database.path", "group_vars"),
        ({"references": []}, "rehome_references", "table: avatars"),
        ({"retire_after": "7"}, "rehome_retire_after", "7d, 36h, 90m"),
        ({"retire_after": "9999999d"}, "rehome_retire_after", "7d, 36h, 90m"),
        ({"retire_unversioned": "yes"}, "rehome_retire_unversioned", '"delete without a way back"'),
        ({"references": [{"table": "avatars", "form": "key"}]}, "rehome_references[0].column", "group_vars"),
        (
            {"references": [{"table": "a", "column": "b", "form": "url"}]},
            "rehome_references[0].form",
            "s3://bucket/key",
        ),
        (
            {"references": [{"table": "a", "column": "b", "form": {"prefix": "/", "target_prefix": None}}]},
            "rehome_references[0].form",
            "target_prefix",
        ),
        (
            {"references": [{"table": "a", "column": "b", "form": "virtual-host"}]},
            "rehome_references[0].form (virtual-host)",
            "rehome_source.region",
        ),
        (
            {"references": [{"table": "a", "column": "b", "where": "a = 1; b"}]},
            "rehome_references[0].where (a = 1; b)",
            "deleted_at IS NULL",
        ),
        (
            {
                "source__prefix": "what?/",
                "references": [{"table": "a", "column": "b", "form": {"prefix": "/", "query": True}}],
            },
            "rehome_source.prefix (what?/)",
            "encoded: true",
        ),
        ({"name": ".."}, "rehome_name (..)", "letter or digit first"),
        ({"references": [{"table": "a", "column": "b"}] * 2}, "rehome_references (a.b)", "one entry"),
        ({"include": []}, "rehome_include", '["*"]'),
        ({"name": "a/b"}, "rehome_name (a/b)", "letters"),
        ({"name": ""}, "rehome_name", "avatars"),
        ({"target__bucket": "legacy-s3", "target__prefix": "image/"}, "rehome_target (legacy-s3/image/)", "another"),
        ({"target__bucket": "legacy-s3", "target__prefix": "image/new/"}, "rehome_target.prefix", "not part of"),
        ({"target__bucket": "legacy-s3", "source__prefix": "avatar/old/"}, "rehome_target.prefix", "not part of"),
        ({"target__prefix": "image/new/", "include": ["*"]}, "rehome_references (avatars.path)", "globs"),
    ],
)
def test_bad_settings_get_one_message_that_names_the_setting_and_the_way_out(
    changes: dict[str, Any], named: str, way_out: str
) -> None:
    message = refusal(**changes)
    assert len(message.splitlines()) == 1
    assert named in message
    assert way_out in message
    assert "hush-hush" not in message


def test_all_findings_are_reported_at_once() -> None:
    message = refusal(source__bucket=None, database__host=None, references=[])
    assert [line.split(":")[0] for line in message.splitlines()] == [
        "rehome_source.bucket",
        "rehome_database.host",
        "rehome_references",
    ]


def test_an_empty_prefix_said_in_words_means_the_whole_bucket() -> None:
    settings = read_settings(given(source__prefix="", source__whole_bucket=True, include=["image/*"]))
    assert settings.source.prefix == ""


def test_the_same_prefix_in_another_bucket_is_fine() -> None:
    assert read_settings(given(target__prefix="image/")).keymap.to_target("image/avatar-1.png") == "image/avatar-1.png"


@pytest.mark.parametrize(
    ("form", "old", "new"),
    [
        ("key", "image/avatar-1.png", "avatar/avatar-1.png"),
        ("/key", "/image/avatar-1.png", "/avatar/avatar-1.png"),
        ("s3://bucket/key", "s3://legacy-s3/image/avatar-1.png", "s3://production-s3/avatar/avatar-1.png"),
        ({"prefix": "https://c/"}, "https://c/image/avatar-1.png", "https://c/avatar/avatar-1.png"),
        (
            {"prefix": "https://a/", "target_prefix": "https://b/"},
            "https://a/image/avatar-1.png",
            "https://b/avatar/avatar-1.png",
        ),
    ],
)
def test_each_form_wraps_the_key_its_own_way(form: object, old: str, new: str) -> None:
    settings = read_settings(given(references=[{"table": "a", "column": "b", "form": form}]))
    assert settings.value_map(settings.references[0]).to_target(old) == new


def test_the_fingerprint_knows_what_is_moved_and_not_by_whom() -> None:
    first = read_settings(given()).fingerprint
    assert read_settings(given(on_conflict="skip", database__password="other", state_dir="/x")).fingerprint == first
    assert read_settings(given(include=["*.png"])).fingerprint != first


def test_a_condition_and_what_a_form_says_are_part_of_the_fingerprint_where_they_are_given() -> None:
    def fingerprint(**more: object) -> str:
        return read_settings(given(references=[{"table": "a", "column": "b"} | more])).fingerprint

    plain = fingerprint()
    assert fingerprint(where=None, form={"prefix": "", "encoded": False}) == plain
    forms = [{"prefix": "", "encoded": True}, {"prefix": "", "query": True}]
    others = [fingerprint(where="id > 1"), fingerprint(where="id > 2"), *[fingerprint(form=form) for form in forms]]
    assert len({plain, *others}) == 5


def test_no_secret_shows_in_the_settings_own_text() -> None:
    settings = read_settings(given(source__access_key="AK", source__secret_key="hush-hush"))
    assert "hush-hush" not in repr(settings)


@pytest.mark.parametrize(
    ("changes", "named", "way_out"),
    [
        ({"kms_key_id": "k"}, "rehome_kms_key_id (k)", "SSE-KMS"),
        ({"multipart_threshold": 1024}, "rehome_multipart_threshold (1024)", "5MB to 5GB"),
        ({"multipart_threshold": 6 * 1024**3}, "rehome_multipart_threshold", "5MB to 5GB"),
        ({"max_requests": 0}, "rehome_max_requests (0)", "1 or more"),
        ({"max_requests": 5000}, "rehome_max_requests (5000)", "at most 1000"),
        ({"objects_per_second": 0.0}, "rehome_objects_per_second (0.0)", "positive"),
        ({"objects_per_second": float("inf")}, "rehome_objects_per_second (inf)", "positive"),
        ({"objects_per_second": float("nan")}, "rehome_objects_per_second (nan)", "positive"),
        ({"source__expected_bucket_owner": "1234567"}, "rehome_source.expected_bucket_owner (1234567)", "12 digits"),
        ({"restore": {"days": None, "tier": "Bulk"}}, "rehome_restore.days", "such as 7"),
        ({"verify_sample": -1}, "rehome_verify_sample (-1)", "0 or more"),
        ({"only_keys": "/no/such/file"}, "rehome_only_keys (/no/such/file)", '{"key": "…"}'),
        ({"source__inventory": "https://host/manifest.json"}, "rehome_source.inventory", "manifest.json"),
        ({"source__inventory": "s3://bucket/a/data.csv.gz"}, "rehome_source.inventory", "manifest.json"),
    ],
)
def test_copy_settings_that_make_no_sense_are_refused(changes: dict[str, Any], named: str, way_out: str) -> None:
    text = refusal(**changes)
    assert named in text
    assert way_out in text


def test_how_to_copy_has_defaults() -> None:
    settings = read_settings(given())
    assert (settings.copy.method, settings.copy.storage_class, settings.copy.acl) == ("auto", "keep", "none")
    assert (settings.restore, settings.verify_sample, settings.only_keys) == (None, 0, None)


def test_a_list_of_keys_narrows_the_map_and_is_no_other_migration(tmp_path: Path) -> None:
    file = tmp_path / "objects-failed.jsonl"
    file.write_text('{"key": "image/avatar-1.png", "error": "SlowDown"}\n{"key": "image/avatar-\\n.png"}\n')
    settings = read_settings(given(only_keys=str(file)))
    assert settings.keymap.to_target("image/avatar-1.png") == "avatar/avatar-1.png"
    assert settings.keymap.to_target("image/avatar-\n.png") == "avatar/avatar-\n.png"
    assert settings.keymap.to_target("image/avatar-2.png") is None
    assert settings.fingerprint == read_settings(given()).fingerprint


def test_a_list_of_keys_of_another_place_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    file.write_text('{"key": "elsewhere/avatar-1.png"}\n')
    assert "line 1: 'elsewhere/avatar-1.png' does not begin with" in refusal(only_keys=str(file))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n", "names no key"),
        ('\n{"key": [139]}\n', "line 2 names no object"),
        ("image/avatar-1.png\n", "line 1 names no object"),
    ],
)
def test_what_is_no_list_of_keys_is_refused_by_its_line(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    file.write_text(text)
    assert problem in refusal(only_keys=str(file))


@pytest.mark.parametrize(
    "text", ["2026-01-31T14:30:00Z", "2026-01-31T15:30:00+01:00", "2026-01-31 14:30:00+00:00", "20260131T143000Z"]
)
def test_a_time_to_roll_back_to_means_one_moment_however_it_is_written(text: str) -> None:
    settings = read_settings(given(rollback_since=text))
    assert settings.rollback.since == datetime(2026, 1, 31, 14, 30, tzinfo=UTC)

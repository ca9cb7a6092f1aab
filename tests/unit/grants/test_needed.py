"""The rights in the report are those that grants gives."""

from __future__ import annotations

from rehome.config.read import read_settings
from rehome.db.dialect import KeyColumn, TableFacts
from rehome.grants.needed import rights_needed
from rehome.grants.policy import VERBS, Needs, actions, principals

from tests.unit.config.test_settings import given

FACTS = TableFacts(
    "avatars", "path", (KeyColumn("id", "int", "bigint"),), keep_columns=("updated_at",), where="t.id > 5"
)


def test_every_action_of_the_policy_is_named_with_what_it_is_on() -> None:
    settings = read_settings(given())
    for verb in VERBS:
        (principal,) = (one for one in principals(settings, Needs()) if one.verb == verb)
        named = {action for one in rights_needed(settings, verb, [FACTS])["s3"] for action in one["actions"]}
        assert named == {action for _, action in actions(principal.policy)}


def test_a_migration_rewrites_columns_and_writes_the_journal_and_a_retirement_only_reads() -> None:
    settings = read_settings(given())
    migrate, retire = (
        {
            (one["on"], privilege): one["columns"]
            for one in rights_needed(settings, verb, [FACTS])["database"]
            for privilege in one["privileges"]
        }
        for verb in VERBS
    )
    assert migrate == {
        ("avatars", "SELECT"): ["id", "path", "updated_at"],
        ("avatars", "UPDATE"): ["path", "updated_at"],
        ("rehome.journal", "SELECT"): [],
        ("rehome.journal", "INSERT"): [],
        ("rehome.control", "SELECT"): [],
        ("rehome.control", "INSERT"): [],
        ("rehome.control", "UPDATE"): [],
    }
    assert {privilege for _, privilege in retire} == {"SELECT"}


def test_a_file_of_sqlite_has_no_rights_of_its_own() -> None:
    settings = read_settings(given(database={"engine": "sqlite", "path": "/srv/app.db"}))
    assert rights_needed(settings, "migrate", [FACTS])["database"] == [
        {"privileges": ["read", "write"], "on": "/srv/app.db", "columns": []}
    ]

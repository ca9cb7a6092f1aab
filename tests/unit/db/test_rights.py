"""The statements that grant database rights, as they are shown and run."""

from __future__ import annotations

from rehome.db.dialect import KeyColumn, TableFacts
from rehome.db.rights import (
    Account,
    Right,
    columns_named,
    is_managed,
    mysql_changes,
    mysql_privileges,
    mysql_statements,
    postgresql_changes,
    postgresql_role,
    postgresql_statements,
    rights_on_journal,
    rights_on_table,
)

FACTS = TableFacts("avatars", "path", (KeyColumn("id", "integer", "BIGINT"),), keep_columns=("updated_at",))
RIGHTS = frozenset(rights_on_table("app", "avatars", FACTS) | rights_on_journal("rehome"))


def test_rewriting_takes_rights_on_the_columns_it_touches() -> None:
    assert rights_on_table("app", "avatars", FACTS) == {
        *(Right("SELECT", "app", "avatars", name) for name in ("id", "path", "updated_at")),
        *(Right("UPDATE", "app", "avatars", name) for name in ("path", "updated_at")),
    }


def test_what_a_condition_reads_is_granted_too() -> None:
    columns = ["id", "path", "tenant", "Deleted_At", "odd name", "other"]
    condition = "t.tenant = 7 AND deleted_at IS NULL AND `odd name` <> 'x'"
    assert columns_named(condition, columns) == ["tenant", "Deleted_At", "odd name"]
    assert columns_named(None, columns) == []
    more = rights_on_table("app", "avatars", FACTS, ["tenant"]) - rights_on_table("app", "avatars", FACTS)
    assert more == {Right("SELECT", "app", "avatars", "tenant")}


def test_mysql_is_told_as_show_grants_tells_it() -> None:
    account = Account("rehome", "10.0.%", True, 10, 30, rights=RIGHTS)
    assert mysql_statements(account) == [
        "CREATE USER `rehome`@`10.0.%` REQUIRE SSL WITH MAX_USER_CONNECTIONS 10 PASSWORD EXPIRE INTERVAL 30 DAY",
        "GRANT SELECT (`id`, `path`, `updated_at`), UPDATE (`path`, `updated_at`) ON `app`.`avatars`"
        " TO `rehome`@`10.0.%`",
        "GRANT SELECT, INSERT, UPDATE ON `rehome`.`control` TO `rehome`@`10.0.%`",
        "GRANT SELECT, INSERT ON `rehome`.`journal` TO `rehome`@`10.0.%`",
    ]
    assert mysql_privileges(RIGHTS)["rehome", "journal"] == "SELECT, INSERT"


def test_postgresql_is_told_with_quoted_names() -> None:
    rights = frozenset({Right("SELECT", "media", 'a"b', "path"), Right("CONNECT"), Right("USAGE", "media")})
    account = Account("rehome", None, None, 5, None, valid_until="2027-01-01", rights=rights)
    assert postgresql_statements(account, "app") == [
        "CREATE ROLE \"rehome\" LOGIN CONNECTION LIMIT 5 VALID UNTIL '2027-01-01'",
        'GRANT CONNECT ON DATABASE "app" TO "rehome"',
        'GRANT USAGE ON SCHEMA "media" TO "rehome"',
        'GRANT SELECT ("path") ON TABLE "media"."a""b" TO "rehome"',
    ]
    assert postgresql_changes("REVOKE", [Right("CONNECT")], "x", "app") == ['REVOKE CONNECT ON DATABASE "app" FROM "x"']


def test_rights_that_grants_never_gives_are_not_ours_to_take() -> None:
    assert all(is_managed(right, "rehome") for right in RIGHTS)
    for right in (Right("SELECT", "app", "avatars"), Right("UPDATE", "app"), Right("ALL"), Right("DELETE", "rehome")):
        assert not is_managed(right, "rehome")


def test_rights_of_any_kind_can_be_shown() -> None:
    rights = [
        Right("CREATE", "rehome", "journal"),
        Right("REFERENCES", "a", "b", "c"),
        Right("SELECT", "rehome", "journal"),
    ]
    assert mysql_privileges(rights) == {("a", "b"): "REFERENCES (`c`)", ("rehome", "journal"): "SELECT, CREATE"}


def test_only_what_differs_is_changed() -> None:
    current = Account("rehome", "%", True, 5, 30, rights=frozenset({Right("SELECT", "app", "t", "a"), *RIGHTS}))
    assert mysql_changes(current, current) == []
    wanted = Account("rehome", "%", False, 10, None, rights=RIGHTS)
    assert mysql_changes(current, wanted) == [
        "ALTER USER `rehome`@`%` REQUIRE NONE WITH MAX_USER_CONNECTIONS 10 PASSWORD EXPIRE DEFAULT",
        "REVOKE SELECT (`a`) ON `app`.`t` FROM `rehome`@`%`",
    ]
    assert mysql_changes(current, current, " IDENTIFIED …") == [
        "ALTER USER `rehome`@`%` IDENTIFIED … REQUIRE SSL WITH MAX_USER_CONNECTIONS 5 PASSWORD EXPIRE INTERVAL 30 DAY"
    ]


def test_a_role_of_postgresql_is_changed_where_it_differs() -> None:
    current = Account("rehome", None, None, 5, None, valid_until="2027-01-01", may_log_in=False)
    assert postgresql_role(current, current) == []
    wanted = Account("rehome", None, None, 5, None)
    assert postgresql_role(current, wanted, " PASSWORD '…'") == [
        "ALTER ROLE \"rehome\" LOGIN CONNECTION LIMIT 5 VALID UNTIL 'infinity' PASSWORD '…'"
    ]

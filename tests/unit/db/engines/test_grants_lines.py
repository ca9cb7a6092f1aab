"""The lines of SHOW GRANTS, read for one table."""

from __future__ import annotations

from rehome.db.engines.mysql.grants import held_on


def test_each_right_counts_where_it_is_held_and_below() -> None:
    lines = [
        "GRANT PROCESS ON *.* TO `u`@`%`",
        "GRANT REFERENCES, CREATE VIEW ON `a\\_b`.* TO `u`@`%`",
        "GRANT SELECT (`id`, `odd, UPDATE (``name``)`), TRIGGER, UPDATE (`path`) ON `a_b`.`t` TO `u`@`%`",
        "GRANT DELETE ON `a_b`.`other` TO `u`@`%`",
        "GRANT `some role`@`%` TO `u`@`%`",
    ]
    held = held_on(lines, "a_b", "t")
    assert held.everywhere == {"PROCESS"}
    assert held.on_schema == {"PROCESS", "REFERENCES", "CREATE VIEW"}
    assert held.on_table == {"PROCESS", "REFERENCES", "CREATE VIEW", "TRIGGER"}
    assert held.on_columns == {"SELECT", "UPDATE"}


def test_all_privileges_and_partial_revokes() -> None:
    assert "ALL" in held_on(["GRANT ALL PRIVILEGES ON `app`.* TO `u`@`%` WITH GRANT OPTION"], "app", "t").on_table
    lines = ["GRANT SELECT, UPDATE ON *.* TO `u`@`%`", "REVOKE SELECT ON `app`.* FROM `u`@`%`"]
    assert held_on(lines, "app", "t").on_schema == {"UPDATE"}
    assert held_on(lines, "other", "t").on_schema == {"SELECT", "UPDATE"}

from __future__ import annotations

from rehome.checks import Check, as_short_list, as_table, unknown
from rehome.report.checks import how_to_see_all

CHECKS = [
    Check("source bucket", "access", "pass", "it can be listed"),
    Check("target bucket", "replication", "warn", "copies are replicated", "Pause the rule"),
    unknown("target bucket", "ownership", "these credentials may not read it"),
    Check("avatars.path", "cost", "info", "takes about 1 s"),
    unknown("target bucket", "encryption", "these credentials may not read it"),
    unknown("avatars.path", "foreign keys", "hidden from this user"),
    Check("database", "journal", "stop", "no right to create it", "GRANT it", "rehome_database.user"),
]


def test_a_short_list_shows_what_warns_names_what_else_is_not_passed_and_counts_the_rest() -> None:
    assert as_short_list(CHECKS, "make preflight ENV=prod shows all") == [
        "warn     target bucket, replication: copies are replicated. Pause the rule",
        "info     avatars.path: cost",
        "unknown  target bucket: ownership, encryption; avatars.path: foreign keys",
        "1 check passed · make preflight ENV=prod shows all",
    ]


def test_the_table_has_every_check() -> None:
    assert len(as_table(CHECKS)) == 2 + len(CHECKS)


def test_the_command_that_shows_all_is_one_to_type() -> None:
    given = {"env": "prod", "playbook": "migrate.yml", "arguments": ["-e", "env=prod"]}
    assert how_to_see_all(given, in_job=False) == "make preflight ENV=prod shows all"  # type: ignore[arg-type]
    more = given | {"arguments": ["-e", "env=prod", "-i", "../ops/inventory"]}
    assert how_to_see_all(more, in_job=False) == (  # type: ignore[arg-type]
        "ansible-playbook playbooks/preflight.yml -e env=prod -i ../ops/inventory shows all"
    )
    assert how_to_see_all(given, in_job=True) == "playbooks/preflight.yml shows all"  # type: ignore[arg-type]
    assert how_to_see_all({}, in_job=False) == "playbooks/preflight.yml shows all"

from __future__ import annotations

import pytest
from rehome.config.where_clause import objection

ENGINES = ("mariadb", "mysql", "postgresql", "sqlite")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "condition",
    [
        "deleted_at IS NULL",
        "path LIKE 'image/%'",
        "kind IN ('a;b', 'c--d', '(((', '/*', '''', '?', ':x') AND (a OR b)",
        "id IN (SELECT user_id FROM users u WHERE u.id = t.user_id)",
        'name = "odd;(" OR 1 = 1',
        "a % 10 = 3",
    ],
)
def test_a_condition_is_taken(engine: str, condition: str) -> None:
    assert objection(condition, engine) is None


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("a = 1; DROP TABLE t", "has ; outside of quotes"),
        ("a = 1 -- b", "has -- outside of quotes"),
        ("a = 1 /* b", "has /* outside of quotes"),
        ("a = 1) OR (b = 2", "has parentheses that do not match"),
        ("(a = 1", "has parentheses that do not match"),
        ("a = 1)", "has parentheses that do not match"),
        ("a = 'b", "has a quote that is not closed"),
        ('a = "b', "has a quote that is not closed"),
        ("a = ''' OR b", "has a quote that is not closed"),
    ],
)
def test_what_would_break_out_of_its_parentheses_is_refused(engine: str, condition: str, problem: str) -> None:
    assert (objection(condition, engine) or "").startswith(problem)


@pytest.mark.parametrize(
    ("engine", "condition", "taken"),
    [
        ("mariadb", r"a = '\') OR (b = '", True),
        ("postgresql", r"a = '\') OR (b = '", False),
        ("postgresql", r"a = E'\') OR (b = '", True),
        ("postgresql", r"date'2020-01-01' < a AND b = '\'", True),
        ("sqlite", r"a = '\'", True),
        ("mariadb", "a = 1 # b", False),
        ("postgresql", "data #>> '{a}' = 'b' AND data ? 'c' AND a::text = 'd'", True),
        ("postgresql", "a = $1", False),
        ("postgresql", "a = $$;$$", False),
        ("sqlite", "a = ?", False),
        ("sqlite", "a = :name", False),
        ("sqlite", "[odd;name] = 1", True),
        ("mariadb", "`odd;(name` = 1", True),
    ],
)
def test_each_engine_has_its_own_quotes(engine: str, condition: str, taken: bool) -> None:
    assert (objection(condition, engine) is None) is taken

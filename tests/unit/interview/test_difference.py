from __future__ import annotations

import pytest

from interview.difference import MASK, difference, masked


@pytest.mark.parametrize(
    "line",
    [
        "password: hunter2",
        "  secret_key: hunter2 # old",
        "rehome_database: {host: h, password: 'hunter2', name: n}",
        '{"password": "hunter2"}',
        "url: mysql://app:hunter2@db/app",
        "DB_PASSWD=hunter2",
        "session_token: hunter2",
        "a:\n  password: >-\n    hunter2\n  b: 1",
    ],
)
def test_a_secret_of_the_old_file_is_not_shown(line: str) -> None:
    assert "hunter2" not in masked(line)
    assert MASK in masked(line)


def test_the_name_of_a_secret_is_shown() -> None:
    line = 'secret_key: "{{ vault_rehome_source_secret_key }}"'
    assert masked(line) == line


def test_a_difference_names_the_file_and_both_lines() -> None:
    shown = difference("staging.yml", "a: 1\nb: 2\n", "a: 1\nb: 3\n")
    assert shown.splitlines()[:2] == ["--- staging.yml (as it is)", "+++ staging.yml (new)"]
    assert "-b: 2\n+b: 3" in shown


def test_the_same_has_no_difference() -> None:
    assert difference("f", "a: 1\n", "a: 1\n") == ""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, strategies
from rehome.config.database_url import parse_database_url
from rehome.config.read import read_settings
from rehome.config.settings import Tls

from tests.unit.config.test_settings import given as settings_with
from tests.unit.config.test_settings import refusal


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "mysql://u:p%40ss@db:3307/app",
            {"engine": "mysql", "host": "db", "port": 3307, "name": "app", "user": "u", "password": "p@ss"},
        ),
        ("mariadb+pymysql://u@db/app?charset=utf8mb4", {"engine": "mariadb", "host": "db", "name": "app", "user": "u"}),
        (
            "postgres://u@[::1]/app?sslmode=verify-full&sslrootcert=/ca.pem",
            {
                "engine": "postgresql",
                "host": "::1",
                "name": "app",
                "user": "u",
                "tls": {"enabled": True, "verify": True, "ca": "/ca.pem"},
            },
        ),
        ("postgresql:///app?host=/run/pg", {"engine": "postgresql", "name": "app", "socket": "/run/pg"}),
        ("sqlite:////srv/app.db", {"engine": "sqlite", "path": "/srv/app.db"}),
        ("sqlite:///app.db", {"engine": "sqlite", "path": "app.db"}),
    ],
)
def test_a_url_names_the_parts_of_a_database(url: str, expected: dict[str, Any]) -> None:
    assert {name: value for name, value in parse_database_url(url).items() if value is not None} == expected


@given(user=strategies.text(min_size=1), password=strategies.text(min_size=1))
def test_every_user_and_password_survives_its_encoding(user: str, password: str) -> None:
    found = parse_database_url(f"mysql://{quote(user, safe='')}:{quote(password, safe='')}@db/app")
    assert (found["user"], found["password"]) == (user, password)


@pytest.mark.parametrize(
    "url",
    [
        "oracle://u:hush-hush@db/app",
        "mysql://u:hush-hush@db:port/app",
        "mysql://u:hush-hush@[db/app",
        "db:3306/app?password=hush-hush",
        "postgresql://u:hush-hush@db/app?sslmode=prefer",
        "mysql://u:hush-hush@db/app?allowLocalInfile=hush-hush",
    ],
)
def test_what_is_no_database_url_is_refused_without_telling_it(url: str) -> None:
    text = refusal(database={"url": url})
    assert "rehome_database.url" in text
    assert "hush-hush" not in text


def test_user_password_and_tls_fill_what_the_url_leaves_open_and_the_server_is_the_urls() -> None:
    given_apart = {"host": "other", "user": "other", "password": "hush-hush", "tls": {"ca": "/ca.pem", "enabled": True}}
    database = read_settings(settings_with(database={"url": "mysql://u@db/app", **given_apart})).database
    assert (database.host, database.user, database.password) == ("db", "u", "hush-hush")
    assert database.tls == Tls(enabled=True, ca="/ca.pem")

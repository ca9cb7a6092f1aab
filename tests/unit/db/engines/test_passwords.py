"""What servers keep in place of passwords. tests/integration/test_grants.py logs in with what is made here."""

from __future__ import annotations

import pytest
from rehome.db.engines.mysql import passwords as mysql
from rehome.db.engines.postgresql import passwords as postgresql

SCRAM = (
    "SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$wjGCKoCIcEWiPxSG7t/wnb/YICMEFr1JZNZSKNje12g="
    ":6NG/vkzOjK2oyl11qeNEBeKuOY3QQ4atswXYbIBO79Q="
)
SALT = "abcdefghijKLMNOP0123"


@pytest.mark.parametrize(
    ("password", "digest"),
    [
        ("a", ".5.qftOF.fLlPgm2HRMeEiRu8GGaOjJW2zppsVvkc37"),
        ("x" * 40, "PopQRT2Q48Z9NC9rymW1PJNa.CUfZR6swT.rBnQFsA2"),
        ("é" * 9, "E58zHLcojqOyGQPCt84QQrveNML1eKkmxqT1CpADAU."),
        ("q" * 100, "xQO24MIRO.CNwCBLSxUF7HrfVTGnn83ZRXx7iOqGM40"),
    ],
)
def test_mysql_keeps_sha_256_crypt_with_a_salt_of_twenty_bytes(password: str, digest: str) -> None:
    stored = mysql.stored_form(mysql.CACHING_SHA2, password, SALT)
    assert stored == f"$A$005${SALT}{digest}"
    assert mysql.is_stored_form_of(mysql.CACHING_SHA2, stored, password) is True
    assert mysql.is_stored_form_of(mysql.CACHING_SHA2, stored, f"{password}!") is False


def test_each_password_has_a_salt_of_its_own() -> None:
    assert len({mysql.stored_form(mysql.CACHING_SHA2, "a") for _ in range(5)}) == 5


def test_mariadb_keeps_a_double_sha_1() -> None:
    stored = "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"
    assert mysql.stored_form(mysql.NATIVE, "password") == stored
    assert mysql.is_stored_form_of(mysql.NATIVE, stored.lower(), "password") is True


@pytest.mark.parametrize(("plugin", "stored"), [("ed25519", "x"), (mysql.CACHING_SHA2, "$A$009$x")])
def test_what_is_not_known_is_not_judged(plugin: str, stored: str) -> None:
    assert mysql.is_stored_form_of(plugin, stored, "password") is None


@pytest.mark.parametrize(
    ("stored", "password", "fits"),
    [
        ("md54d45974e13472b5a0be3533de4666414", "password", True),
        ("md54d45974e13472b5a0be3533de4666414", "passwort", False),
        ("SCRAM-SHA-256$4096:c2FsdA==$x", "password", None),
        (SCRAM, "password", True),
        (SCRAM, "passwort", False),
        (SCRAM, "pässword", None),
    ],
)
def test_postgresql_keeps_a_verifier(stored: str, password: str, fits: bool | None) -> None:
    assert postgresql.is_stored_form_of(stored, "user", password) is fits

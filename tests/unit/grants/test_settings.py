from __future__ import annotations

import pytest
from rehome.config.read import read_settings
from rehome.errors import RefusedError
from rehome.grants.settings import read_grant_settings

from tests.unit.config.test_settings import given

GRANTS = {
    "state": "present",
    "principals": "none",
    "name": "rehome",
    "database": True,
    "connections": 10,
    "secrets_file": "/nowhere/secrets.yml",
    "admin_database": {"user": "root", "password": "secret"},
}


def test_the_user_may_open_as_many_connections_as_a_run_needs() -> None:
    assert read_grant_settings(GRANTS, read_settings(given(connections=6))).connections == 10
    with pytest.raises(RefusedError) as refused:
        read_grant_settings(GRANTS, read_settings(given(connections=7)))
    assert "rehome_grants_connections (10): is too small. Choose 11 or more." in str(refused.value)

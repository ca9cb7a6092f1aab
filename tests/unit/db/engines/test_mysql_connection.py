from __future__ import annotations

import ssl

import pymysql
from rehome.db.engines.mysql import connection


def test_without_tls_settings_a_connection_is_encrypted_if_the_server_can_as_pymysql_does_it() -> None:
    ours, theirs = connection._Connection(defer_connect=True), pymysql.connect(defer_connect=True)
    for one in (ours, theirs):
        assert (one.ssl, one._ssl_required) == (True, False)  # type: ignore[attr-defined]
        assert (one.ctx.verify_mode, one.ctx.check_hostname) == (ssl.CERT_NONE, False)  # type: ignore[attr-defined]
        assert one.ctx.options == theirs.ctx.options  # type: ignore[attr-defined]
    assert ours.ctx.cert_store_stats()["x509"] == 0  # type: ignore[attr-defined]


def test_with_tls_settings_a_connection_has_their_context() -> None:
    context = ssl.create_default_context()
    connected = connection._Connection(defer_connect=True, ssl=context)
    assert connected.ctx is context  # type: ignore[attr-defined]
    assert connected._ssl_required  # type: ignore[attr-defined]

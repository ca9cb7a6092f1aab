"""A TLS server's certificate, for the tests of S3 over https."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from sandbox.certificate import write_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a certificate for 127.0.0.1 that nobody trusts, and its key."""
    path, key = write_certificate(tmp_path_factory.mktemp("tls"))
    path.write_bytes(path.read_bytes() + key.read_bytes())
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context

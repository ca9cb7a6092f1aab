"""A private nginx that answers every request with the same result of a copy: what remains is the client's cost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandbox.errors import SandboxError
from sandbox.nginx import BINARY, UNPACKED, end_nginx, start_nginx
from sandbox.ports import find_free

from .null_replies import COPIED
from .suite import BenchError

_MODULE = UNPACKED / "lib" / "nginx" / "modules" / "ngx_http_headers_more_filter_module.so"

_HTTP = """\
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  server {{
    listen 127.0.0.1:{http};
    listen 127.0.0.1:{https} ssl;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.key;
    default_type application/xml;
    # nginx would take the copy's own "if-none-match: *" for a cache's question and answer 304. The header is only
    # cleared at the end of the rewriting, which `return` does not wait for: hence the second location.
    location / {{ more_clear_input_headers If-None-Match; rewrite ^ /done last; }}
    location = /done {{ internal; return 200 '{reply}'; }}
  }}
"""


@dataclass(frozen=True, slots=True)
class NullServer:
    """Its two endpoints, and the certificate authority of the second."""

    http_url: str
    https_url: str
    ca_bundle: Path


def version() -> str:
    """Return the version that nginx reports."""
    return subprocess.run([BINARY, "-v"], capture_output=True, text=True, check=True).stderr.strip().rpartition("/")[2]


@contextmanager
def null_server(folder: Path) -> Iterator[NullServer]:
    """Run it in `folder` for the length of the block."""
    http, https = find_free(2)
    _write_certificate(folder)
    try:
        process = start_nginx(
            folder, http, _HTTP.format(folder=folder, http=http, https=https, reply=COPIED.decode()), _MODULE
        )
    except SandboxError as error:
        raise BenchError(str(error)) from error
    try:
        yield NullServer(f"http://127.0.0.1:{http}", f"https://127.0.0.1:{https}", folder / "server.pem")
    finally:
        end_nginx(process)


def _write_certificate(folder: Path) -> None:
    """Write a self-signed certificate, valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = folder / "server.key"
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )

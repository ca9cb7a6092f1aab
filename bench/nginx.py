"""A private nginx that answers every request with the same result of a copy: what remains is the client's cost."""

from __future__ import annotations

import socket
import subprocess
import time
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

from sandbox.ports import find_free

from .cost import ROOT
from .null_replies import COPIED
from .suite import BenchError

_UNPACKED = ROOT / ".venv" / "nginx" / "usr"
"""Where the Makefile unpacks its packages: nothing is installed, so no system service starts."""
_BINARY = _UNPACKED / "sbin" / "nginx"
_MODULE = _UNPACKED / "lib" / "nginx" / "modules" / "ngx_http_headers_more_filter_module.so"
_START_S = 10.0

_CONFIG = """\
load_module {module};
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
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
    return subprocess.run([_BINARY, "-v"], capture_output=True, text=True, check=True).stderr.strip().rpartition("/")[2]


@contextmanager
def null_server(folder: Path) -> Iterator[NullServer]:
    """Run it in `folder` for the length of the block."""
    if not (_BINARY.exists() and _MODULE.exists()):
        raise BenchError(f"no nginx in {_UNPACKED}; `make packages` gets one")
    http, https = find_free(2)
    _write_certificate(folder)
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(module=_MODULE, folder=folder, http=http, https=https, reply=COPIED.decode()))
    process = subprocess.Popen([_BINARY, "-p", folder, "-c", config], stderr=subprocess.DEVNULL)
    try:
        _wait_for(process, http, folder)
        yield NullServer(f"http://127.0.0.1:{http}", f"https://127.0.0.1:{https}", folder / "server.pem")
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait_for(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    give_up = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < give_up:
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    log = folder / "error.log"
    raise BenchError(f"nginx did not start: {log.read_text() if log.exists() else 'it left no log'}")


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

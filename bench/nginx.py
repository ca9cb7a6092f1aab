"""A private nginx that answers every request with the same result of a copy: what remains is the client's cost.

Only the bucket itself has an answer of its own, the listing that a peer begins with.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.certificate import write_certificate
from sandbox.errors import SandboxError
from sandbox.nginx import BINARY, UNPACKED, end_nginx, start_nginx
from sandbox.ports import find_free

from .null_replies import COPIED, listing
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
    root {folder};
    # nginx would take the copy's own "if-none-match: *" for a cache's question and answer 304. The header is only
    # cleared at the end of the rewriting, which `return` does not wait for: hence the second location.
    location / {{ more_clear_input_headers If-None-Match; rewrite ^ /done last; }}
    location = /done {{ internal; return 200 '{reply}'; }}
    location = /legacy {{ try_files /listing.xml =404; }}
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
def null_server(folder: Path, listed: int = 0) -> Iterator[NullServer]:
    """Run it in `folder` for the length of the block.

    listed: so many objects are in the listing of the bucket `legacy`
    """
    (folder / "listing.xml").write_bytes(listing(listed))
    http, https = find_free(2)
    certificate, _ = write_certificate(folder)
    try:
        process = start_nginx(
            folder, http, _HTTP.format(folder=folder, http=http, https=https, reply=COPIED.decode()), _MODULE
        )
    except SandboxError as error:
        raise BenchError(str(error)) from error
    try:
        yield NullServer(f"http://127.0.0.1:{http}", f"https://127.0.0.1:{https}", certificate)
    finally:
        end_nginx(process)

"""Renders the redirect's files as the role does, and runs them in a real nginx and in Node."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.redirect.routes import routes

from sandbox.errors import SandboxError
from sandbox.nginx import end_nginx, start_nginx
from sandbox.ports import find_free
from tests.unit.config.test_settings import given

ROOT = Path(__file__).parents[3]
TEMPLATES = ROOT / "roles" / "redirect" / "templates"

SERVER = """\
  server {{
    listen 127.0.0.1:{port};
    include {folder}/redirect.conf;
    location / {{ return 200 "untouched"; }}
  }}
"""

CALL = """
var requests = JSON.parse(require('fs').readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(requests.map(function (request) { return handler({ request: request }); })));
"""


class Response(NamedTuple):
    """location: None if the request is not redirected"""

    status: int
    location: str | None


UNTOUCHED = Response(200, None)


def settings_of(redirect: dict[str, Any], **changes: Any) -> Settings:
    """Return settings that redirect to https://cdn.example/new/. `redirect` overrides options of rehome_redirect."""
    return read_settings(given(**changes) | {"redirect": {"base_url": "https://cdn.example/new/"} | redirect})


def rendered(name: str, settings: Settings) -> str:
    """Return a template as the role's task writes it."""
    loader = DataLoader()
    variables = {"redirect_routes": routes(settings)}
    text = loader.get_text_file_contents(str(TEMPLATES / f"{name}.j2"))
    return str(Templar(loader=loader, variables=variables).template(trust_as_template(text)))


@contextmanager
def nginx(folder: Path, settings: Settings) -> Iterator[int]:
    """Run a private nginx with the snippet. Yields its port."""
    (port,) = find_free(1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "redirect.conf").write_text(rendered("nginx.conf", settings), encoding="utf-8")
    try:
        process = start_nginx(folder, port, SERVER.format(folder=folder, port=port))
    except SandboxError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        yield port
    finally:
        end_nginx(process)


def request_nginx(port: int, target: str) -> Response:
    """Return nginx's response to a request line's target, which is sent unchanged."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest("GET", "/", skip_host=True, skip_accept_encoding=True)
        # http.client refuses unusual characters
        connection._buffer[0] = f"GET {target} HTTP/1.1".encode()  # type: ignore[attr-defined] # no public way
        connection.putheader("Host", "old.example")
        connection.endheaders()
        reply = connection.getresponse()
        reply.read()
        return Response(reply.status, reply.getheader("Location"))
    finally:
        connection.close()


def run_cloudfront_function(folder: Path, settings: Settings, targets: Sequence[str]) -> list[Response]:
    """Return the function's response to each target, passed as CloudFront passes it."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("node is missing; make packages gets it", pytrace=False)
    script = folder / "call.js"
    script.write_text(f"'use strict';\n{rendered('cloudfront.js', settings)}\n{CALL}", encoding="utf-8")
    requests = json.dumps([_request(target) for target in targets])
    done = subprocess.run([node, script], input=requests, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [
        Response(reply["statusCode"], reply["headers"]["location"]["value"]) if "statusCode" in reply else UNTOUCHED
        for reply in json.loads(done.stdout)
    ]


def _request(target: str) -> dict[str, Any]:
    uri, _, query = target.partition("?")
    parameters: dict[str, Any] = {}
    for part in query.split("&") if query else []:
        name, _, value = part.partition("=")
        if name in parameters:
            known = parameters[name]
            known.setdefault("multiValue", [{"value": known["value"]}]).append({"value": value})
        else:
            parameters[name] = {"value": value}
    return {"method": "GET", "uri": uri, "querystring": parameters, "headers": {}, "cookies": {}}

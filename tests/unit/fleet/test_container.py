from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from rehome.fleet.container import ContainerError, command

KEYS = {"ca": "of the authority", "cert": "of the member", "key": "a secret"}


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_keys_become_files_that_only_the_user_reads_and_leave_the_environment() -> None:
    environment = {"REHOME_TLS": json.dumps(KEYS), "PATH": "/bin"}
    words = command(["scheduler", "--port", "8786"], environment)
    assert environment == {"PATH": "/bin"}
    assert words[:5] == ["-m", "dask", "scheduler", "--port", "8786"]
    assert "a secret" not in " ".join(words)
    for name, text in (("ca-file", KEYS["ca"]), ("cert", KEYS["cert"]), ("key", KEYS["key"])):
        file = Path(option(words, f"--tls-{name}"))
        assert file.read_text() == text
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_what_is_given_stays_as_it_is() -> None:
    given = ["worker", "tls://10.0.0.5:8786", "--host", "10.0.0.6", "--name", "mover-1"]
    assert command(given, {"REHOME_MEMBER_IP": "10.0.0.7"}) == ["-m", "dask", *given]
    assert command(["--version"], {"REHOME_TLS": "{}"}) == ["-m", "dask", "--version"]


def test_a_worker_listens_on_the_containers_address_and_is_called_by_it() -> None:
    words = command(["worker", "tls://10.0.0.5:8786"], {"REHOME_MEMBER_IP": "10.0.0.7"})
    assert (option(words, "--host"), option(words, "--name")) == ("10.0.0.7", "10.0.0.7")
    assert "--name" not in command(["scheduler"], {"REHOME_MEMBER_IP": "10.0.0.7"})


class _Metadata(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.0.8"]}]}'
        body = body if self.path == "/v4/task" else b"<html>"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def metadata() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_ecs_is_asked_for_the_address_by_no_proxy(metadata: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    words = command(["scheduler"], {"ECS_CONTAINER_METADATA_URI_V4": f"{metadata}/v4/task"})
    assert option(words, "--host") == "10.0.0.8"


@pytest.mark.parametrize("path", ["/v4/other", ":1/"])
def test_an_address_that_nobody_tells_ends_the_container_with_the_reason(path: str, metadata: str) -> None:
    url = f"{metadata}{path}" if path.startswith("/") else "http://127.0.0.1:1/"
    with pytest.raises(ContainerError, match=r"^ECS_CONTAINER_METADATA_URI_V4 \(http.*RH-921\]$"):
        command(["scheduler"], {"ECS_CONTAINER_METADATA_URI_V4": url})


@pytest.mark.parametrize("text", ["not JSON with hunter2", '{"ca": "hunter2"}', '["hunter2"]', '"hunter2"'])
def test_keys_that_are_none_end_the_container_and_are_not_quoted(text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rehome.fleet.container", "worker", "tls://127.0.0.1:1"],
        env={"REHOME_TLS": text, "PYTHONPATH": str(Path(__file__).parents[3] / "module_utils")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("REHOME_TLS: is no JSON with ca, cert, key")
    assert done.stderr.endswith("[RH-762]\n")
    assert "hunter2" not in done.stderr

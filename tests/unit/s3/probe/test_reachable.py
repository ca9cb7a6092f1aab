"""What the operator reads about a bucket that cannot be listed; each case is provoked on a real socket."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from rehome.config.settings import Side
from rehome.errors import Finding
from rehome.s3.probe import reachable as access
from rehome.s3.probe.reachable import check_bucket

from tests.unit.s3.wire import error, reply

LISTING = reply(
    200,
    b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>legacy-s3</Name>'
    b"<IsTruncated>false</IsTruncated></ListBucketResult>",
)

Serve = Callable[..., int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answers every request on a new port with the given replies, in turn, the last one for ever."""
    listening: list[socket.socket] = []

    def start(*replies: bytes | None, tls: ssl.SSLContext | None = None) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        listening.append(server)
        threading.Thread(target=run, args=(server, list(replies), tls), daemon=True).start()
        return int(server.getsockname()[1])

    def run(server: socket.socket, replies: list[bytes | None], tls: ssl.SSLContext | None) -> None:
        kept = []
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with suppress(OSError):
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
                connection.recv(65536)
                answer = replies.pop(0) if len(replies) > 1 else replies[0]
                if answer is None:
                    kept.append(connection)
                    continue
                # A client that kept the connection would race with its end.
                connection.sendall(answer.replace(b"\r\ncontent", b"\r\nconnection: close\r\ncontent", 1))
                connection.close()

    yield start
    for server in listening:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


def side(endpoint_url: str, **given: Any) -> Side:
    keys = {"access_key": "AKID", "secret_key": "TOPSECRET"}
    return Side("source", "legacy-s3", "image/", endpoint_url=endpoint_url, **{**keys, **given})


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    assert "TOPSECRET" not in str(finding)
    return finding


def test_a_bucket_that_can_be_listed_has_no_finding(serve: Serve) -> None:
    assert check_bucket(side(f"http://127.0.0.1:{serve(LISTING)}")) == []


@pytest.mark.parametrize(
    ("answer", "setting", "words"),
    [
        (error(404, "NoSuchBucket"), "bucket", "no bucket of this name"),
        (error(403, "AccessDenied"), "bucket", "may exist"),
        (error(403, "InvalidAccessKeyId"), "access_key", "does not know"),
        (error(403, "SignatureDoesNotMatch"), "secret_key", "not the secret of this access key"),
        (error(400, "ExpiredToken"), "session_token", "ExpiredToken"),
        (error(400, "InvalidToken"), "session_token", "InvalidToken"),
        (error(403, "RequestTimeTooSkewed"), "endpoint_url", "clock"),
        (error(500, "InternalError"), "bucket", "InternalError"),
        (reply(200, b"<html><body>It works</body></html>"), "endpoint_url", "not an S3 service"),
        (reply(200, b"hello"), "endpoint_url", "not an S3 service"),
        (reply(404, b"<html><body>Not found</body></html>"), "endpoint_url", "not an S3 service"),
        (reply(403, b"<html><body>Forbidden</body></html>"), "endpoint_url", "not an S3 service"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "endpoint_url", "no plain HTTP"),
        (b"", "endpoint_url", "no plain HTTP"),
        (
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
            "endpoint_url",
            "probably expects TLS",
        ),
    ],
)
def test_every_refusal_names_the_setting_and_the_way_out(serve: Serve, answer: bytes, setting: str, words: str) -> None:
    finding = only(check_bucket(side(f"http://127.0.0.1:{serve(answer)}")))
    assert finding.setting == f"rehome_source.{setting}"
    assert words in str(finding)
    assert finding.way_out


@pytest.mark.parametrize(
    "answer",
    [
        reply(301, b"<Error><Code>PermanentRedirect</Code></Error>", x_amz_bucket_region="eu-west-1"),
        reply(400, b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"),
    ],
)
def test_a_wrong_region_is_reported_with_the_right_one(serve: Serve, answer: bytes) -> None:
    finding = only(check_bucket(side(f"http://127.0.0.1:{serve(answer)}", region="us-west-2")))
    assert (finding.setting, finding.value) == ("rehome_source.region", "us-west-2")
    assert finding.way_out == "Set rehome_source.region to eu-west-1"


def test_throttling_is_waited_for(serve: Serve) -> None:
    assert check_bucket(side(f"http://127.0.0.1:{serve(error(503, 'SlowDown'), LISTING)}")) == []
    finding = only(check_bucket(side(f"http://127.0.0.1:{serve(error(503, 'SlowDown'))}")))
    assert "overloaded" in finding.problem


def test_a_port_without_a_listener_is_distinguished_from_a_name_that_is_unknown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    refused = only(check_bucket(side(f"http://127.0.0.1:{port}")))
    assert (refused.setting, refused.value) == ("rehome_source.endpoint_url", f"http://127.0.0.1:{port}")
    assert "connection refused" in refused.problem
    unknown = only(check_bucket(side("http://no-such-host.invalid")))
    assert "no-such-host.invalid cannot be resolved" in unknown.problem


def test_a_server_that_stays_silent_is_a_timeout(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_TIMEOUTS", Config(read_timeout=0.2, retries={"total_max_attempts": 1}))
    finding = only(check_bucket(side(f"http://127.0.0.1:{serve(None)}")))
    assert "no reply in time" in finding.problem


def test_https_at_a_plain_port_is_reported(serve: Serve) -> None:
    finding = only(check_bucket(side(f"https://127.0.0.1:{serve(reply(400))}")))
    assert finding.setting == "rehome_source.endpoint_url"
    assert "does not speak TLS" in finding.problem


def test_http_at_a_tls_port_is_reported(serve: Serve, tls: ssl.SSLContext) -> None:
    finding = only(check_bucket(side(f"http://127.0.0.1:{serve(LISTING, tls=tls)}")))
    assert "probably expects TLS" in finding.problem


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_certificate_that_is_not_trusted_is_reported_and_can_be_trusted(
    serve: Serve, tls: ssl.SSLContext, certificate: Path
) -> None:
    url = f"https://127.0.0.1:{serve(LISTING, tls=tls)}"
    finding = only(check_bucket(side(url)))
    assert finding.setting == "rehome_source.ca_bundle"
    assert "self-signed" in finding.problem
    assert check_bucket(side(url, ca_bundle=str(certificate))) == []
    assert check_bucket(side(url, verify_tls=False)) == []


def test_a_setting_that_cannot_be_used_is_a_finding_too() -> None:
    assert only(check_bucket(side("nonsense"))).setting == "rehome_source.endpoint_url"

"""The HTTP proxy of the environment: found as botocore finds it, and used."""

from __future__ import annotations

import asyncio
import re
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rehome.errors import RefusedError
from rehome.s3.client.client import Client
from rehome.s3.client.pacing import Retry
from rehome.s3.errors import S3Error, S3StopError
from rehome.s3.transport.proxy import Proxy, find_proxy

from tests.unit.s3.wire import Naps, client_of, endpoint, on_uvloop, reply, script, served

PASSWORD = "p:ss/w@rd"
AUTHORIZATION = f"Basic {b64encode(f'user:{PASSWORD}'.encode()).decode()}"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, "https://s3.example.com", None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://s3.example.com", Proxy("proxy", 3128)),
        ({"https_proxy": "http://proxy:3128/"}, "https://s3.example.com", Proxy("proxy", 3128)),
        ({"HTTPS_PROXY": "proxy:3128"}, "https://s3.example.com", Proxy("proxy", 3128)),
        ({"HTTPS_PROXY": "http://proxy"}, "https://s3.example.com", Proxy("proxy", 80)),
        ({"HTTPS_PROXY": "http://[::1]:3128"}, "https://s3.example.com", Proxy("::1", 3128)),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://s3.example.com", None),
        ({"http_proxy": "http://proxy:3128"}, "http://s3.example.com", Proxy("proxy", 3128)),
        ({"http_proxy": "http://proxy:3128", "NO_PROXY": "example.com"}, "http://s3.example.com", None),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "127.0.0.1"}, "http://127.0.0.1:9000", None),
        (
            {"HTTPS_PROXY": "http://user:p%3Ass%2Fw%40rd@proxy:3128"},
            "https://s3.example.com",
            Proxy("proxy", 3128, AUTHORIZATION),
        ),
    ],
)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, expected: Proxy | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_proxy(url) == expected


@pytest.mark.parametrize("given", ["https://u:TOPSECRET@proxy", "socks5://proxy:1080", "http://proxy:99999", "http://"])
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", given)
    with pytest.raises(RefusedError) as caught:
        find_proxy("https://s3.example.com")
    (finding,) = caught.value.findings
    assert finding.setting == "HTTPS_PROXY"
    assert "TOPSECRET" not in str(finding)


def test_a_proxys_password_is_in_no_representation() -> None:
    assert AUTHORIZATION not in repr(Proxy("proxy", 3128, AUTHORIZATION))


@on_uvloop
async def test_plain_requests_tell_the_proxy_the_whole_url_and_their_signature_is_for_the_endpoint() -> None:
    async with served(script([reply(200), reply(200)])) as wire:
        proxy = Proxy("127.0.0.1", wire.port, AUTHORIZATION)
        async with Client(endpoint(9000, host="s3.example.com", proxy=proxy)) as client:
            await client.request("PUT", "a key", body=b"content", query=[("tagging", "")])
            await client.request("GET", None)
    first, second = wire.requests
    assert first.startswith(b"PUT http://s3.example.com:9000/bucket/a%20key?tagging= HTTP/1.1\r\n")
    assert second.startswith(b"GET http://s3.example.com:9000/bucket HTTP/1.1\r\n")
    assert b"\r\nhost: s3.example.com:9000\r\n" in first
    assert f"\r\nproxy-authorization: {AUTHORIZATION}\r\n".encode() in first
    signed = re.search(rb"SignedHeaders=([^,]*)", first)
    assert signed is not None
    assert b"proxy" not in signed[1]
    assert wire.connections == 1


@on_uvloop
async def test_a_proxy_that_wants_a_password_stops_the_run() -> None:
    async with client_of(script([reply(407)])) as (client, wire, _):
        with pytest.raises(S3StopError, match="ProxyAuthenticationRequired"):
            await client.request("GET", "k")
        assert len(wire.requests) == 1


class Tunnels:
    """A proxy that supports CONNECT, to one target."""

    def __init__(self, connect_reply: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.connect_reply = connect_reply
        self.target = 0
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.connect_reply)
        if not self.connect_reply.startswith(b"HTTP/1.1 2"):
            writer.close()
            return
        upstream, out = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(self._pass(reader, out), self._pass(upstream, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def proxied(tunnels: Tunnels) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(tunnels.serve, "127.0.0.1", 0)
    try:
        yield Proxy("127.0.0.1", server.sockets[0].getsockname()[1], AUTHORIZATION)
    finally:
        server.close()


@on_uvloop
async def test_encrypted_requests_go_through_a_tunnel_that_the_proxy_cannot_look_into(
    tls: ssl.SSLContext, certificate: Path
) -> None:
    tunnels = Tunnels()
    trusted = ssl.create_default_context(cafile=certificate)
    async with served(script([reply(200, b"one"), reply(200, b"two")]), ssl=tls) as wire, proxied(tunnels) as proxy:
        tunnels.target = wire.port
        # The certificate is for 127.0.0.1, so that is the name of the endpoint; only the proxy knows its port.
        async with Client(endpoint(443, trusted, proxy=proxy)) as client:
            assert [(await client.request("GET", "k")).body for _ in range(2)] == [b"one", b"two"]
    (request,) = tunnels.requests
    assert request.startswith(b"CONNECT 127.0.0.1:443 HTTP/1.1\r\nhost: 127.0.0.1:443\r\n")
    assert f"proxy-authorization: {AUTHORIZATION}".encode() in request
    assert all(b"proxy" not in request and request.startswith(b"GET /bucket/k ") for request in wire.requests)


@on_uvloop
async def test_the_endpoints_certificate_is_checked_through_the_tunnel_too(tls: ssl.SSLContext) -> None:
    tunnels = Tunnels()
    async with served(script([]), ssl=tls) as wire, proxied(tunnels) as proxy:
        tunnels.target = wire.port
        async with Client(endpoint(443, ssl.create_default_context(), proxy=proxy)) as client:
            with pytest.raises(S3StopError, match="CertificateNotTrusted"):
                await client.request("GET", "k")


@pytest.mark.parametrize(
    ("connect_reply", "code", "count"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "ProxyRefused", 1),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "ProxyRefused", 1),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "ProxyRefused", 1),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "EndpointUnreachable", 3),
        (b"", "EndpointUnreachable", 3),
    ],
)
def test_a_proxy_that_opens_no_tunnel_stops_the_run_and_says_so(connect_reply: bytes, code: str, count: int) -> None:
    @on_uvloop
    async def scenario() -> None:
        tunnels = Tunnels(connect_reply)
        async with proxied(tunnels) as proxy:
            retry = Retry(attempts=3, sleep=Naps())
            async with Client(endpoint(443, ssl.create_default_context(), proxy=proxy), retry=retry) as client:
                with pytest.raises(S3Error, match=f"{code}.*127.0.0.1:{proxy.port}") as caught:
                    await client.request("GET", "k")
        assert isinstance(caught.value, S3StopError)
        assert len(tunnels.requests) == count
        assert AUTHORIZATION not in str(caught.value)

    scenario()

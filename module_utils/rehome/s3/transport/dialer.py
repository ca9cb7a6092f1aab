"""Open connections to one of an endpoint's addresses, directly or through a proxy."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl

from .addresses import Addresses, HostResolver, resolve_host
from .connection import Connection, Fault, TlsConnection, TransportError
from .endpoint import Endpoint

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})\b([^\r\n]*)")
_TUNNEL_REPLY_LIMIT = 65536
_READ_BYTES = 256 * 1024


class Dialer:
    """Opens connections to one endpoint.

    connect_timeout: seconds for name resolution, TCP and TLS together; if there are several addresses, half of it for
        each
    resolver: resolves host names
    """

    def __init__(self, endpoint: Endpoint, connect_timeout: float, resolver: HostResolver = resolve_host) -> None:
        self._endpoint = endpoint
        self._connect_timeout = connect_timeout
        peer = endpoint.proxy or endpoint
        self._addresses = Addresses(peer.host, peer.port, resolver)
        self._port = peer.port
        self._read_buffer = memoryview(bytearray(_READ_BYTES if endpoint.tls else 0))
        self._via = f" (through the proxy {endpoint.proxy.name})" if endpoint.proxy else ""

    async def dial(self) -> Connection:
        """Open a connection to the first address that accepts one.

        Raises TransportError with `sent` False.
        """
        addresses = await self._ordered_addresses()
        seconds = self._connect_timeout if len(addresses) == 1 else self._connect_timeout / 2
        for number, address in enumerate(addresses, 1):
            try:
                return await self._dial(address, seconds)
            except TransportError as error:
                if error.fault is not Fault.UNREACHABLE:
                    raise
                self._addresses.failed(address)
                if number == len(addresses):
                    all_failed = f"none of {number} addresses responds: " if number > 1 else ""
                    raise _unreachable(f"{all_failed}{error}") from None
        raise AssertionError("there is at least one address")

    async def _ordered_addresses(self) -> list[str]:
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await self._addresses.ordered()
        except TimeoutError:
            raise _unreachable(f"the name is not resolved within {self._connect_timeout:g} s{self._via}") from None
        except OSError as error:
            raise _unreachable(f"{error.strerror or error}{self._via}") from None

    async def _dial(self, address: str, seconds: float) -> Connection:
        try:
            async with asyncio.timeout(seconds):
                return await self._connect(address)
        except ssl.SSLCertVerificationError as error:
            raise TransportError(Fault.UNTRUSTED, error.verify_message, sent=False) from None
        except TimeoutError:
            raise _unreachable(f"no connection within {seconds:g} s{self._via}") from None
        except OSError as error:
            raise _unreachable(f"{error.strerror or error}{self._via}") from None

    async def _connect(self, address: str) -> Connection:
        endpoint, loop = self._endpoint, asyncio.get_running_loop()
        name = endpoint.host if endpoint.tls else None
        if endpoint.proxy is None or endpoint.tls is None:
            _, connection = await loop.create_connection(
                self._new_connection, address, self._port, ssl=endpoint.tls, server_hostname=name
            )
            return connection
        tunnel = await self._tunnel(address)
        try:
            _, connection = await loop.create_connection(
                self._new_connection, sock=tunnel, ssl=endpoint.tls, server_hostname=name
            )
        except BaseException:
            tunnel.close()
            raise
        return connection

    def _new_connection(self) -> Connection:
        return TlsConnection(self._read_buffer) if self._endpoint.tls else Connection()

    async def _tunnel(self, address: str) -> socket.socket:
        """Return a connection through the proxy to the endpoint (CONNECT, RFC 9110)."""
        loop = asyncio.get_running_loop()
        tunnel = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            tunnel.setblocking(False)
            await loop.sock_connect(tunnel, (address, self._port))
            await loop.sock_sendall(tunnel, self._connect_request())
            reply = b""
            while b"\r\n\r\n" not in reply:
                chunk = await loop.sock_recv(tunnel, 4096)
                if not chunk or len(reply) > _TUNNEL_REPLY_LIMIT:
                    raise _unreachable(f"no reply to CONNECT{self._via}")
                reply += chunk
            self._judge(reply)
        except BaseException:
            tunnel.close()
            raise
        return tunnel

    def _connect_request(self) -> bytes:
        endpoint = self._endpoint
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        lines = [f"CONNECT {host}:{endpoint.port} HTTP/1.1", f"host: {host}:{endpoint.port}"]
        if endpoint.proxy is not None and endpoint.proxy.authorization is not None:
            lines.append(f"proxy-authorization: {endpoint.proxy.authorization}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _judge(self, reply: bytes) -> None:
        line = _STATUS_LINE.match(reply)
        status = int(line[1]) if line else 0
        if 200 <= status < 300:
            return
        status_line = f"{status}{line[2].decode('latin-1')}" if line else "no HTTP"
        text = f"the proxy's reply to CONNECT is {status_line}{self._via}"
        # An error between proxy and endpoint may be temporary; what the proxy itself denies is not.
        if status in (408, 429) or status >= 500:
            raise _unreachable(text)
        raise TransportError(Fault.PROXY, text, sent=False)


def _unreachable(text: str) -> TransportError:
    return TransportError(Fault.UNREACHABLE, text, sent=False)

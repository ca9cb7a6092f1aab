"""An HTTP proxy in front of an object store that rejects chosen requests, as services reject what they do not do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

BUFFER = 65_536


class Request(NamedTuple):
    """The head of a request. `query` and `headers` have names in lower case; `path` is decoded."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


class Rejection(NamedTuple):
    """An error reply."""

    status: int
    code: str
    message: str = "because"

    def reply(self, head_only: bool) -> bytes:
        """Return the bytes to send."""
        body = f"<Error><Code>{self.code}</Code><Message>{self.message}</Message></Error>".encode()
        head = f"HTTP/1.1 {self.status} No\r\ncontent-type: application/xml\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + (b"" if head_only else body)


Rule = Callable[[Request], Rejection | None]


class RejectingProxy:
    """Forwards connections from `.port` of 127.0.0.1 to `port`, request by request.

    rule: says which requests are rejected; may be changed at any time
    seen: every request
    rejected: those that were rejected
    """

    def __init__(self, port: int, rule: Rule = lambda request: None) -> None:
        self.rule = rule
        self.seen: list[Request] = []
        self.rejected: list[Request] = []
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> RejectingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._listener)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, 5)
            server.settimeout(None)
            threading.Thread(target=_relay, args=(server, client), daemon=True).start()
            with suppress(OSError):
                self._forward(client, server)
        finally:
            _end(client)
        _end(server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        pending = b""
        while True:
            while b"\r\n\r\n" not in pending:
                if not (piece := client.recv(BUFFER)):
                    return
                pending += piece
            head, _, rest = pending.partition(b"\r\n\r\n")
            request = _read(head)
            if "expect" in request.headers:
                client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"expect:"))
            length = int(request.headers.get("content-length", 0))
            while len(rest) < length:
                rest += client.recv(BUFFER)
            body, pending = rest[:length], rest[length:]
            self.seen.append(request)
            # no reply is on its way now, as neither client sends a request before it has the last one's reply
            if (rejection := self.rule(request)) is not None:
                self.rejected.append(request)
                client.sendall(rejection.reply(head_only=request.method == "HEAD"))
            else:
                server.sendall(head + b"\r\n\r\n" + body)


def _read(head: bytes) -> Request:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    address = urlsplit(target)
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    query = {name.lower(): value for name, value in parse_qsl(address.query, keep_blank_values=True)}
    return Request(method, unquote(address.path), query, headers)


def _relay(server: socket.socket, client: socket.socket) -> None:
    with suppress(OSError):
        while piece := server.recv(BUFFER):
            client.sendall(piece)
    _end(client)


def _end(open_socket: socket.socket) -> None:
    with suppress(OSError):
        open_socket.shutdown(socket.SHUT_RDWR)
    open_socket.close()

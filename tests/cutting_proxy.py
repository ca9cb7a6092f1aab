"""A TCP proxy that cuts connections before a request reaches the server, or after its work and before the reply."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from pymysql.constants import CLIENT

BUFFER = 65_536
Moment = Literal["before", "after"]


class CuttingProxy:
    """Forwards connections from `.port` of 127.0.0.1 to `host:port`.

    delay_s: delay of each piece of a reply
    cuts: number of connections that were cut by `cut_at`
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.delay_s = 0.0
        self.cuts = 0
        self._rule: tuple[Callable[[bytes], bool], Moment] | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        # without a shutdown it would accept one more connection
        _end(self._listener)
        self.cut()

    def cut_at(self, words: bytes, moment: Moment, skip: int = 0) -> None:
        """Cut once: the connection on which a client sends `words` after it did so `skip` times unharmed.

        before: the server never receives the words
        after: the server receives the words, and the client never receives the reply
        """
        left = [skip]

        def matches(piece: bytes) -> bool:
            if words not in piece:
                return False
            left[0] -= 1
            return left[0] < 0

        self._rule = matches, moment

    def cut(self) -> None:
        """Cut all connections now."""
        with self._lock:
            sockets, self._open = self._open, set()
        for open_socket in sockets:
            _end(open_socket)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._target, 5)
                except OSError:
                    _end(client)
                    continue
                server.settimeout(None)
                with self._lock:
                    self._open |= {client, server}
                threading.Thread(target=_Pair(self, client, server).requests, daemon=True).start()

    def taken(self, piece: bytes) -> Moment | None:
        """Return whether and when to cut at this piece of a request."""
        with self._lock:
            if self._rule is None or not self._rule[0](piece):
                return None
            moment, self._rule = self._rule[1], None
            self.cuts += 1
            return moment


class _Pair:
    """A connection through the proxy: the client's socket and the server's."""

    def __init__(self, proxy: CuttingProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._replied = threading.Event()
        self._swallow = False
        self._greeted = False
        threading.Thread(target=self._replies, daemon=True).start()

    def requests(self) -> None:
        with suppress(OSError):
            while piece := self._client.recv(BUFFER):
                moment = self._proxy.taken(piece)
                if moment == "before":
                    break
                if moment == "after":
                    self._swallow = True
                    self._server.sendall(piece)
                    self._replied.wait(10)
                    break
                self._server.sendall(piece)
        self._end()

    def _replies(self) -> None:
        with suppress(OSError):
            while piece := self._server.recv(BUFFER):
                if self._swallow:
                    self._replied.set()
                    break
                if self._proxy.delay_s:
                    time.sleep(self._proxy.delay_s)
                self._client.sendall(piece if self._greeted else without_tls(piece))
                self._greeted = True
        self._end()

    def _end(self) -> None:
        _end(self._client)
        _end(self._server)


def without_tls(greeting: bytes) -> bytes:
    """Return a server's first bytes without the offer of TLS, in which the proxy would recognise no words.

    Only MySQL and MariaDB speak first: "Protocol::HandshakeV10" in MySQL's source documentation.
    """
    end_of_version = greeting.find(b"\0", 5)
    if greeting[3:5] != b"\0\x0a" or end_of_version < 0:
        return greeting
    # behind the session's number, the first part of the salt, and a filler
    at = end_of_version + 14
    flags = int.from_bytes(greeting[at : at + 2], "little") & ~CLIENT.SSL
    return greeting[:at] + flags.to_bytes(2, "little") + greeting[at + 2 :]


def _end(open_socket: socket.socket) -> None:
    with suppress(OSError):
        open_socket.shutdown(socket.SHUT_RDWR)
    open_socket.close()

"""Proxies between Rehome and its servers that inject faults at the requests that a schedule names."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from sandbox.s3_server import SOURCE_BUCKET
from tests.cutting_proxy import CuttingProxy, Moment

SQL_WORDS = ("COMMIT", "INSERT", "UPDATE", "SELECT")
"""Words by which a statement is classified, the rarest first."""
DELAY_S = 0.3


@dataclass(frozen=True)
class Fault:
    """A fault at the `nth` request of a kind, counted from 1.

    trouble: a fault of the connection (one of TROUBLES), or a disruption: a process that is killed or restarted
    after: disrupt after the server has done the work and before it replies, not before the work
    """

    kind: str
    nth: int
    trouble: str
    after: bool = False


TROUBLES: tuple[str, ...] = ("cut", "drop the reply", "half a reply", "delay", "500", "503", "500 after the work")
LINE_TROUBLES: tuple[str, ...] = ("cut", "drop the reply", "delay")


class Schedule:
    """The faults of one run, each injected once.

    disrupt: carries out a disruption; called in the thread of the connection
    injected: number of injected faults by name
    """

    def __init__(self, faults: tuple[Fault, ...], disrupt: Callable[[str], None]) -> None:
        self._left = {(fault.kind, fault.nth): fault for fault in faults}
        self._disrupt = disrupt
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.injected: Counter[str] = Counter()

    def take(self, kind: str) -> Fault | None:
        """Count one request of this kind. Return the fault that is due at it, if any."""
        with self._lock:
            self._seen[kind] += 1
            fault = self._left.pop((kind, self._seen[kind]), None)
            if fault is not None:
                self.injected[fault.trouble] += 1
            return fault

    def inject(self, fault: Fault | None, *, after: bool) -> None:
        """Carry out the fault's disruption if it is due at this moment, before or after the work."""
        if fault is not None and fault.trouble not in TROUBLES and fault.after == after:
            self._disrupt(fault.trouble)


class DatabaseProxy(CuttingProxy):
    """A proxy of the database. Classifies what a client sends by the SQL words in it."""

    def __init__(self, port: int) -> None:
        self.schedule = Schedule((), lambda _: None)
        super().__init__(port)

    def taken(self, piece: bytes) -> Moment | None:
        kind = next((word for word in SQL_WORDS if word.encode() in piece), None)
        fault = self.schedule.take(kind) if kind else None
        if fault is None:
            return None
        self.schedule.inject(fault, after=False)
        if fault.trouble == "delay":
            time.sleep(DELAY_S)
        if fault.trouble == "cut":
            return "before"
        if fault.trouble == "drop the reply":
            return "after"
        # the end of the work is unknown here: disrupt shortly after the request was forwarded
        if fault.after:
            threading.Timer(0.002, self.schedule.inject, (fault,), {"after": True}).start()
        return None


class StoreProxy:
    """A proxy of the object store, on `.port` of 127.0.0.1. Reads each request and its reply completely.

    source_writes: the request lines of requests that would change the source bucket
    """

    def __init__(self, port: int) -> None:
        self.schedule = Schedule((), lambda _: None)
        self.source_writes: list[str] = []
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError), client, _connected(self._target) as server:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            from_client, from_server = _Reader(client), _Reader(server)
            while True:
                head, body = from_client.request()
                if _WRITES_TO_SOURCE(head):
                    self.source_writes.append(head.partition(b"\r\n")[0].decode())
                fault = self.schedule.take(kind_of(head))
                self.schedule.inject(fault, after=False)
                trouble = fault.trouble if fault else ""
                if trouble == "cut":
                    return
                if trouble == "delay":
                    time.sleep(DELAY_S)
                if trouble in ("500", "503"):
                    client.sendall(_error(int(trouble)))
                    continue
                server.sendall(head + body)
                reply = from_server.reply(head.startswith(b"HEAD "))
                self.schedule.inject(fault, after=True)
                if trouble == "drop the reply":
                    return
                if trouble == "half a reply":
                    client.sendall(reply[: len(reply) // 2])
                    return
                client.sendall(_error(500) if trouble == "500 after the work" else reply)


_WRITES_TO_SOURCE = re.compile(rf"(?!GET |HEAD )\S+ /{SOURCE_BUCKET}[/? ]".encode()).match


def kind_of(head: bytes) -> Literal["list", "read", "copy", "write"]:
    """Return the kind of a request, by its head."""
    line = head.partition(b"\r\n")[0]
    if line.startswith((b"GET ", b"HEAD ")):
        return "list" if b"list-type=2" in line else "read"
    # a streamed copy is a PUT with a body
    return "copy" if line.startswith(b"PUT ") and b"/avatar-" in line else "write"


@contextmanager
def _connected(target: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(target, 5) as server:
        server.settimeout(None)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield server


class _Reader:
    """Reads HTTP/1.1 messages from a connection. Raises EOFError at its end."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def request(self) -> tuple[bytes, bytes]:
        head = self._until(b"\r\n\r\n")
        return head, self._body(head)

    def reply(self, without_body: bool) -> bytes:
        head = self._until(b"\r\n\r\n")
        if head.split(b" ", 2)[1] == b"100":
            return head + self.reply(without_body)
        if without_body or head.split(b" ", 2)[1] in (b"204", b"304"):
            return head
        return head + self._body(head)

    def _body(self, head: bytes) -> bytes:
        if found := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head):
            return self._exactly(int(found[1]))
        if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
            return b"".join(self._chunks())
        return b""

    def _chunks(self) -> Iterator[bytes]:
        while True:
            line = self._until(b"\r\n")
            yield line
            size = int(line.split(b";")[0], 16)
            yield self._exactly(size + 2)
            if not size:
                return

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._more()
        found, _, self._buffer = self._buffer.partition(end)
        return found + end

    def _exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._more()
        found, self._buffer = self._buffer[:length], self._buffer[length:]
        return found

    def _more(self) -> None:
        piece = self._connection.recv(65_536)
        if not piece:
            raise EOFError
        self._buffer += piece


def _error(status: int) -> bytes:
    code = {500: "InternalError", 503: "SlowDown"}[status]
    body = f"<Error><Code>{code}</Code><Message>made up by a test</Message></Error>".encode()
    return f"HTTP/1.1 {status} Whatever\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body

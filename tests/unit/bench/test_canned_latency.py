"""The service that takes its time, and remembers what was copied."""

from __future__ import annotations

import asyncio
import json
from typing import cast

from bench.canned_latency import GRANTED, MISSING, REFUSED, THERE, Service


class Line:
    """What a client has received."""

    def __init__(self) -> None:
        self.received = list[bytes]()

    def write(self, data: bytes) -> None:
        self.received.append(data)

    def is_closing(self) -> bool:
        return False


async def ask(service: Service, *requests: bytes) -> list[bytes]:
    line = Line()
    for request in requests:
        service.ask(request + b" HTTP/1.1", cast(asyncio.Transport, line))
        await asyncio.sleep(0.01)
    return line.received


def body(reply: bytes) -> object:
    return json.loads(reply.partition(b"\r\n\r\n")[2])


async def scenario() -> None:
    service = Service(0.001)
    copy, head = b"PUT /production/avatar/a.png", b"HEAD /production/avatar/a.png"
    assert await ask(service, head, copy, copy, head) == [MISSING, GRANTED, REFUSED, THERE]
    assert await ask(service, b"HEAD /legacy/image/a.png") == [THERE]
    (count,) = await ask(service, b"GET /count")
    assert body(count) == 2
    (asked,) = await ask(service, b"GET /asked")
    first, second = cast(list[float], body(asked))
    assert first < second
    (count, again) = await ask(service, b"GET /count", copy)
    assert (body(count), again) == (0, GRANTED)


def test_what_is_there_is_not_copied_again() -> None:
    asyncio.run(scenario())


async def slow() -> None:
    line = Line()
    Service(0.05).ask(b"PUT /production/avatar/a.png HTTP/1.1", cast(asyncio.Transport, line))
    await asyncio.sleep(0.01)
    assert line.received == []
    await asyncio.sleep(0.1)
    assert line.received == [GRANTED]


def test_each_request_takes_its_time() -> None:
    asyncio.run(slow())

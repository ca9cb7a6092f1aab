"""Ports that are found are free, different, and below those of outgoing connections."""

from __future__ import annotations

import socket

from sandbox import ports


def test_found_ports_are_free_pairs() -> None:
    found = ports.find_free(20)
    assert len(set(found)) == 20
    assert all(ports.is_free(port) and ports.is_free(port + ports.PAIR_OFFSET) for port in found)
    assert max(found) + ports.PAIR_OFFSET < 32768


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not ports.is_free(server.getsockname()[1])

"""A real scheduler and real workers for the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sandbox.dask_fleet import ROOT, DaskFleet, exported
from sandbox.s3_server import S3Server
from tests.namespaces import Network, forwarded, network

__all__ = ["ROOT", "FleetOfTest", "NetworkOfTest", "exported", "keys_of", "network_of_fleet", "running_fleet"]

FleetOfTest = DaskFleet


def keys_of(store: S3Server, user: str) -> dict[str, str]:
    """Return the environment of a process that has this user's keys."""
    keys = store.users[user]
    return exported(keys.access_key, keys.secret_key)


@contextmanager
def running_fleet(folder: Path, keys: Mapping[str, str]) -> Iterator[FleetOfTest]:
    """Run a scheduler and two workers with these keys in their environment."""
    made = FleetOfTest(folder, keys)
    try:
        made.start_scheduler()
        made.start_worker()
        made.start_worker()
        yield made
    finally:
        made.stop()


class NetworkOfTest(FleetOfTest):
    """A fleet whose members are on machines of their own, of which each can be cut off from each.

    ip_of_test: this machine's address for the members, and the store's
    """

    def __init__(self, folder: Path, keys: Mapping[str, str], store: S3Server, network: Network) -> None:
        self.network = network
        self.ip_of_test = network.ip
        self.endpoint_url = f"http://{network.ip}:{store.state.ports['s3']}"
        super().__init__(folder, keys)

    def ip(self, member: int) -> str:
        """Return where a member listens: 0 is the scheduler, 1 the first worker."""
        return self.network.machines[member].ip

    def placed(self, member: int, command: Sequence[str]) -> list[str]:
        """Return the command that starts a member on its machine."""
        return self.network.machines[member].command(*command)


@contextmanager
def network_of_fleet(
    folder: Path, store: S3Server, workers: int, on_head: Callable[[str, bytes], object] | None = None
) -> Iterator[NetworkOfTest]:
    """Join machines for a scheduler and so many workers; start none. The store is reached from all of them.

    on_head: as of `forwarded`
    """
    with ExitStack() as stack:
        joined = stack.enter_context(network(workers + 1))
        stack.enter_context(forwarded(joined.ip, store.state.ports["s3"], on_head))
        made = NetworkOfTest(folder, keys_of(store, "migrate"), store, joined)
        stack.callback(made.stop)
        yield made

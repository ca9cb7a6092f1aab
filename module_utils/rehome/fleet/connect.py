"""Connect to a cluster, and say in one message which setting to change if that cannot work."""

from __future__ import annotations

import asyncio
import logging
import ssl
import warnings
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dask.config
import distributed
from distributed import Client, Security

from ..codes import Code
from ..config.cluster import Cluster, fault
from ..errors import RefusedError
from .engine import Engine, python_version, this_engine
from .worker import tell_engine

_DASK: str = distributed.__version__  # type: ignore[attr-defined]

Dask = Any
"""A client of dask, most of whose methods have no types."""

RUNNING = "running"
"""The status of a worker that takes work, as dask calls it."""
ANSWERS_S = 160.0
"""How long members may take to answer at the start: longer than a scheduler keeps a worker that is frozen. It looks
each minute for those of which it has heard nothing for one, and gives their nannies half a minute to end them."""
CONNECT_S = 10.0
"""How long a scheduler may take to answer."""

TIMEOUTS = {"distributed.comm.timeouts.tcp": "30s", "distributed.comm.timeouts.connect": "30s"}
"""For how long nothing may be heard of a scheduler until its connection counts as cut, and how long a new one may take.
dask's defaults, which no file of this machine may change; `roles/cluster_member` gives the members the same."""

_WEEKLY = "`date` on both machines tells whether a clock is wrong"


@asynccontextmanager
async def connected(cluster: Cluster, stopping: Callable[[], bool] = lambda: False) -> AsyncIterator[Dask]:
    """Yield a connection to a scheduler that has workers with this engine. Raises RefusedError.

    stopping: once it returns True, no worker is waited for
    """
    if cluster.absent is not None:
        raise RefusedError([cluster.absent])
    await check_door(cluster)
    _be_quiet()
    _keep_little()
    dask.config.set(TIMEOUTS)
    try:
        client = await opened(cluster, CONNECT_S)
    except (OSError, TimeoutError) as error:
        raise _refused(cluster, "does not answer as a scheduler of dask.distributed does", _OF_ADDRESS) from error
    try:
        await _check_scheduler(cluster, client)
        await _wait_for_workers(cluster, client, stopping)
        try:
            async with asyncio.timeout(ANSWERS_S):
                await check_engines(cluster, client, await workers_of(client))
        except TimeoutError:
            problem = f"a worker there has answered nothing for {ANSWERS_S:g} s"
            raise _refused(cluster, problem, "Start workers again that are frozen") from None
        yield client
    finally:
        await client.close()


async def opened(cluster: Cluster, timeout_s: float) -> Dask:
    """Return a connection to a scheduler that may be of any kind. Raises OSError."""
    connect: Dask = Client
    secure: Any = Security
    files = {"tls_ca_file": str(cluster.ca), "tls_client_cert": str(cluster.cert), "tls_client_key": str(cluster.key)}
    security = secure(require_encryption=True, **files)
    return await connect(cluster.address, security=security, timeout=timeout_s, asynchronous=True)


async def workers_of(client: Dask) -> list[str]:
    """Return the addresses of the workers that take work."""
    return [address for address, status in (await statuses_of(client)).items() if status == RUNNING]


async def statuses_of(client: Dask) -> dict[str, str]:
    """Return the status of each worker by its address. One that takes no shard for now may still have some."""
    info = await client.scheduler.identity(n_workers=-1)
    return {address: worker["status"] for address, worker in info["workers"].items()}


async def check_engines(cluster: Cluster, client: Dask, workers: Sequence[str]) -> None:
    """Refuse workers of another Python, another distributed or another engine; dask itself only warns."""
    # first without sending code, which another Python may not survive
    versions: Mapping[str, Any] = await client.scheduler.broadcast(
        msg={"op": "versions", "packages": []}, workers=list(workers), on_error="ignore"
    )
    ours = this_engine()
    for worker, found in versions.items():
        if (theirs := _basis(found)) != _our_basis():
            raise _other_engine(worker, theirs, _our_basis())
    # those alone that have answered: of one that is gone, the scheduler waits for a connection
    engines = await client.run(tell_engine, workers=list(versions), on_error="return")
    for worker, found in engines.items():
        if isinstance(found, OSError):  # it has left meanwhile
            continue
        if isinstance(found, Exception):
            raise _other_engine(worker, f"no engine of Rehome that tells its version ({found!r})", str(ours))
        if Engine(*found) != ours:
            raise _other_engine(worker, str(Engine(*found)), str(ours))


def _other_engine(worker: str, theirs: str, ours: str) -> RefusedError:
    problem = f"this worker has {theirs}, and this machine {ours}"
    way_out = "Run make cluster-up again, or install the same Rehome there from the same lists and start it again"
    return RefusedError([fault("rehome_cluster.address", worker, problem, way_out, Code.CLUSTER_ENGINE)])


async def _check_scheduler(cluster: Cluster, client: Dask) -> None:
    """Refuse a scheduler of another Python or another distributed: it is sent code, too."""
    theirs = _basis(await client.scheduler.versions(packages=[]))
    if theirs != _our_basis():
        problem = f"this scheduler has {theirs}, and this machine {_our_basis()}"
        way_out = "Start it with the same Python and requirements-cluster.txt"
        raise _refused(cluster, problem, way_out, code=Code.CLUSTER_ENGINE)


def _basis(versions: Mapping[str, Any]) -> str:
    """Return which Python and which distributed a member of the cluster has, of what it says of itself."""
    python = ".".join(dict(versions["host"])["python"].split(".")[:2])
    return f"Python {python} with distributed {dict(versions['packages'])['distributed']}"


def _our_basis() -> str:
    return f"Python {python_version()} with distributed {_DASK}"


async def _wait_for_workers(cluster: Cluster, client: Dask, stopping: Callable[[], bool]) -> None:
    """Wait for all workers. With some of them the run may begin: the others join when they come.

    A run that has waited for all of them needs one: those that were lost since, or have never come, may never come.
    """
    waited = cluster.waited
    least = 1 if waited is not None and waited.is_noted() else cluster.workers
    try:
        async with asyncio.timeout(cluster.wait_s):
            while len(await workers_of(client)) < least:
                if stopping():
                    return
                await asyncio.sleep(0.2)  # dask's own wait for workers knows no stop
    except TimeoutError:
        if not await workers_of(client):
            waited_s = f"after rehome_cluster.wait_s ({cluster.wait_s:g} s)"
            problem = f"{waited_s} the scheduler at {cluster.address} has no worker"
            way_out = "Start workers (make cluster-up), and see in their log why they do not join; or wait longer"
            raise _refused(cluster, problem, way_out, "workers", Code.CLUSTER_WORKERS) from None
    if waited is not None:
        waited.note()


_OF_ADDRESS = "Correct the address, start the scheduler there (make cluster-up) and see that a firewall lets us through"


async def check_door(cluster: Cluster) -> None:
    """Connect once by hand: what dask says of a connection that failed does not tell one reason from another.

    Raises RefusedError.
    """
    context = _context(cluster)
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(cluster.host, cluster.port, ssl=context)
            try:
                # the scheduler speaks first; a certificate of ours that it refuses shows only here
                said = await reader.read(1)
            finally:
                writer.close()
    except ssl.SSLCertVerificationError as error:
        problem = f"the scheduler's certificate is not accepted: {error.verify_message}"
        if error.verify_code in _OF_DATES:
            problem += await _dates_of_scheduler(cluster)
        way_out = f"Name the authority of this cluster, and renew certificates that have expired; {_WEEKLY}"
        raise _refused(cluster, problem, way_out, "ca", Code.CLUSTER_CERTIFICATE) from error
    except ssl.SSLError as error:
        raise _of_tls(cluster, error) from error
    except (TimeoutError, OSError, UnicodeError) as error:  # the last: no name that a resolver takes, such as a..b
        reason = "nothing answers in time" if isinstance(error, TimeoutError) else f"cannot be reached ({error})"
        raise _refused(cluster, reason, _OF_ADDRESS) from error
    if not said:
        raise _refused(cluster, "closes the connection, as no scheduler of dask.distributed does", _OF_ADDRESS)


def _of_tls(cluster: Cluster, error: ssl.SSLError) -> RefusedError:
    reason = error.reason or str(error)
    words = reason.split("_")
    # a scheduler whose authority has the name of ours, and another key, cannot decrypt the signature
    if "ALERT" in words and ("CERTIFICATE" in words or "CA" in words or "DECRYPT" in words):
        problem = f"the scheduler refuses this certificate ({_plain(reason)})"
        if "EXPIRED" in words:
            problem += _dates(cluster.cert.read_bytes())
        way_out = f"Give one that the cluster's authority has signed and that has not expired; {_WEEKLY}"
        return _refused(cluster, problem, way_out, "cert", Code.CLUSTER_CERTIFICATE)
    problem = f"what listens there does not speak TLS as a scheduler does ({_plain(reason)})"
    way_out = "Start the scheduler with --protocol tls, and give its port"
    return _refused(cluster, problem, way_out)


_OF_DATES = (9, 10)
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED (OpenSSL's x509_vfy.h)."""


async def _dates_of_scheduler(cluster: Cluster) -> str:
    """Return from when until when the scheduler's certificate is valid; nothing if it does not show it again."""
    try:
        address = cluster.host, cluster.port
        shown = await asyncio.to_thread(ssl.get_server_certificate, address, timeout=CONNECT_S)
    except OSError:
        return ""
    return _dates(shown.encode())


def _dates(certificate: bytes) -> str:
    from cryptography import x509  # noqa: PLC0415 - for this message only

    read = x509.load_pem_x509_certificate(certificate)
    return f", valid from {read.not_valid_before_utc:%Y-%m-%d %H:%M} to {read.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"


def _plain(reason: str) -> str:
    return reason.replace("_", " ").lower()


def _context(cluster: Cluster) -> ssl.SSLContext:
    for name in ("ca", "cert", "key"):
        _require_readable(cluster, name)
    try:
        context = ssl.create_default_context(cafile=str(cluster.ca))
    except (OSError, ssl.SSLError) as error:
        raise _unusable(cluster, "ca", "has no certificate in PEM form", "Name the authority's") from error
    try:
        context.load_cert_chain(str(cluster.cert), str(cluster.key), password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise _of_certificate(cluster, error) from error
    # as dask does: the authority is the cluster's own, and members are reached by their addresses
    context.check_hostname = False
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _no_password() -> str:
    """Return none: OpenSSL would ask for one at the terminal. Raises OSError, as OpenSSL does for a wrong one."""
    raise OSError("the key is encrypted")


def _require_readable(cluster: Cluster, name: str) -> None:
    try:
        with Path(getattr(cluster, name)).open("rb"):
            return
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise _unusable(cluster, name, problem, "Name a file in PEM form that this user can read") from error


def _of_certificate(cluster: Cluster, error: OSError) -> RefusedError:
    """Return which of both files is the wrong one, by what is in them."""
    cert, key = (file.read_bytes() for file in (cluster.cert, cluster.key))
    if b"-----BEGIN CERTIFICATE-----" not in cert:
        of_key = " (it has a private key: are rehome_cluster.cert and .key swapped?)" if b"PRIVATE KEY" in cert else ""
        return _unusable(cluster, "cert", f"has no certificate in PEM form{of_key}", "Name the controller's")
    if b"PRIVATE KEY-----" not in key:
        return _unusable(cluster, "key", "has no private key in PEM form", "Name that of rehome_cluster.cert")
    if b"ENCRYPTED" in key:
        return _unusable(cluster, "key", "is encrypted, and nobody is asked for its password", "Name one that is not")
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        problem = f"is not the key of the certificate in rehome_cluster.cert ({cluster.cert})"
        return _unusable(cluster, "key", problem, "Name the two that belong together")
    problem = f"cannot be used with the key in rehome_cluster.key ({cluster.key}): {_plain(str(error))}"
    return _unusable(cluster, "cert", problem, "Name a certificate and its key in PEM form")


def _unusable(cluster: Cluster, name: str, problem: str, way_out: str) -> RefusedError:
    return _refused(cluster, problem, way_out, name, Code.CLUSTER_CERTIFICATE)


def _refused(
    cluster: Cluster, problem: str, way_out: str, name: str = "address", code: Code = Code.CLUSTER_UNREACHABLE
) -> RefusedError:
    return RefusedError([fault(f"rehome_cluster.{name}", str(getattr(cluster, name)), problem, way_out, code)])


def _be_quiet() -> None:
    """Keep dask's warnings out of a module's output: what matters of them is told in words of our own."""
    for name in ("distributed", "distributed.client", "distributed.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"distributed\b")


def _keep_little() -> None:
    """Keep few of the messages that were sent, which dask does for its developers: shards are large."""
    dask.config.set({"distributed.admin.low-level-log-length": 10})

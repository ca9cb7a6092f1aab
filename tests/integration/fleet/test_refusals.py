"""What is wrong with a cluster is one message with the setting, before the first copy."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from rehome.config.cluster import Cluster
from rehome.errors import RefusedError
from rehome.fleet.connect import connected
from rehome.fleet.engine import Engine, python_version, this_engine

from sandbox.authority import Authority
from sandbox.s3_server import S3Server
from tests.integration.fleet.cluster import FleetOfTest
from tests.integration.fleet.conftest import Starter
from tests.integration.fleet.work import fill, settings_of
from tests.integration.migration import Migration

ALONE = r".* or leave rehome_cluster unset to work with this machine alone"


def cluster_of(fleet: FleetOfTest, **changes: Any) -> Cluster:
    given = fleet.settings() | changes
    files = {name: Path(given.pop(name)) for name in ("ca", "cert", "key")}
    return Cluster(**given, **files)


async def _connect(cluster: Cluster) -> None:
    async with connected(cluster):
        pass


def refusal_of(cluster: Cluster) -> str:
    """What is refused, which is one finding."""

    with pytest.raises(RefusedError) as refused:
        asyncio.run(_connect(cluster))
    (finding,) = refused.value.findings
    return str(finding)


def assert_refused(cluster: Cluster, pattern: str, code: str) -> None:
    told = refusal_of(cluster)
    assert re.search(rf"{pattern}{ALONE}\. \[{code}\]$", told), told


def test_a_worker_that_answers_nothing(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connections stay open, so that nothing else tells."""
    monkeypatch.setattr("rehome.fleet.connect.ANSWERS_S", 4.0)
    fleet = start(1)
    cluster = cluster_of(fleet)
    asyncio.run(_connect(cluster))
    (worker,) = fleet.worker_processes()
    worker.suspend()
    try:
        assert_refused(cluster, "a worker there has answered nothing for 4 s", "RH-761")
    finally:
        worker.resume()


def test_a_worker_that_is_frozen_when_a_run_begins_is_waited_for_until_it_is_given_up(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    # less than the time for which the scheduler would try to reach the worker that is gone
    monkeypatch.setattr("rehome.fleet.connect.ANSWERS_S", 100.0)
    fleet = start(1, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="3s", DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="120s")
    fleet.wait_until_joined(fleet.start_worker())
    cluster = cluster_of(fleet)
    asyncio.run(_connect(cluster))
    frozen, _ = fleet.worker_processes()
    frozen.suspend()
    asyncio.run(_connect(cluster))
    frozen.wait(60)  # its nanny ends it, which may take longer than to give it up


def test_an_address_where_nobody_listens(fleet: FleetOfTest) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tls://127.0.0.1:{taken.getsockname()[1]}"
        assert_refused(
            cluster_of(fleet, address=address),
            rf"^rehome_cluster.address \({address}\): cannot be reached .*start the scheduler.*make cluster-up",
            "RH-761",
        )


def test_an_address_whose_name_is_none(fleet: FleetOfTest) -> None:
    address = "tls://no-such-scheduler.invalid:8786"
    told = rf"^rehome_cluster.address \({address}\): cannot be reached .*Correct the address"
    assert_refused(cluster_of(fleet, address=address), told, "RH-761")


def test_a_scheduler_without_tls(tmp_path: Path) -> None:
    plain = FleetOfTest(tmp_path, {})
    try:
        plain.start_scheduler("--protocol", "tcp")
        assert_refused(cluster_of(plain), r"^rehome_cluster.address .*does not speak TLS.*--protocol tls", "RH-761")
    finally:
        plain.stop()


@contextmanager
def silent_server() -> Iterator[int]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = list[socket.socket]()
        threading.Thread(target=lambda: kept.append(server.accept()[0]), daemon=True).start()
        yield server.getsockname()[1]
        for one in kept:
            one.close()


def test_a_server_that_says_nothing(fleet: FleetOfTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rehome.fleet.connect.CONNECT_S", 0.5)
    with silent_server() as port:
        address = f"tls://127.0.0.1:{port}"
        assert_refused(cluster_of(fleet, address=address), "nothing answers in time", "RH-761")


def test_a_foreign_authority(fleet: FleetOfTest, tmp_path: Path) -> None:
    foreign = Authority(tmp_path).ca
    assert_refused(
        cluster_of(fleet, ca=foreign),
        rf"^rehome_cluster.ca \({foreign}\): the scheduler's certificate is not accepted",
        "RH-762",
    )


def test_a_foreign_certificate(fleet: FleetOfTest, tmp_path: Path) -> None:
    _, cert, key = Authority(tmp_path).member("stranger")
    assert_refused(
        cluster_of(fleet, cert=cert, key=key),
        rf"^rehome_cluster.cert \({cert}\): the scheduler refuses this certificate",
        "RH-762",
    )


def test_an_expired_certificate(fleet: FleetOfTest) -> None:
    _, cert, key = fleet.authority.member("late", timedelta(days=-1))
    assert_refused(
        cluster_of(fleet, cert=cert, key=key),
        r"^rehome_cluster.cert .*the scheduler refuses this certificate \(.*expired\), valid from \S+ .* to \S+ .* UTC",
        "RH-762",
    )


def test_an_expired_certificate_of_the_scheduler(tmp_path: Path) -> None:
    late = FleetOfTest(tmp_path, {})
    good = late.member
    late.member = late.authority.member("late", timedelta(days=-1))
    try:
        late.start_scheduler()
        cluster = cluster_of(late, **dict(zip(("ca", "cert", "key"), map(str, good), strict=True)))
        assert_refused(
            cluster, r"^rehome_cluster.ca .*certificate has expired, valid from \S+ \S+ to \S+ \S+ UTC", "RH-762"
        )
    finally:
        late.stop()


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_a_file_that_cannot_be_read_or_is_another_is_named_itself(
    fleet: FleetOfTest, tmp_path: Path, name: str
) -> None:
    other = tmp_path / "other.pem"
    other.write_text("no certificate")
    for path, told in (
        (tmp_path / "missing.pem", r"cannot be read \(No such file or directory\)"),
        (tmp_path, r"cannot be read \(Is a directory\)"),
        (other, r"has no (certificate|private key) in PEM form\."),
    ):
        assert_refused(cluster_of(fleet, **{name: path}), rf"^rehome_cluster.{name} \({path}\): {told}", "RH-762")


def test_a_key_that_does_not_belong_to_the_certificate(fleet: FleetOfTest) -> None:
    given = cluster_of(fleet)
    _, _, foreign = fleet.authority.member("another")
    assert_refused(replace(given, key=foreign), rf"^rehome_cluster.key \({foreign}\): is not the key of the", "RH-762")
    swapped = replace(given, cert=given.key, key=given.cert)
    assert_refused(swapped, rf"^rehome_cluster.cert \({given.key}\): has no certificate .*swapped", "RH-762")


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_named_and_its_password_not_asked_for(
    fleet: FleetOfTest, tmp_path: Path, form: PrivateFormat
) -> None:
    given = cluster_of(fleet)
    key = load_pem_private_key(given.key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"hunter2")))
    told = rf"^rehome_cluster.key \({encrypted}\): is encrypted, and nobody is asked"
    assert_refused(replace(given, key=encrypted), told, "RH-762")


def test_no_worker(start: Starter) -> None:
    assert_refused(
        cluster_of(start(0), wait_s=0.5),
        r"^rehome_cluster.workers \(1\): after rehome_cluster.wait_s \(0.5 s\) the scheduler at .* has no worker"
        ".*make cluster-up",
        "RH-764",
    )


def test_fewer_workers_than_asked_for_begin_after_the_wait(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration
) -> None:
    fill(migration, 50)
    settings = settings_of(migration, object_store, fleet, workers=3, wait_s=1.0)
    migration.plan(settings)
    assert migration.copy(settings).copied == 50


def test_a_worker_with_another_engine(fleet: FleetOfTest, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Engine(this_engine().python, "9.9.9", "f" * 64)
    monkeypatch.setattr("rehome.fleet.connect.this_engine", lambda: other)
    assert_refused(
        cluster_of(fleet),
        r"this worker has Rehome 0.1.0 \(.{8}\) on Python .*, and this machine Rehome 9.9.9 \(ffffffff\)"
        ".*make cluster-up",
        "RH-763",
    )


def test_a_worker_with_another_python(fleet: FleetOfTest, monkeypatch: pytest.MonkeyPatch) -> None:
    # the scheduler is asked first
    asked = iter([python_version()])
    monkeypatch.setattr("rehome.fleet.connect.python_version", lambda: next(asked, "3.99"))
    assert_refused(cluster_of(fleet), r"this worker has Python 3\.\d+ with distributed", "RH-763")


def test_a_scheduler_with_another_distributed(fleet: FleetOfTest, tmp_path: Path) -> None:
    metadata = tmp_path / "distributed-2020.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: distributed\nVersion: 2020.1.0\n")
    commands = distribution("distributed").read_text("entry_points.txt")
    assert commands is not None
    (metadata / "entry_points.txt").write_text(commands)
    other = FleetOfTest(tmp_path, {})
    try:
        other.start_scheduler(PYTHONPATH=str(tmp_path))
        assert_refused(
            cluster_of(other),
            r"^rehome_cluster.address .*this scheduler has Python .* with distributed 2020.1.0, and this machine",
            "RH-763",
        )
    finally:
        other.stop()


def test_a_worker_without_an_engine(start: Starter) -> None:
    fleet = start(0)
    fleet.start_worker(PYTHONPATH="")
    assert_refused(cluster_of(fleet), "this worker has no engine of Rehome", "RH-763")


def test_nothing_is_copied_if_the_cluster_is_refused(
    fleet: FleetOfTest, object_store: S3Server, migration: Migration, tmp_path: Path
) -> None:
    fill(migration, 5)
    stranger = Authority(tmp_path / "strangers").member("stranger")
    migration.plan(settings_of(migration, object_store, None))
    settings = settings_of(migration, object_store, fleet, member=stranger)
    with pytest.raises(RefusedError, match="RH-762"):
        migration.copy(settings)
    assert migration.target_keys() == []

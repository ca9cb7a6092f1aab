"""The settings of a cluster, as far as they can be checked without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rehome.config.cluster import Cluster
from rehome.config.read_cluster import read_cluster
from rehome.config.settings import Side
from rehome.errors import Finding

SOURCE, TARGET = Side("source", "legacy-s3", "image/"), Side("target", "production-s3", "avatar/")
FILES = {"ca": "/tls/ca.pem", "cert": "/tls/cert.pem", "key": "/tls/key.pem"}
GIVEN = {"address": "tls://10.0.0.5:8786", **FILES, "workers": 4, "wait_s": 30.0}


def read(given: dict[str, Any] | None, source: Side = SOURCE) -> tuple[Cluster | None, list[str]]:
    findings: list[Finding] = []
    cluster = read_cluster(given, source, TARGET, findings)
    return cluster, [str(finding) for finding in findings]


def test_a_cluster_is_read() -> None:
    files = {name: Path(path) for name, path in FILES.items()}
    assert read(GIVEN) == (Cluster("tls://10.0.0.5:8786", **files, workers=4, wait_s=30.0), [])
    cluster, _ = read(GIVEN | {"address": "tls://[fd00::5]:8786"})
    assert cluster is not None
    assert (cluster.host, cluster.port) == ("fd00::5", 8786)


@pytest.mark.parametrize("given", [None, {}, {"address": None, "workers": None}])
def test_without_a_cluster_this_machine_copies(given: dict[str, Any] | None) -> None:
    assert read(given) == (None, [])


@pytest.mark.parametrize(
    "address",
    ["10.0.0.5:8786", "tcp://10.0.0.5:8786", "tls://10.0.0.5", "tls://:8786", "tls://a:0", "tls://a:x", "tls://a:1/b"],
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    cluster, told = read(GIVEN | {"address": address})
    assert cluster is None
    assert told == [
        f"rehome_cluster.address ({address}): is no address of a scheduler that speaks TLS. Write it as "
        "tls://10.0.0.5:8786, or leave rehome_cluster unset to copy from this machine alone. [RH-102]"
    ]


def test_a_part_alone_is_not_passed_over() -> None:
    _, told = read({"workers": 4})
    assert [text.partition(" ")[0] for text in told] == [f"rehome_cluster.{name}:" for name in ("address", *FILES)]


@pytest.mark.parametrize("name", ["address", *FILES])
def test_each_part_is_needed(name: str) -> None:
    cluster, told = read(GIVEN | {name: None})
    assert cluster is None
    assert [text.partition(" ")[0] for text in told] == [f"rehome_cluster.{name}:"]
    assert told[0].endswith("[RH-101]")


@pytest.mark.parametrize(("name", "value"), [("workers", 0), ("wait_s", 0.0), ("wait_s", float("nan"))])
def test_numbers_that_are_none_are_refused(name: str, value: float) -> None:
    cluster, told = read(GIVEN | {name: value})
    assert cluster is None
    assert [text.partition(" ")[0] for text in told] == [f"rehome_cluster.{name}"]


def test_keys_in_the_settings_are_refused_unless_workers_have_a_profile() -> None:
    keys = {"access_key": "AKIA", "secret_key": "hush"}
    cluster, told = read(GIVEN, Side("source", "legacy-s3", "image/", **keys))
    assert cluster is None
    assert len(told) == 1
    assert told[0].startswith("rehome_source.access_key: is set together with rehome_cluster")
    assert told[0].endswith("[RH-103]")
    assert "hush" not in told[0]
    cluster, told = read(GIVEN, Side("source", "legacy-s3", "image/", **keys, profile="mover"))
    assert cluster is not None
    assert told == []

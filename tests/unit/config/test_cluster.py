"""The settings of a cluster, as far as they can be checked without one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from rehome.config.cluster import Cluster
from rehome.config.read_cluster import read_cluster
from rehome.config.settings import Side
from rehome.errors import Finding

SOURCE, TARGET = Side("source", "legacy-s3", "image/"), Side("target", "production-s3", "avatar/")
FILES = {"ca": "/tls/ca.pem", "cert": "/tls/cert.pem", "key": "/tls/key.pem"}
ALONE = ", or leave rehome_cluster unset to work with this machine alone"
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


@pytest.mark.parametrize("given", [None, {}])
def test_without_a_cluster_this_machine_copies(given: dict[str, Any] | None) -> None:
    assert read(given) == (None, [])


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.5:8786",
        "tcp://10.0.0.5:8786",
        "tls://10.0.0.5",
        "tls://:8786",
        "tls://a:0",
        "tls://a:x",
        "tls://a:1/b",
        "tls://a:1?x=1",
        "tls://a:1#x",
        "tls://a:1/",
        "tls://a b:1",
        "tls://a\tb:1",
        "tls://a,b:1",
        "tls://[::g]:1",
        "tls://[10.0.0.5]:1",
    ],
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    cluster, told = read(GIVEN | {"address": address})
    assert cluster is None
    assert told == [
        f"rehome_cluster.address ({address}): is no address of a scheduler that speaks TLS. Write it as "
        "tls://10.0.0.5:8786, or leave rehome_cluster unset to work with this machine alone. [RH-102]"
    ]


def test_the_password_of_an_address_is_not_shown() -> None:
    cluster, (told,) = read(GIVEN | {"address": "tls://u:hunter2@a:1"})
    assert cluster is None
    assert told.startswith("rehome_cluster.address (tls://…@a:1): is no address")


@pytest.mark.parametrize("name", [*FILES, "record"])
@pytest.mark.parametrize(
    "text", ["-----BEGIN PRIVATE KEY-----\nhunter2\n", "-----BEGIN PRIVATE KEY----- hunter2", "a\nb"]
)
def test_the_text_of_a_file_in_place_of_its_path_is_refused_and_not_shown(name: str, text: str) -> None:
    cluster, told = read(GIVEN | {name: text})
    assert cluster is None
    assert told == [
        f"rehome_cluster.{name}: is the text of a file, where the path of one belongs. Write the text into a file that "
        f"only this user can read, and name that{ALONE}. [RH-102]"
    ]


@pytest.mark.parametrize("name", FILES)
def test_an_empty_text_is_unset(name: str) -> None:
    _, (told,) = read(GIVEN | {name: ""})
    assert re.match(rf"rehome_cluster\.{name}: is not set\. .*RH-101", told)


@pytest.mark.parametrize(
    "name", ["scheduler", "rehome_scheduler", "s.example.org", "bücher.example", "10.0.0.5", "[::1]"]
)
def test_a_name_or_an_address_is_taken(name: str) -> None:
    _, told = read(GIVEN | {"address": f"tls://{name}:8786"})
    assert told == []


@pytest.mark.parametrize(
    "given",
    [
        {"workers": 4},
        {**FILES, "workers": 4},
        {"hosts": "", **FILES},
        {"hosts": None},
        {"address": None, "workers": None},
    ],
)
def test_without_address_and_hosts_it_is_told_what_to_set(given: dict[str, Any]) -> None:
    cluster, told = read(given)
    assert cluster is None
    (text,) = told
    assert text.startswith("rehome_cluster: has neither address nor hosts. Set rehome_cluster.address to that of a")
    assert text.endswith(
        f"rehome_cluster.hosts to the group of the machines on which make cluster-up starts one{ALONE}. [RH-101]"
    )


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_needed(name: str) -> None:
    cluster, told = read(GIVEN | {name: None})
    assert cluster is None
    assert [text.partition(" ")[0] for text in told] == [f"rehome_cluster.{name}:"]
    assert told[0].endswith("[RH-101]")


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """What playbooks/cluster.yml records."""
    file = tmp_path / "cluster.json"
    settings = {"address": "tls://10.0.0.5:8786", **FILES, "workers": 3}
    members = ["mover-1/1", "mover-1/2", "mover-2/1"]
    file.write_text(json.dumps({"rehome_cluster": settings, "cluster_members": members}))
    return file


def of_hosts(file: Path, **more: Any) -> dict[str, Any]:
    machines = ["mover-1", "mover-2"]
    return {"hosts": "movers", "machines": machines, "record": str(file), "env": "prod"} | more


def test_a_cluster_on_the_hosts_of_a_group_is_as_it_was_recorded(record: Path) -> None:
    files = {name: Path(path) for name, path in FILES.items()}
    assert read(of_hosts(record)) == (Cluster("tls://10.0.0.5:8786", **files, workers=3, wait_s=60.0), [])
    cluster, _ = read(of_hosts(record, workers=2, wait_s=5.0))
    assert cluster == Cluster("tls://10.0.0.5:8786", **files, workers=2, wait_s=5.0)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            {"machines": []},
            "the inventory has no such group, or it has no hosts. Name the group whose hosts are to copy"
            f"{ALONE}. [RH-102]",
        ),
        (
            {"address": "tls://10.0.0.5:8786", "ca": "/tls/ca.pem"},
            "is set together with rehome_cluster.address, rehome_cluster.ca: one names the machines of "
            f"playbooks/cluster.yml, the other any cluster. Leave one of both out{ALONE}. [RH-103]",
        ),
    ],
)
def test_a_group_that_no_cluster_can_be_found_by_is_one_message(record: Path, more: dict[str, Any], told: str) -> None:
    cluster, found = read(of_hosts(record, **more))
    assert cluster is None
    assert found == [f"rehome_cluster.hosts (movers): {told}"]


def absent(given: dict[str, Any]) -> str:
    """Why there is no cluster, which is told to a run that copies and to no other."""
    cluster, told = read(given)
    assert told == []
    assert cluster is not None
    return str(cluster.absent)


def test_a_cluster_that_was_not_started_is_told_with_the_command_that_starts_it(record: Path) -> None:
    record.unlink()
    assert absent(of_hosts(record)) == (
        "rehome_cluster.hosts (movers): no cluster was started there from this controller, which would have recorded "
        f"it in {record}. Start one (make cluster-up ENV=prod){ALONE}. [RH-761]"
    )


def test_without_a_record_it_is_told_which_setting_names_it(record: Path) -> None:
    _, (told,) = read(of_hosts(record, record=""))
    assert told == f"rehome_cluster.record: is not set. Set it to the path of a file in JSON{ALONE}. [RH-101]"


def test_the_cluster_of_other_machines_is_not_taken(record: Path) -> None:
    told = absent(of_hosts(record, machines=["mover-1"]))
    assert "has workers on mover-2, which are not in this group" in told
    assert "make cluster-up ENV=prod" in told


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"rehome_cluster": {"address": "tls://a:1"}}'])
def test_a_record_that_is_damaged_is_told(record: Path, text: str) -> None:
    record.write_text(text)
    assert "what was recorded of the cluster cannot be read" in absent(of_hosts(record))


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

"""A cluster from nothing on machines that are reached by ssh, and away again."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from distributed import Client
from distributed.security import Security
from rehome.config.cluster import Cluster
from rehome.fleet.connect import connected, workers_of

from sandbox.dask_fleet import DaskFleet
from sandbox.ports import find_free
from sandbox.seed import manifest
from tests.e2e.conftest import ROOT, Played, Worlds, own_settings, play_to_end, start_program
from tests.e2e.modules import play_forked
from tests.namespaces import Machine, Network, forwarded, network
from tests.sshd import Login, sshd

pytestmark = pytest.mark.e2e

PYTHON = os.path.realpath(sys.executable)
"""The Python of the movers: it has none of the packages of the environment of the tests."""
PROFILE = {"access_key_id": "access_key", "secret_access_key": "secret_key"}
"""How AWS's files of credentials call the keys of the settings."""
FILES = {"ca": "/nowhere/ca.pem", "cert": "/nowhere/cert.pem", "key": "/nowhere/cert.key"}
PEM = "-----BEGIN PRIVATE KEY-----\n"


@dataclass
class Site:
    """Two machines, and a controller with an inventory of them."""

    folder: Path
    port: int
    wheels: Path
    hosts: dict[str, str]

    @property
    def keys(self) -> Path:
        return self.folder / ".rehome" / "cluster-test"

    def machine(self, host: str) -> Path:
        return self.folder / "machines" / host

    def play(
        self, *arguments: str, exported: dict[str, str] | None = None, started: bool = False, **variables: object
    ) -> Played:
        """started: as operators do, and not in forks"""
        given = {"cluster_port": self.port, "cluster_folder": str(self.keys), "cluster_wheels": str(self.wheels)}
        given |= {"cluster_name": "test", "cluster_wait_s": 60, **variables}
        options = [
            "playbooks/cluster.yml",
            "-i",
            str(self.folder / "inventory.yml"),
            "-e",
            json.dumps(given),
            *arguments,
        ]
        # an index that is not there: all comes from the folder of wheels
        environment = {**os.environ, "PIP_INDEX_URL": "https://127.0.0.1:9/", **(exported or {})}
        if not started:
            return play_forked(options, environment)
        return play_to_end(start_program("ansible-playbook", *options, folder=ROOT, environment=environment))

    def members(self, host: str | None = None) -> list[psutil.Process]:
        """Return what runs of the cluster, on one machine or on all."""
        folder = str(self.machine(host) if host else self.folder / "machines")
        found = []
        for process in psutil.process_iter():
            try:
                command = process.cmdline()  # once: of a process that ends it becomes empty
                if command and command[0].startswith(f"{folder}/"):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def leaders(self) -> dict[str, int]:
        """Return what was started, and its pid: `scheduler`, and workers by their names."""
        found = {}
        for process in self.members():
            command = process.cmdline()
            if command[1:3] == ["-m", "dask"]:
                found[command[command.index("--name") + 1] if "--name" in command else command[3]] = process.pid
        return found

    def client(self) -> Client:
        record = json.loads((self.keys / "cluster.json").read_text())["rehome_cluster"]
        security = Security(  # type: ignore[no-untyped-call]
            tls_ca_file=record["ca"],
            tls_client_cert=record["cert"],
            tls_client_key=record["key"],
            require_encryption=True,
        )
        return Client(record["address"], security=security, set_as_default=False)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", "-d", str(folder)]
    lists = ["-r", str(ROOT / "requirements-mover.txt"), "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*command, *lists], check=True, timeout=240)
    return folder


@pytest.fixture(scope="module")
def logins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Login]]:
    """Two machines that are reached by ssh."""
    folder = tmp_path_factory.mktemp("sshd")
    with sshd(folder / "a", "127.0.0.2") as a, sshd(folder / "b", "127.0.0.3") as b:
        yield {"mover-a": a, "mover-b": b}


@pytest.fixture
def site(tmp_path: Path, wheels: Path, logins: dict[str, Login]) -> Iterator[Site]:
    profiles = {"legacy": {"aws_access_key_id": "AK", "aws_secret_access_key": "hunter3"}}
    with _site(tmp_path, wheels, logins, profiles, {"rehome_cluster": {"workers": 3}}) as made:
        yield made


@contextmanager
def _site(
    folder: Path,
    wheels: Path,
    logins: Mapping[str, Login],
    profiles: Mapping[str, Mapping[str, str]],
    settings: Mapping[str, Any],
) -> Iterator[Site]:
    """Write the inventory of these machines. What is left of a cluster on them is killed.

    profiles: the credentials of workers
    settings: of the environment `prod`
    """
    (port,) = find_free(1)
    site = Site(folder, port, wheels, {host: login.ip for host, login in logins.items()})
    movers = {
        host: {
            **login.variables(),
            "cluster_member_python": PYTHON,
            "cluster_member_folder": str(site.machine(host)),
            "cluster_member_profiles": dict(profiles),
        }
        for host, login in logins.items()
    }
    groups: dict[str, Any] = {
        "prod": {
            "hosts": {"rehome-prod": {"ansible_connection": "local"}},
            "vars": {"cluster_hosts": "movers", **settings},
        },
        "movers": {"hosts": movers},
    }
    (folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"children": groups}}))
    (folder / "machines").mkdir()
    try:
        yield site
    finally:
        for process in site.members():
            process.kill()


def test_a_cluster_is_there_after_one_command_and_gone_after_another(site: Site) -> None:
    dry = site.play("--check", env="prod")
    assert dry.code == 0, dry.output
    assert dry.changed > 0
    assert "a dry run: nothing was started" in dry.output
    assert not site.keys.exists()
    assert list((site.folder / "machines").iterdir()) == []
    assert site.members() == []

    up = site.play("--diff", "-v", env="prod", exported={"DB_PASSWD": "hunter2"}, started=True)
    assert up.code == 0, up.output
    assert f"ready: 3 workers at tls://127.0.0.2:{site.port}" in up.output
    assert "the verbs of prod copy with it" in up.output
    assert "hunter" not in up.output
    assert "PRIVATE KEY" not in up.output
    started = site.leaders()
    assert started.keys() == {"scheduler", "mover-a/1", "mover-a/2", "mover-b/1"}
    _assert_only_the_owner_reads(site)
    _assert_nothing_listens_elsewhere(site)
    _assert_the_engine_is_there(site)
    assert b"hunter2" not in b"".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in started.values())

    again = site.play(env="prod")
    assert (again.code, again.changed) == (0, 0), again.output
    assert site.leaders() == started
    # the record of a run names an address, too
    dry = site.play("--check", "-e", f"@{site.keys}/cluster.json", env="prod")
    assert (dry.code, dry.changed) == (0, 0), dry.output

    assert site.play("--check", env="prod", state="absent").changed > 0
    assert site.leaders() == started
    down = site.play(env="prod", state="absent")
    assert down.code == 0, down.output
    assert site.members() == []
    assert list((site.folder / "machines").iterdir()) == []
    assert not site.keys.exists()
    gone = site.play(env="prod", state="absent")
    assert (gone.code, gone.changed) == (0, 0), gone.output


@pytest.mark.parametrize(
    ("variables", "name"), [({}, "rehome"), ({"env": "prod_eu"}, "prod-eu"), ({"cluster_name": "mine"}, "mine")]
)
def test_each_environment_has_a_cluster_of_its_own(variables: dict[str, str], name: str, tmp_path: Path) -> None:
    # one for all would end the machines of one environment when another's cluster is started
    defaults = str(ROOT / "roles" / "cluster" / "defaults" / "main.yml")
    play = {"hosts": "localhost", "gather_facts": False, "vars_files": [defaults], "vars": {"role_path": "a/b/c"}}
    tasks = [{"ansible.builtin.debug": {"msg": "folder={{ cluster_folder }}"}}]
    (tmp_path / "name.yml").write_text(yaml.safe_dump([play | {"tasks": tasks}]))
    command = [str(tmp_path / "name.yml"), "-i", "localhost,", "-c", "local", "-e", json.dumps(variables)]
    environment = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "default"}
    played = play_to_end(start_program("ansible-playbook", *command, folder=ROOT, environment=environment))
    assert f"folder=a/.rehome/cluster-{name}" in played.output


def _assert_only_the_owner_reads(site: Site) -> None:
    secret = [site.keys, *site.keys.rglob("*")]
    secret += [path for host in site.hosts for path in (site.machine(host), *site.machine(host).glob("[ta][lw]s/*"))]
    assert len([path for path in secret if path.suffix == ".key"]) == 4
    assert [path for path in secret if path.stat().st_mode & 0o077] == []


def _assert_nothing_listens_elsewhere(site: Site) -> None:
    """One port each for members, and one of loopback for dask's own HTTP server."""
    for host, ip in site.hosts.items():
        for process in site.members(host):
            listening = {c.laddr.ip for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
            assert listening <= {ip, "127.0.0.1"}


def _assert_the_engine_is_there(site: Site) -> None:
    """As a run asks for it, and in the virtual environment of the machine."""
    names = ("rehome.s3.copier.run", "rehome.services.clients", "botocore")
    imports = f"[__import__('importlib').import_module(name).__name__ for name in {names}]"
    profiles = "__import__('botocore.session').session.Session().available_profiles"
    with site.client() as client:
        answers = client.run(eval, f"({imports}, __import__('sys').prefix, {profiles})")
        assert len(answers) == 3
        for imported, prefix, found in answers.values():
            assert imported == list(names)
            assert prefix.startswith(f"{site.folder}/machines/")
            assert found == ["legacy"]
    asyncio.run(_connect(site))


async def _connect(site: Site) -> None:
    """Connect as a run does, which refuses workers with another engine."""
    record = json.loads((site.keys / "cluster.json").read_text())["rehome_cluster"]
    files = {name: Path(record[name]) for name in ("ca", "cert", "key")}
    cluster = Cluster(address=record["address"], **files, workers=record["workers"], wait_s=20)
    async with connected(cluster) as client:
        assert len(await workers_of(client)) == 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"workers": 0},
            "workers (0): is no whole number from 1 to 5000. Correct it, or leave it out for the default; st",
        ),
        (
            {"workers": "four", "cluster_port": 65_536, "cluster_wait_s": "1m"},
            "workers (four): is no whole number from 1 to 5000. cluster_port (65536): is no whole number from 1 to "
            "65535. cluster_wait_s (1m): is no number of seconds above 0 and below a day. Correct it, or leave it out",
        ),
        (
            {"cluster_member_profiles": {"legacy": "hunter2"}},
            "cluster_member_profiles of this-machine: is no mapping of profiles. Write it as {legacy: {aws_access_key",
        ),
        (
            {"cluster_folder": "/proc/version/keys"},
            "cluster_folder (/proc/version/keys): cannot be written (Not a directory: /proc/version). Give it to this",
        ),
        ({"state": "presnt"}, "state (presnt): is none of present, stopped, absent. [RH-102]"),
        ({"cluster_kind": "nomad"}, "cluster_kind (nomad): is none of ssh, ecs, kubernetes, address. [RH-102]"),
        ({"cluster_name": "my movers"}, "cluster_name (my movers): can have letters, digits and hyphens only"),
        ({"sate": "absent"}, "sate: is no variable of Rehome and would be ignored; did you mean state?"),
        (
            {"cluster_prot": 1},
            "cluster_prot: is no variable of Rehome and would be ignored; did you mean cluster_port?",
        ),
        ({"env": "nowhere"}, "env (nowhere): names no environment"),
        ({"cluster_hosts": "movres"}, "cluster_hosts (movres): the inventory has no such group, or it has no hosts"),
        (
            {"env": "sandbox", "rehome_cluster": {"address": "tls://hunter2@a:1"}},
            "rehome_cluster.address (tls://…@a:1): is the address of a cluster that is there, and state=present would "
            "start another one on this machine. Set cluster_kind: address to see whether its workers are there; or "
            "leave the address out to start one. [RH-103]",
        ),
        # also without an environment, which is all that most have of a cluster of somebody else's
        ({"rehome_cluster": {"address": "tls://a:1"}}, "rehome_cluster.address (tls://a:1): is the address of"),
        (
            {"cluster_kind": "address", "rehome_cluster": {"address": "tls://a:99999"}},
            "rehome_cluster.address (tls://a:99999): is no address of a scheduler, such as tls://10.0.0.5:8786.",
        ),
        (
            {"cluster_kind": "address", "rehome_cluster": {**FILES, "address": "tls://a:1", "key": f"{PEM}hunter2"}},
            "rehome_cluster.key: is the text of a file, where the path of one belongs. Write the text into a file",
        ),
        (
            {"cluster_kind": "address", "rehome_cluster": {**FILES, "address": "tls://127.0.0.1:1"}},
            "rehome_cluster.ca (/nowhere/ca.pem): cannot be read (No such file or directory). Name a file in PEM form",
        ),
        ({"env": "sandbox", "rehome_cluster": f"{PEM}hunter2"}, "rehome_cluster (a text): is no mapping. Say where"),
        ({"env": "sandbox", "rehome_cluster": ["hunter2"]}, "rehome_cluster (a list): is no mapping. Say where"),
        ({"env": "sandbox", "rehome_cluster": {"hosts": ["movers"]}}, "rehome_cluster.hosts (a list): names one"),
        ({"env": "sandbox", "rehome_cluster": {"hosts": {"hunter2": 1}}}, "rehome_cluster.hosts (a mapping): names"),
        ({"env": "sandbox", "rehome_cluster": None, "workers": 0}, "workers (0): is no whole number"),
        ({"env": "sandbox", "rehome_cluster": ""}, "rehome_cluster (a text): is no mapping"),
    ],
)
def test_what_nothing_can_be_done_with_is_refused_in_one_message_before_anything_is_written(
    given: dict[str, Any], told: str, tmp_path: Path
) -> None:
    variables = {"cluster_folder": str(tmp_path / "keys"), "cluster_member_folder": str(tmp_path / "machine"), **given}
    options = ["playbooks/cluster.yml", "-e", json.dumps(variables)]
    played = play_forked(options, os.environ)
    assert played.code != 0
    assert told in played.message
    assert "hunter2" not in played.output
    assert played.errors == 1
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_the_tasks_is_refused_as_it_would_look_like_a_success(tmp_path: Path) -> None:
    folder = json.dumps({"cluster_folder": str(tmp_path / "keys")})
    played = play_forked(["playbooks/cluster.yml", "-e", folder, "--tags", "start"], os.environ)
    assert played.code != 0
    assert "--tags (start), --skip-tags (): they would leave out what starts or ends a cluster" in played.message
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_is_damaged_is_told_as_it_names_the_machines(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text('{"rehome_cluster": ')
    folder = json.dumps({"cluster_folder": str(tmp_path)})
    played = play_forked(["playbooks/cluster.yml", "-e", folder, "-e", "state=absent"], os.environ)
    assert played.code != 0
    assert f"cluster_folder ({tmp_path}): its cluster.json, which names the machines" in played.message
    assert played.errors == 1


def test_a_cluster_of_somebody_else_is_looked_at_with_the_faults_that_a_verb_would_name(tmp_path: Path) -> None:
    fleet = DaskFleet(tmp_path / "fleet", {})
    try:
        fleet.start_scheduler()
        fleet.start_worker()
        # a fault that waiting does not mend is told at once
        keys = {name: value for name, value in fleet.settings().items() if name in ("address", "ca", "cert", "key")}
        whole = {"cluster_kind": "address", "rehome_cluster": {**keys, "wait_s": 86_000}}
        swapped = {**whole, "rehome_cluster": {**whole["rehome_cluster"], "cert": keys["key"]}}
        played = play_forked(["playbooks/cluster.yml", "-e", json.dumps(swapped)], os.environ)
        assert played.code != 0
        assert "rehome_cluster.cert (" in played.message
        assert "are rehome_cluster.cert and .key swapped?" in played.message
        assert "RH-762" in played.message

        played = play_forked(["playbooks/cluster.yml", "-e", json.dumps(whole)], os.environ)
        assert (played.code, played.changed) == (0, 0), played.output

        short = {**whole, "workers": 2, "rehome_cluster": {**keys, "wait_s": 0.5}}
        played = play_forked(["playbooks/cluster.yml", "-e", json.dumps(short)], os.environ)
        assert played.code != 0
        assert "after 0.5 s (1 of 2 workers). Whoever runs this cluster has to start it. [RH-921]" in played.message
    finally:
        fleet.stop()


UNUSABLE = {
    "not reached": (
        {"ansible_port": 1},
        r"mover-b: is not reached by ssh: ssh: connect to host 127.0.0.3 port 1: Connection refused. "
        r"`ansible mover-b -m ansible.builtin.raw -a true` tries it alone; .*",
        "RH-923",
    ),
    "without Python": (
        {"cluster_member_python": "/nowhere/python3"},
        r"cluster_member_python \(/nowhere/python3\): cannot be used on mover-b: .*: No such file or directory.*"
        r"Install Python there, or name the one that it has\.",
        "RH-911",
    ),
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_a_machine_that_cannot_be_used_is_named_and_nothing_is_started(site: Site, fault: str) -> None:
    changes, told, code = UNUSABLE[fault]
    _change_machine(site, "mover-b", **changes)
    played = site.play(env="prod")
    assert played.code != 0
    assert re.match(rf"error: {told} Nothing was started\. \[{code}\]", played.message), played.message
    assert (played.errors, played.output.count("Connection refused")) == (1, int(fault == "not reached"))
    assert site.members() == []
    assert list((site.folder / "machines").iterdir()) == []
    assert not site.keys.exists()


@pytest.mark.parametrize("fault", UNUSABLE)
def test_the_machines_beside_one_that_cannot_be_used_are_cleaned_and_it_is_not_forgotten(
    site: Site, fault: str
) -> None:
    changes, told, code = UNUSABLE[fault]
    # as a start that was killed leaves it
    for host in site.hosts:
        (site.machine(host) / "tls").mkdir(parents=True)
    site.keys.mkdir(parents=True)
    (site.keys / "machines.json").write_text(json.dumps(list(site.hosts)))
    before = (site.folder / "inventory.yml").read_text()
    _change_machine(site, "mover-b", **changes)
    played = site.play(env="prod", state="absent")
    assert played.code != 0
    kept = rf"The other machines are cleaned; {site.keys} is kept, so that the same command ends the rest\."
    assert re.match(rf"error: {told} {kept} \[{code}\]", played.message), played.message
    assert played.errors == 1
    assert list((site.folder / "machines").iterdir()) == [site.machine("mover-b")]
    assert site.keys.exists()

    (site.folder / "inventory.yml").write_text(before)
    played = site.play(env="prod", state="absent")
    assert played.code == 0, played.output
    assert list((site.folder / "machines").iterdir()) == []
    assert not site.keys.exists()


def _change_machine(site: Site, host: str, **variables: object) -> None:
    inventory = yaml.safe_load((site.folder / "inventory.yml").read_text())
    inventory["all"]["children"]["movers"]["hosts"][host] |= variables
    (site.folder / "inventory.yml").write_text(yaml.safe_dump(inventory))


def test_a_worker_that_never_comes_is_named_and_what_was_started_stays_and_is_not_forgotten(site: Site) -> None:
    ended = threading.Event()

    def end_workers_of_b() -> None:
        while not ended.wait(0.05):
            for process in site.members("mover-b"):
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    killer = threading.Thread(target=end_workers_of_b)
    killer.start()
    try:
        played = site.play(env="prod", workers=2, cluster_wait_s=10)
    finally:
        ended.set()
        killer.join()
    assert played.code != 0
    assert "cluster_wait_s (10): after so many seconds" in played.message
    assert "Missing: mover-b/1." in played.message
    assert "RH-921" in played.message
    assert site.leaders().keys() == {"scheduler", "mover-a/1"}
    # also of a machine that leaves the group before a start has succeeded
    assert site.machine("mover-b").exists()
    _move_out(site, "mover-b")
    down = site.play(env="prod", state="absent")
    assert down.code == 0, down.output
    assert site.members() == []
    assert list((site.folder / "machines").iterdir()) == []
    assert not (site.folder / ".rehome").exists()


def _move_out(site: Site, host: str) -> None:
    """Take a machine out of the group, and leave it in the inventory."""
    inventory = yaml.safe_load((site.folder / "inventory.yml").read_text())
    movers = inventory["all"]["children"]["movers"]["hosts"]
    inventory["all"]["children"]["others"] = {"hosts": {host: movers.pop(host)}}
    (site.folder / "inventory.yml").write_text(yaml.safe_dump(inventory))


def test_a_cluster_is_mended_and_follows_what_is_asked_for(site: Site) -> None:
    assert site.play(env="prod", workers=2).code == 0
    before = site.leaders()
    assert before.keys() == {"scheduler", "mover-a/1", "mover-b/1"}

    os.kill(before["mover-b/1"], signal.SIGKILL)
    assert site.play("--check", env="prod", workers=2).changed == 1
    mended = site.play(env="prod", workers=2)
    assert mended.code == 0, mended.output
    after = site.leaders()
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {"mover-b/1"}

    os.kill(after["scheduler"], signal.SIGKILL)
    assert site.play(env="prod", workers=3).code == 0
    assert site.leaders().keys() == {"scheduler", "mover-a/1", "mover-a/2", "mover-b/1"}
    assert site.play(env="prod", workers=1).code == 0
    assert site.leaders().keys() == {"scheduler", "mover-a/1"}
    with site.client() as client:
        assert len(client.scheduler_info()["workers"]) == 1

    # a machine that has left the group keeps nothing
    _move_out(site, "mover-a")
    assert site.play(env="prod", workers=1).code == 0
    assert site.leaders().keys() == {"scheduler", "mover-b/1"}
    assert not site.machine("mover-a").exists()
    assert site.play(env="prod", state="absent").code == 0
    assert site.members() == []


@contextmanager
def _machines(folder: Path, count: int) -> Iterator[tuple[Network, dict[str, Machine], dict[str, Login]]]:
    """Join machines that are reached by ssh over a network of their own."""
    with ExitStack() as stack:
        joined = stack.enter_context(network(count))
        machines = {f"mover-{letter}": machine for letter, machine in zip("abc", joined.machines, strict=False)}
        logins = {name: stack.enter_context(sshd(folder / name, one.ip, one)) for name, one in machines.items()}
        yield joined, machines, logins


def test_a_migration_goes_over_machines_with_a_network_between_them(
    tmp_path: Path, wheels: Path, worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a loopback of its own, so that the others reach nothing but what listens on its address."""
    world = worlds.of("sqlite")
    world.seed(120)
    settings = own_settings(world)
    port = world.sandbox.store.state.ports["s3"]
    keys = world.record["s3"]["users"]["migrate"]
    profile = {f"aws_{name}": keys[of] for name, of in PROFILE.items()}
    credentials = tmp_path / "credentials"
    credentials.write_text("\n".join(["[mover]", *(f"{name} = {value}" for name, value in profile.items())]))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    with _machines(tmp_path / "sshd", 2) as (joined, machines, logins), forwarded(joined.ip, port):
        for side in ("rehome_source", "rehome_target"):
            kept = {name: value for name, value in settings[side].items() if name not in keys}
            settings[side] = {**kept, "profile": "mover", "endpoint_url": f"http://{joined.ip}:{port}"}
        settings["rehome_state_dir"] = str(world.state)
        with _site(tmp_path, wheels, logins, {"mover": profile}, settings) as site:
            before = {name: machine.listening() for name, machine in machines.items()}
            assert before == {name: {(login.ip, login.port)} for name, login in logins.items()}
            up = site.play(env="prod", workers=2)
            assert up.code == 0, up.output
            assert site.leaders().keys() == {"scheduler", "mover-a/1", "mover-b/1"}
            _assert_only_members_can_be_reached(site, machines, before)
            options = ["-i", str(site.folder / "inventory.yml"), "-e", "env=prod", "-e", f"@{site.keys}/cluster.json"]
            migrated = play_to_end(
                start_program("ansible-playbook", "migrate.yml", *options, folder=ROOT, environment=dict(os.environ))
            )
            assert migrated.code == 0, migrated.output
            assert world.rows() == list(manifest.rows(120, with_oddities=False, after_migration=True))
            assert (world.summary["complete"], world.summary["objects_copied"]) == (True, 120)
            assert sum(world.summary["movers"].values()) == 120
            down = site.play(env="prod", state="absent")
            assert down.code == 0, down.output
            assert site.members() == []
            assert list((site.folder / "machines").iterdir()) == []
            assert {name: machine.listening() for name, machine in machines.items()} == before


def _assert_only_members_can_be_reached(
    site: Site, machines: Mapping[str, Machine], before: Mapping[str, set[tuple[str, int]]]
) -> None:
    """A worker and its nanny have a port each for members, and the scheduler its own; dask's HTTP is on loopback."""
    for name, machine in machines.items():
        new = machine.listening() - before[name]
        scheduler = {(machine.ip, site.port)} if name == "mover-a" else set()
        assert scheduler <= new
        assert {ip for ip, _ in new} == {machine.ip, "127.0.0.1"}
        assert len([ip for ip, _ in new - scheduler if ip == machine.ip]) == 2

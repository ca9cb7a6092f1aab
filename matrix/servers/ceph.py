"""Ceph's S3 gateway as a private server: a monitor, a daemon that stores objects in memory, and a RADOS gateway.

The users belong to one account, whose root user is the administrator: that is how Ceph has IAM.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import join
from typing import Any, ClassVar

from sandbox.errors import SandboxError, last_lines
from sandbox.files import write_private
from sandbox.s3_server import S3Server
from sandbox.server import Login

from ..packages import Tree, unpack

PACKAGES = ("ceph-common", "ceph-mon", "ceph-osd", "radosgw")
ADMIN = "admin"
DAEMON = "client.admin"
"""The name under which the gateway and the tools come to the cluster."""
ACCOUNT = "RGW00000000000000001"

ACTIONS: Mapping[str, Sequence[str]] = {
    "Read": (
        "GetObject",
        "GetObjectVersion",
        "GetObjectTagging",
        "GetObjectVersionTagging",
        "GetObjectRetention",
        "GetObjectLegalHold",
        "GetBucketLocation",
        "GetBucketVersioning",
        "GetLifecycleConfiguration",
    ),
    "List": ("ListBucket", "ListBucketVersions", "ListBucketMultipartUploads"),
    "Write": (
        "PutObject",
        "DeleteObject",
        "DeleteObjectVersion",
        "AbortMultipartUpload",
        "ListMultipartUploadParts",
    ),
    "Tagging": ("GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging"),
    "GetBucketObjectLockConfiguration": ("GetBucketObjectLockConfiguration",),
}
"""What SeaweedFS's words for rights mean, in S3's words."""

CONFIGURATION = """\
[global]
fsid = {cluster}
mon host = [v2:127.0.0.1:{mon}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
run dir = {folder}/run
crash dir = {folder}/run
log file = {folder}/$name.log
admin socket =
pid file =
plugin dir = {libraries}/ceph
erasure code dir = {libraries}/ceph/erasure-code
osd class dir = {libraries}/rados-classes
# one copy of everything, in memory
osd objectstore = memstore
memstore device bytes = 6442450944
# a memstore is written to its folder only by an orderly end, for which the monitor need not be waited
osd fast shutdown = false
osd mon shutdown timeout = 0.5
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 0
mon cluster log to file = false
# changes of the cluster take effect at once: the gateway makes a dozen pools when it starts
paxos propose interval = 0.05
rgw frontends = beast endpoint=127.0.0.1:{s3}
rgw enable ops log = false
rgw dynamic resharding = false
"""

START = """\
#!/bin/sh
# SIGTERM comes to the daemons, too. What is stored is written when the one that has it ends; the others would wait for
# each other.
trap : TERM
{mon} -i a -f &
others=$!
if [ ! -e osd/fsid ]; then
    {ceph} --connect-timeout 30 osd new {osd} && {storing} -i 0 --mkfs --osd-uuid {osd} || {{
        kill -9 $others
        exit 1
    }}
fi
{gateway} -n {daemon} -f &
others="$others $!"
{storing} -i 0 -f &
wait $!
wait $!
kill -9 $others
"""


def unpacked() -> Tree:
    """Return the programs. Raises SandboxError if their packages cannot be had."""
    return unpack("ceph", "sid", PACKAGES)


class Ceph(S3Server):
    """A cluster of one of each daemon. The rights of its users are those of `SeaweedFS`, by policies of their own."""

    name = "ceph"
    port_names = ("s3", "mon")
    lacks: ClassVar[Mapping[str, str]] = {"managed policies": "its accounts have inline policies alone"}

    @classmethod
    def full_version(cls) -> str:
        """The version, as Debian names it."""
        return unpacked().version("radosgw")

    def new_logins(self) -> dict[str, Login]:
        """Return generated keys for each user."""
        return {user: Login(secrets.token_hex(10).upper(), secrets.token_urlsafe(30)) for user in self.actions}

    def prepare(self) -> None:
        """Write the configuration and the keys of the daemons, and make the monitor's store."""
        folder, tree = self.folder, unpacked()
        for name in ("mon", "osd", "rgw", "run"):
            (folder / name).mkdir()
        cluster = str(uuid.uuid4())
        ports = self.state.ports
        text = CONFIGURATION.format(
            cluster=cluster, folder=folder, libraries=self._libraries(tree), mon=ports["mon"], s3=ports["s3"]
        )
        write_private(folder / "ceph.conf", text)
        everything = {"mon": "allow *", "osd": "allow *", "mgr": "allow *"}
        keys = {
            "mon.": {"mon": "allow *"},
            DAEMON: everything,
            "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
        }
        for number, (name, rights) in enumerate(keys.items()):
            caps = [word for service, right in rights.items() for word in ("--cap", service, right)]
            create = [] if number else ["--create-keyring"]
            self.run_tool(self._program("ceph-authtool", *create, "keyring", "--gen-key", "-n", name, *caps), folder)
        monitor = f"[v2:127.0.0.1:{ports['mon']}]"
        self.run_tool(
            self._program("monmaptool", "--create", "--fsid", cluster, "--addv", "a", monitor, "monmap"), folder
        )
        self.run_tool(
            self._program("ceph-mon", "-i", "a", "--mkfs", "--keyring", "keyring", "--monmap", "monmap"), folder
        )
        python = [*tree.command("python3"), str(tree.path("usr/bin/ceph")), "-c", "ceph.conf"]
        script = START.format(
            mon=join(self._program("ceph-mon")),
            storing=join(self._program("ceph-osd")),
            gateway=join(self._program("radosgw")),
            ceph=join(python),
            osd=uuid.uuid4(),
            daemon=DAEMON,
        )
        write_private(folder / "start.sh", script)

    def environment(self) -> dict[str, str]:
        """Return the server's environment; `ceph` is a program in the tree's Python."""
        tree = unpacked()
        return {
            **super().environment(),
            "PYTHONHOME": str(tree.path("usr")),
            "PYTHONPATH": str(tree.path("usr/lib/python3/dist-packages")),
        }

    def command(self) -> Sequence[str]:
        """Return the script that starts the daemons."""
        return ["/bin/sh", "start.sh"]

    def check_health(self) -> None:
        """See that the gateway answers, which it does once the others do. It has no users yet."""
        client = self.client(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 1})
        try:
            client.list_buckets()
        except client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "InvalidAccessKeyId":
                raise

    def populate(self) -> None:
        """Create the account, its users, their policies, and the buckets."""
        self._administer("account", "create", "--account-id", ACCOUNT, "--account-name", "rehome")
        for user, keys in self.users.items():
            root = ["--account-root"] if user == ADMIN else []
            secret = ["--access-key", keys.access_key, "--secret-key", keys.secret_key]
            self._administer(
                "user", "create", "--uid", user, "--display-name", user, "--account-id", ACCOUNT, *root, *secret
            )
        iam = self.iam()
        for user, actions in self.actions.items():
            if user != ADMIN:
                iam.put_user_policy(UserName=user, PolicyName="rights", PolicyDocument=json.dumps(policy_of(actions)))
        super().populate()

    def _administer(self, *words: str) -> None:
        # not by `run_tool`, which would record it in place of the server
        command = self._program("radosgw-admin", "-n", DAEMON, *words)
        with self.log.open("ab") as log:
            status = subprocess.run(  # noqa: S603 - the tree's own program
                command, cwd=self.folder, env=self.environment(), stdout=log, stderr=log, timeout=60, check=False
            ).returncode
        if status != 0:
            raise SandboxError(f"radosgw-admin failed; the end of {self.log}:\n{last_lines(self.log)}")

    def _program(self, name: str, *words: str) -> list[str]:
        return [*unpacked().command(name), "-c", "ceph.conf", *words]

    @staticmethod
    def _libraries(tree: Tree) -> Path:
        (found,) = tree.root.glob("usr/lib/*-linux-gnu/rados-classes")
        return found.parent


def policy_of(actions: Sequence[str]) -> dict[str, Any]:
    """Return the policy that grants rights in SeaweedFS's words, each with the name of a bucket, such as `Read:b*`."""
    statements = []
    for action in actions:
        word, _, bucket = action.partition(":")
        statements.append(
            {
                "Effect": "Allow",
                "Action": [f"s3:{one}" for one in ACTIONS[word]],
                "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}

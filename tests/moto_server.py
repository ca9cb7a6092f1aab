"""moto's S3 as a private server. It accepts nearly every key and ignores conditions on copies, as some services do."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox.seaweedfs import REGION, S3User, s3_client
from sandbox.server import Login, Server


class Moto(Server):
    """moto in a process group of its own. It keeps everything in memory."""

    name = "moto"
    port_names = ("s3",)
    region = REGION

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.state.ports['s3']}"

    @property
    def users(self) -> dict[str, S3User]:
        return {user: S3User(login.name, login.secret) for user, login in self.state.logins.items()}

    def client(self, user: str = "admin", **settings: Any) -> Any:
        """Return a botocore client that ignores the AWS configuration of the user who runs the tests."""
        keys = self.users[user]
        return s3_client(self.endpoint_url, keys.access_key, keys.secret_key, **settings)

    def new_logins(self) -> dict[str, Login]:
        # moto checks no signature, so every user may do everything.
        return {user: Login(user.upper(), "anything") for user in ("admin", "migrate")}

    def prepare(self) -> None:
        """Do nothing: moto needs no files."""

    def command(self) -> Sequence[str]:
        # The wheel installs it beside the interpreter, which need not be on PATH.
        server = Path(sys.executable).parent / "moto_server"
        return [str(server), "-H", "127.0.0.1", "-p", str(self.state.ports["s3"])]

    def check_health(self) -> None:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self.endpoint_url}/moto-api/data.json", timeout=5):
            pass

    def populate(self) -> None:
        """Do nothing: each test creates its buckets."""

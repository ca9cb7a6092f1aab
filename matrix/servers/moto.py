"""moto's S3 as a private server. It accepts nearly every key and ignores conditions on copies, as some services do."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Sequence
from importlib.metadata import version as version_of
from pathlib import Path

from sandbox.s3_server import S3Server
from sandbox.server import Login


class Moto(S3Server):
    """moto in a process group of its own. It keeps everything in memory."""

    name = "moto"
    port_names = ("s3",)

    @classmethod
    def full_version(cls) -> str:
        """The version of the wheel."""
        return version_of("moto")

    def new_logins(self) -> dict[str, Login]:
        """Return keys for each user."""
        # moto checks no signature, so every user may do everything.
        return {user: Login(user.upper(), "anything") for user in self.actions}

    def prepare(self) -> None:
        """Do nothing: moto needs no files."""

    def command(self) -> Sequence[str]:
        """Return moto's server."""
        # The wheel installs it beside the interpreter, which need not be on PATH.
        server = Path(sys.executable).parent / "moto_server"
        return [str(server), "-H", "127.0.0.1", "-p", str(self.state.ports["s3"])]

    def check_health(self) -> None:
        """Ask for what moto has stored."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self.endpoint_url}/moto-api/data.json", timeout=5):
            pass

"""moto's S3 as a private server. It accepts nearly every key and ignores conditions on copies, as some services do."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Mapping, Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from typing import ClassVar

from sandbox.s3_server import S3Server
from sandbox.server import Login


class Moto(S3Server):
    """moto in a process group of its own. It keeps everything in memory."""

    name = "moto"
    port_names = ("s3",)
    lacks: ClassVar[Mapping[str, str]] = {
        "rights": "it checks no signature, so that every user may do everything",
        "refused keys": "it takes every key that the source of this test, which is moto, can have",
        "line breaks": "it refuses keys with a line break",
        "times of uploads": "it says of every upload that it began in 2010, so that a lost one is not found",
        "lists of parts": "its list of an upload's parts goes by another name, so that none is resumed",
        "parts of objects": "it compares a condition on a part with the part's own ETag, so that parts are not kept",
    }

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

    def remove_bucket(self, bucket: str) -> None:
        """Delete a bucket with all that is in it; its list of versions breaks on keys with control characters."""
        client = self.client()
        while found := client.list_objects_v2(Bucket=bucket).get("Contents", []):
            for one in found:
                client.delete_object(Bucket=bucket, Key=one["Key"])
        super().remove_bucket(bucket)

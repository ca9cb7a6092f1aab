"""A private S3 server of any kind: its users, and a client for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.loaders import create_loader

from .server import Server

REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class S3User:
    """An identity's keys."""

    access_key: str
    secret_key: str = field(repr=False)


class S3Server(Server):
    """A server with S3's API on the port `s3`."""

    region = REGION

    @property
    def endpoint_url(self) -> str:
        """The URL of the S3 gateway."""
        return f"http://127.0.0.1:{self.state.ports['s3']}"

    @property
    def users(self) -> dict[str, S3User]:
        """The keys of each identity."""
        return {user: S3User(login.name, login.secret) for user, login in self.state.logins.items()}

    def client(self, user: str = "admin", **settings: Any) -> Any:
        """Return a botocore client of this user, independent of the caller's AWS configuration."""
        keys = self.users[user]
        return s3_client(self.endpoint_url, keys.access_key, keys.secret_key, **settings)


_MODELS = create_loader()
"""Reads botocore's service models once and not for each client: that took most of the tests' time."""


def s3_client(endpoint_url: str, access_key: str, secret_key: str, **settings: Any) -> Any:
    """Return a botocore client that reads no AWS files, profiles or proxies from the environment."""
    session = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, "/dev/null", None),
            "credentials_file": (None, None, "/dev/null", None),
        }
    )
    session.register_component("data_loader", _MODELS)
    return session.create_client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(proxies={}, s3={"addressing_style": "path"}, **settings),
    )

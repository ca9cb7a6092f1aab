"""A private S3 server of any kind: its users, and a client for each.

Identities: `admin` may do everything, `migrate` what a migration needs, `retire` what deleting legacy objects and
copies needs, `reader` what a dry run needs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import botocore.session
from botocore.config import Config
from botocore.loaders import create_loader

from .server import Server

REGION = "us-east-1"
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


@dataclass(frozen=True, slots=True)
class S3User:
    """An identity's keys."""

    access_key: str
    secret_key: str = field(repr=False)


class S3Server(Server):
    """A server with S3's API on the port `s3`, and the sandbox's two buckets.

    actions: what each user may do
    """

    region = REGION
    lacks: ClassVar[Mapping[str, str]] = {}
    """Why tests that are marked as in need of a feature cannot run on this server, by feature."""

    def __init__(self, folder: Path, actions: Mapping[str, Sequence[str]] = ACTIONS) -> None:
        super().__init__(folder)
        self.actions = actions

    @classmethod
    @abstractmethod
    def full_version(cls) -> str:
        """Return the server's version, as whoever packaged it names it."""

    def populate(self) -> None:
        """Create the two buckets."""
        client = self.client()
        for bucket in (SOURCE_BUCKET, TARGET_BUCKET):
            client.create_bucket(Bucket=bucket)

    def remove_bucket(self, bucket: str) -> None:
        """Delete a bucket with all that is in it: versions, delete markers and unfinished uploads."""
        client = self.client()
        # the first page again and again: what is deleted confuses some servers' later pages
        while found := _versions(client.list_object_versions(Bucket=bucket)):
            objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
            for one in objects:
                if not one["Key"].isprintable():  # which a document cannot hold
                    client.delete_object(Bucket=bucket, **one)
            printable = [one for one in objects if one["Key"].isprintable()]
            if printable:
                client.delete_objects(Bucket=bucket, Delete={"Objects": printable, "Quiet": True})
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
            for one in page.get("Uploads", []):
                client.abort_multipart_upload(Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"])
        client.delete_bucket(Bucket=bucket)

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

    def iam(self) -> Any:
        """Return a botocore client for IAM, of the administrator."""
        keys = self.users["admin"]
        return iam_client(self.endpoint_url, keys.access_key, keys.secret_key)


def _versions(page: Any) -> list[Any]:
    return [*page.get("Versions", []), *page.get("DeleteMarkers", [])]


_MODELS = create_loader()
"""Reads botocore's service models once and not for each client: that took most of the tests' time."""


def s3_client(endpoint_url: str, access_key: str, secret_key: str, **settings: Any) -> Any:
    """Return a botocore client that reads no AWS files, profiles or proxies from the environment."""
    return _client("s3", endpoint_url, access_key, secret_key, s3={"addressing_style": "path"}, **settings)


def iam_client(endpoint_url: str, access_key: str, secret_key: str) -> Any:
    """Return such a client for the IAM API, which these servers have at the same URL."""
    return _client("iam", endpoint_url, access_key, secret_key)


def _client(service: str, endpoint_url: str, access_key: str, secret_key: str, **settings: Any) -> Any:
    session = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, "/dev/null", None),
            "credentials_file": (None, None, "/dev/null", None),
        }
    )
    session.register_component("data_loader", _MODELS)
    return session.create_client(
        service,
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(proxies={}, **settings),
    )

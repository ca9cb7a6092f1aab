"""Store, list and read the objects under `rehome_state_uri`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from ..codes import Code
from ..config.settings import Settings
from ..errors import RehomeError
from ..files import replacing
from ..s3.endpoint.botocore import botocore_client


class StateBucket:
    """The objects under the URI, by their names after it, with the endpoint and credentials of `rehome_target`.

    All methods raise RehomeError if the service refuses.
    """

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.state_uri or "")
        self._uri = settings.state_uri
        self._bucket, self._prefix = parts.netloc, parts.path.lstrip("/")
        side = replace(settings.target, bucket=self._bucket, requester_pays=False, expected_bucket_owner=None)
        self._client = botocore_client(side)

    def names(self) -> dict[str, str]:
        """Return name → ETag: the MD5 of what `put` stored, unless KMS encrypts it (then it is stored again)."""
        return {item["Key"][len(self._prefix) :]: item["ETag"].strip('"') for item in self._listed()}

    def get(self, name: str, path: Path) -> None:
        """Download an object into a file, which is written whole or not at all."""
        body = self._call("get_object", Key=self._prefix + name)["Body"]
        with replacing(path) as temporary, temporary.open("wb") as file:
            for block in body.iter_chunks(1024**2):
                file.write(block)

    def put(self, name: str, path: Path) -> None:
        """Upload a file."""
        with path.open("rb") as file:
            self._call("put_object", Key=self._prefix + name, Body=file)

    def _listed(self) -> Iterator[dict[str, Any]]:
        more: dict[str, str] = {}
        while True:
            reply = self._call("list_objects_v2", Prefix=self._prefix, **more)
            yield from reply.get("Contents", [])
            if not reply["IsTruncated"]:
                return
            more = {"ContinuationToken": reply["NextContinuationToken"]}

    def _call(self, method: str, **params: object) -> dict[str, Any]:
        try:
            reply: dict[str, Any] = getattr(self._client, method)(Bucket=self._bucket, **params)
        except (ClientError, BotoCoreError) as error:
            raise RehomeError(
                f"rehome_state_uri ({self._uri}): the state cannot be kept there: {error}. Let the credentials of "
                "rehome_target list, read and write it, or leave it unset and keep rehome_state_dir",
                code=Code.STATE_URI,
            ) from error
        return reply

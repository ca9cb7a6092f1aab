"""The state folder's copy in a bucket, so that runners which are thrown away after a job lose nothing.

What later runs need lies under the URI as it does in the folder. What tells of one run lies under `runs/<its start>/`
there, so that nothing has ever to be deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from .errors import RehomeError
from .report import Summary
from .s3.endpoint import botocore_client
from .settings import Settings

LASTING = (
    "outcomes/*.parquet",
    "plans/*/*",
    "removed/*",
    "retired/*",
    "capabilities.json",
    "uploads.sqlite",
    "completion.json",
    "redirect.json",
)
OF_A_RUN = ("summary.json", "preflight.json", "lists/*.jsonl")
RUNS = "runs"


def fetch_state(settings: Settings) -> None:
    """Bring what earlier runs have left under `rehome_state_uri` into the state folder, where it is missing.

    Raises RehomeError where it cannot be read.
    """
    if settings.state_uri is None:
        return
    store = _Store(settings)
    for name in store.names():
        path = settings.state_dir / name
        if _is_lasting(name) and not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            store.get(name, path)


def save_state(settings: Settings) -> None:
    """Put what is new or has changed in the state folder under `rehome_state_uri`.

    Raises RehomeError where it cannot be written.
    """
    if settings.state_uri is None:
        return
    store = _Store(settings)
    there = store.names()
    for pattern in LASTING:
        for path in sorted(settings.state_dir.glob(pattern)):
            name = path.relative_to(settings.state_dir).as_posix()
            if there.get(name) != _md5(path):
                store.put(name, path)
    try:
        began = Summary.load(settings.state_dir).facts["started_at"]
    except RehomeError:
        return  # it failed before its first stage, and has nothing to tell
    for pattern in OF_A_RUN:
        for path in sorted(settings.state_dir.glob(pattern)):
            store.put(f"{RUNS}/{began}/{path.relative_to(settings.state_dir).as_posix()}", path)


def _is_lasting(name: str) -> bool:
    path = PurePosixPath(name)
    # a name such as ../x cannot match: every part of a pattern stands for one name
    return ".." not in path.parts and any(path.match(pattern) for pattern in LASTING) and not name.startswith(RUNS)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


class _Store:
    """The objects under the URI, by their names after it. They are asked for as `rehome_target` is."""

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.state_uri or "")
        self._uri = settings.state_uri
        self._bucket, self._prefix = parts.netloc, parts.path.lstrip("/")
        side = replace(settings.target, bucket=self._bucket, requester_pays=False, expected_bucket_owner=None)
        self._client = botocore_client(side)

    def names(self) -> dict[str, str]:
        """Name → ETag, which is the MD5 of what `put` has stored unless KMS encrypts it: then it is put again."""
        return {item["Key"][len(self._prefix) :]: item["ETag"].strip('"') for item in self._listed()}

    def get(self, name: str, path: Path) -> None:
        body = self._ask("get_object", Key=self._prefix + name)["Body"]
        temporary = path.with_name(path.name + ".new")
        with temporary.open("wb") as file:
            for block in body.iter_chunks(1024**2):
                file.write(block)
        temporary.replace(path)

    def put(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            self._ask("put_object", Key=self._prefix + name, Body=file)

    def _listed(self) -> Iterator[dict[str, Any]]:
        more: dict[str, str] = {}
        while True:
            reply = self._ask("list_objects_v2", Prefix=self._prefix, **more)
            yield from reply.get("Contents", [])
            if not reply["IsTruncated"]:
                return
            more = {"ContinuationToken": reply["NextContinuationToken"]}

    def _ask(self, method: str, **values: object) -> dict[str, Any]:
        try:
            reply: dict[str, Any] = getattr(self._client, method)(Bucket=self._bucket, **values)
        except (ClientError, BotoCoreError) as error:
            raise RehomeError(
                f"rehome_state_uri ({self._uri}): the state cannot be kept there: {error}. Let the credentials of "
                "rehome_target list, read and write it, or leave it unset and keep rehome_state_dir"
            ) from error
        return reply

"""S3 Inventory in place of a listing: a report that S3 writes daily or weekly, as files in a bucket.

Sources: "Cataloging and analyzing your data with S3 Inventory" and "Locating your inventory list", S3 user guide. A
report is in no order and lacks what was written since.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal, Never, Self

from ...codes import Code
from ...errors import RefusedError
from ..client.client import Client
from .inventory_file import UnreadableFileError, normalized, read_file
from .page import Page

ClientFor = Callable[[str], Client]
"""Returns the client of a bucket: a report is in another bucket than its objects."""

Format = Literal["CSV", "Parquet"]

SETTING = "rehome_source.inventory"

_SUFFIXES: dict[Format, str] = {"CSV": ".csv.gz", "Parquet": ".parquet"}
_URL = re.compile(r"s3://(?P<bucket>[^/]+)/(?P<folder>.*)manifest\.json")
_PARQUET_FIELD = re.compile(r"\b(?:required|optional)\s+\w+\s+(\w+)")
_REQUIRED = ("Key", "Size", "LastModifiedDate", "ETag")
_REGENERATE = "Take the manifest of another report, or wait for the next one"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a report.

    size: bytes
    md5: in hex
    """

    key: str
    size: int
    md5: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """A report, as its manifest describes it.

    url: of the manifest
    bucket: of the report
    created: when S3 began to list (UTC); later changes are not in the report
    fields: its columns, by the names of the inventory's configuration, or by those of Parquet
    """

    url: str
    bucket: str
    created: datetime
    format: Format
    fields: tuple[str, ...]
    files: tuple[DataFile, ...]


async def open_inventory(client_for: ClientFor, url: str, source_bucket: str) -> Inventory:
    """Fetch a report's manifest and check that it can serve as the listing of `source_bucket`.

    url: `s3://bucket/…/manifest.json`, with `manifest.checksum` in the same folder

    Raises RefusedError if it cannot; S3Error and S3StopError.
    """
    found = _URL.fullmatch(url)
    if found is None:
        _refuse(url, "is not the URL of a manifest", "Write it as s3://bucket/…/manifest.json")
    client = client_for(found["bucket"])
    manifest = await _fetch(client, url, f"{found['folder']}manifest.json")
    checksum = await _fetch(client, url, f"{found['folder']}manifest.checksum")
    if hashlib.md5(manifest, usedforsecurity=False).hexdigest() != checksum.decode("latin-1").strip().lower():
        _refuse(url, "is not what its manifest.checksum says", _REGENERATE)
    return _parse(url, found["bucket"], manifest, source_bucket)


async def read_inventory(
    client_for: ClientFor, inventory: Inventory, prefix: str, folder: Path
) -> AsyncGenerator[Page, None]:
    """Yield every object under `prefix` in a report once, in no order; in a versioned bucket, the current versions.

    folder: for temporary files, one at a time

    A file is read only if its size and MD5 are those of the manifest. Close the generator (`aclose`) unless it is
    exhausted. Raises RefusedError if a file is missing, damaged or unreadable; S3Error and S3StopError.
    """
    client = client_for(inventory.bucket)
    fields = inventory.fields if inventory.format == "CSV" else None
    for file in inventory.files:
        # The name is ours: a path from the manifest could lead anywhere.
        with tempfile.TemporaryDirectory(prefix="inventory-", dir=folder) as temporary:
            path = Path(temporary, f"report{_SUFFIXES[inventory.format]}")
            with open(path, "wb") as stream:  # noqa: ASYNC230, PTH123 - a local file; the network is what takes time
                await _download(client, inventory.url, file, stream)
            try:
                async with aclosing(read_file(path, fields, prefix)) as pages:
                    async for page in pages:
                        yield page
            except UnreadableFileError as error:
                _refuse(inventory.url, f"its file {file.key} cannot be read: {error}", _REGENERATE)


class _Receiver:
    """Writes a body to a file. A full disk must not look like a broken reply: see `failure`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.begin()

    def begin(self) -> Self:
        """Empty the file and begin anew."""
        self._stream.seek(0)
        self._stream.truncate()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0
        self.failure: OSError | None = None
        return self

    def __call__(self, chunk: bytes) -> None:
        self._md5.update(chunk)
        self.size += len(chunk)
        if self.failure is None:
            try:
                self._stream.write(chunk)
            except OSError as error:
                self.failure = error

    @property
    def md5(self) -> str:
        """Of all chunks, in hex."""
        return self._md5.hexdigest()


async def _download(client: Client, url: str, file: DataFile, stream: BinaryIO) -> None:
    receiver = _Receiver(stream)
    response = await client.download(file.key, {}, receiver.begin)
    if response.status != 200:
        _refuse(url, f"its file {file.key} is missing", _REGENERATE)
    if receiver.failure is not None:
        raise receiver.failure
    if (receiver.size, receiver.md5) != (file.size, file.md5):
        _refuse(
            url,
            f"its file {file.key} is not what the manifest says ({receiver.size} bytes with MD5 {receiver.md5}, "
            f"not {file.size} with {file.md5})",
            _REGENERATE,
        )


async def _fetch(client: Client, url: str, key: str) -> bytes:
    chunks: list[bytes] = []
    response = await client.request("GET", key, sink=chunks.append)
    if response.status != 200:
        _refuse(
            url,
            f"there is no {key} in bucket {client.endpoint.bucket}",
            "Use the manifest in the newest dated folder of the inventory's configuration",
        )
    return b"".join(chunks)


def _parse(url: str, bucket: str, manifest: bytes, source_bucket: str) -> Inventory:
    try:
        content = json.loads(manifest)
        named, form, schema = (str(content[name]) for name in ("sourceBucket", "fileFormat", "fileSchema"))
        created = datetime.fromtimestamp(int(content["creationTimestamp"]) / 1000, UTC)
        files = tuple(_file(entry) for entry in content["files"])
    except (ValueError, LookupError, TypeError, OverflowError, OSError, RecursionError):
        _refuse(url, "is not the manifest of an S3 Inventory report", "Name the report's manifest.json")
    if named != source_bucket:
        _refuse(
            url,
            f"is the inventory of bucket {named}, not of {source_bucket}",
            "Name an inventory of the source's bucket, or unset it to list the bucket",
        )
    if form not in _SUFFIXES:
        _refuse(url, f"is in the format {form}, which is not read", "Configure the inventory to write Parquet (or CSV)")
    fields = tuple(
        _PARQUET_FIELD.findall(schema) if form == "Parquet" else (name.strip() for name in schema.split(","))
    )
    missing = _missing(fields)
    if missing:
        _refuse(
            url,
            f"the inventory has no {' and no '.join(missing)}",
            "Add it in the bucket's Management tab, Inventory configurations, Additional metadata fields "
            "(OptionalFields of PutBucketInventoryConfiguration), or unset it to list the bucket",
        )
    return Inventory(url, bucket, created, form, fields, files)


def _file(entry: dict[str, object]) -> DataFile:
    key, size, md5 = entry["key"], entry["size"], entry["MD5checksum"]
    if not (isinstance(key, str) and key and isinstance(size, int) and isinstance(md5, str)):
        raise TypeError("not a file of a report")
    return DataFile(key, size, md5.lower())


def _missing(fields: tuple[str, ...]) -> list[str]:
    """Return the required fields that are absent. With versions, `IsLatest` is required, too."""
    present = {normalized(name) for name in fields}
    needed = (*_REQUIRED, "IsLatest") if "versionid" in present else _REQUIRED
    return [name for name in needed if normalized(name) not in present]


def _refuse(url: str, problem: str, way_out: str) -> Never:
    raise RefusedError.of(SETTING, url, problem, way_out, code=Code.INVENTORY)

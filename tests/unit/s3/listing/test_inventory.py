"""S3 Inventory as the listing: real reports, and reports that are damaged in every way."""

from __future__ import annotations

import asyncio
import csv
import gzip
import hashlib
import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, unquote

import duckdb
import pytest
from rehome.errors import RefusedError
from rehome.s3.client.client import Client
from rehome.s3.errors import S3Error
from rehome.s3.listing.inventory import Inventory, open_inventory, read_inventory
from rehome.s3.listing.page import Listed

from tests.unit.s3.wire import client_of, on_uvloop, reply

FOLDER = "reports/source/all/2026-01-02T01-00Z"
URL = f"s3://bucket/{FOLDER}/manifest.json"
WHEN = "2026-01-01T02:03:04.567Z"
ODD_KEYS = ["image/a b.png", "image/a+b%2B.png", "image/ü 中😀", "image/\x01\n", "image/\"quoted\",'x'", "Image/other"]

Row = dict[str, Any]
Report = dict[str, bytes]
"""The objects of the bucket of the report: key → content."""


def row(key: str, **more: Any) -> Row:
    return {
        "Bucket": "source",
        "Key": key,
        "Size": 7,
        "LastModifiedDate": WHEN,
        "ETag": "abc-2",
        "StorageClass": "STANDARD",
        **more,
    }


def csv_file(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for one in rows:
        writer.writerow(quote_plus(str(value), safe="/") if name == "Key" else value for name, value in one.items())
    return gzip.compress(text.getvalue().encode())


PARQUET_NAMES = {
    "LastModifiedDate": "last_modified_date",
    "ETag": "e_tag",
    "StorageClass": "storage_class",
    "VersionId": "version_id",
    "IsLatest": "is_latest",
    "IsDeleteMarker": "is_delete_marker",
    "IntelligentTieringAccessTier": "intelligent_tiering_access_tier",
}
PARQUET_TYPES = {"Size": "BIGINT", "IsLatest": "BOOLEAN", "IsDeleteMarker": "BOOLEAN"}


def parquet_file(rows: Sequence[Row], path: Path, time: str = "TIMESTAMP") -> bytes:
    """time: TIMESTAMP (TIMESTAMP_MILLIS) or TIMESTAMPTZ (TIMESTAMP(MILLIS,true)); S3 has written both."""
    columns = [
        f"{name} {time if name == 'LastModifiedDate' else PARQUET_TYPES.get(name, 'VARCHAR')}" for name in rows[0]
    ]
    names = ", ".join(f"{name} AS {PARQUET_NAMES.get(name, name.lower())}" for name in rows[0])
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TABLE report ({', '.join(columns)})")
        marks = ", ".join("?" * len(rows[0]))
        for one in rows:
            values = [None if value == "" else value for value in one.values()]
            connection.execute(f"INSERT INTO report VALUES ({marks})", values)
        connection.execute(f"COPY (SELECT {names} FROM report) TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


def schema(rows: Sequence[Row], form: str) -> str:
    if form != "Parquet":
        return ", ".join(rows[0])
    kinds = {"Size": "int64", "LastModifiedDate": "int64"}
    fields = [
        f"optional {kinds.get(name, 'binary')} {PARQUET_NAMES.get(name, name.lower())}"
        f"{' (TIMESTAMP(MILLIS,true))' if name == 'LastModifiedDate' else ' (STRING)'};"
        for name in rows[0]
    ]
    return f"message s3.inventory {{  {'  '.join(fields)}}}"


def report(bodies: Sequence[bytes], rows: Sequence[Row], form: str, **changes: Any) -> Report:
    objects = {f"reports/source/all/data/{place}.x": body for place, body in enumerate(bodies)}
    manifest = {
        "sourceBucket": "source",
        "destinationBucket": "arn:aws:s3:::bucket",
        "version": "2016-11-30",
        "creationTimestamp": "1767315600000",
        "fileFormat": form,
        "fileSchema": schema(rows, form),
        "files": [
            {"key": key, "size": len(body), "MD5checksum": hashlib.md5(body).hexdigest()}  # noqa: S324
            for key, body in objects.items()
        ],
        **changes,
    }
    return objects | signed(json.dumps(manifest).encode())


def signed(manifest: bytes) -> Report:
    digest = hashlib.md5(manifest).hexdigest()  # noqa: S324
    return {f"{FOLDER}/manifest.json": manifest, f"{FOLDER}/manifest.checksum": f"{digest}\n".encode()}


def csv_report(rows: Sequence[Row], **changes: Any) -> Report:
    return report([csv_file(rows)], rows, "CSV", **changes)


@asynccontextmanager
async def serving(objects: Report) -> AsyncIterator[Callable[[str], Client]]:
    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        key = unquote(request.split(b" ")[1].decode()).removeprefix("/bucket/")
        writer.write(reply(200, objects[key]) if key in objects else reply(404))

    async with client_of(handle) as (client, _, _):
        yield lambda bucket: client


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*")]


async def read(
    objects: Report, folder: Path, prefix: str = "", bucket: str = "source", url: str = URL
) -> tuple[Inventory, list[Listed]]:
    async with serving(objects) as client_for:
        inventory = await open_inventory(client_for, url, bucket)
        found = [one async for page in read_inventory(client_for, inventory, prefix, folder) for one in page]
    assert names_in(folder) == []
    return inventory, found


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A folder with a name that DuckDB could take for a pattern."""
    folder = tmp_path / "st[a]te *?"
    folder.mkdir()
    return folder


def made(form: str, rows: Sequence[Row], path: Path) -> bytes:
    return csv_file(rows) if form == "CSV" else parquet_file(rows, path, form)


FORMS = pytest.mark.parametrize("form", ["CSV", "TIMESTAMP", "TIMESTAMPTZ"])


@FORMS
@on_uvloop
async def test_a_report_is_read_as_a_listing_would_be(form: str, room: Path, tmp_path: Path) -> None:
    rows = [row(key, Size=size, StorageClass="GLACIER") for size, key in enumerate(ODD_KEYS)]
    files = [made(form, part, tmp_path / "x.parquet") for part in (rows[:2], rows[2:])]
    inventory, found = await read(report(files, rows, "CSV" if form == "CSV" else "Parquet"), room)
    expected = [Listed(key, size, "abc-2", WHEN, "GLACIER") for size, key in enumerate(ODD_KEYS)]
    assert sorted(found) == sorted(expected)
    assert inventory.created == datetime(2026, 1, 2, 1, tzinfo=UTC)


@FORMS
@on_uvloop
async def test_only_keys_under_the_prefix_are_given(form: str, room: Path, tmp_path: Path) -> None:
    rows = [row(key) for key in ODD_KEYS]
    files = [made(form, rows, tmp_path / "x.parquet")]
    _, found = await read(report(files, rows, "CSV" if form == "CSV" else "Parquet"), room, "image/a ")
    assert [one.key for one in found] == ["image/a b.png"]


@FORMS
@on_uvloop
async def test_of_a_versioned_bucket_the_current_versions_are_given(form: str, room: Path, tmp_path: Path) -> None:
    def version(key: str, size: Any, latest: str, marker: str) -> Row:
        return row(key, Size=size, VersionId="v", IsLatest=latest, IsDeleteMarker=marker)

    rows = [
        version("old", 1, "false", "false"),
        version("old", 2, "true", "false"),
        version("deleted", "", "true", "true"),
        version("deleted", 4, "false", "false"),
    ]
    files = [made(form, rows, tmp_path / "x.parquet")]
    _, found = await read(report(files, rows, "CSV" if form == "CSV" else "Parquet"), room)
    assert [(one.key, one.size) for one in found] == [("old", 2)]


@FORMS
@on_uvloop
async def test_the_archive_tiers_of_intelligent_tiering_are_told(form: str, room: Path, tmp_path: Path) -> None:
    tiers = ["FREQUENT", "ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS", ""]
    rows = [
        row(tier or "none", StorageClass="INTELLIGENT_TIERING", IntelligentTieringAccessTier=tier) for tier in tiers
    ]
    files = [made(form, rows, tmp_path / "x.parquet")]
    _, found = await read(report(files, rows, "CSV" if form == "CSV" else "Parquet"), room)
    assert {one.key: one.tier for one in found} == {
        "FREQUENT": "",
        "ARCHIVE_ACCESS": "ARCHIVE_ACCESS",
        "DEEP_ARCHIVE_ACCESS": "DEEP_ARCHIVE_ACCESS",
        "none": "",
    }
    assert {one.storage_class for one in found} == {"INTELLIGENT_TIERING"}


@on_uvloop
async def test_without_storage_classes_all_are_standard(room: Path) -> None:
    rows = [{name: value for name, value in row("a").items() if name != "StorageClass"}]
    _, found = await read(csv_report(rows), room)
    assert [one.storage_class for one in found] == ["STANDARD"]


@on_uvloop
async def test_many_rows_come_in_batches(room: Path) -> None:
    rows = [row(f"k{number}") for number in range(25_000)]
    async with serving(csv_report(rows)) as client_for:
        inventory = await open_inventory(client_for, URL, "source")
        sizes = [len(page) async for page in read_inventory(client_for, inventory, "", room)]
    assert sum(sizes) == 25_000
    assert max(sizes) <= 10_000


@on_uvloop
async def test_a_report_of_an_empty_bucket_has_no_files(room: Path) -> None:
    assert (await read(report([], [row("a")], "CSV"), room))[1] == []


@on_uvloop
async def test_the_keys_of_files_lead_to_no_place_on_this_machine(room: Path, tmp_path: Path) -> None:
    body = csv_file([row("a")])
    key = "../../outside.csv.gz"
    file = {"key": key, "size": len(body), "MD5checksum": hashlib.md5(body).hexdigest()}  # noqa: S324
    objects = report([], [row("a")], "CSV", files=[file]) | {key: body}
    _, found = await read(objects, room)
    assert len(found) == 1
    assert names_in(tmp_path) == [room.name]


@on_uvloop
async def test_a_download_that_breaks_is_begun_again(room: Path) -> None:
    objects = csv_report([row("a")])
    broken = 0

    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal broken
        key = unquote(request.split(b" ")[1].decode()).removeprefix("/bucket/")
        response = reply(200, objects[key])
        if "/data/" in key and broken < 2:
            broken += 1
            writer.write(response[:-5])
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.close()
        else:
            writer.write(response)

    async with client_of(handle) as (client, _, _):
        inventory = await open_inventory(lambda bucket: client, URL, "source")
        found = [one async for page in read_inventory(lambda bucket: client, inventory, "", room) for one in page]
    assert ([one.key for one in found], broken) == (["a"], 2)


@on_uvloop
async def test_a_reading_that_is_given_up_leaves_no_file(room: Path) -> None:
    async with serving(csv_report([row("a")])) as client_for:
        inventory = await open_inventory(client_for, URL, "source")
        pages = read_inventory(client_for, inventory, "", room)
        await anext(pages)
        await pages.aclose()
    assert names_in(room) == []


def without(objects: Report, part: str) -> Report:
    return {key: body for key, body in objects.items() if part not in key}


def changed(objects: Report, part: str, change: Callable[[bytes], bytes]) -> Report:
    return {key: change(body) if part in key else body for key, body in objects.items()}


def lacking(*names: str) -> Report:
    return csv_report([{name: value for name, value in row("a", VersionId="v").items() if name not in names}])


def raw_csv(text: str) -> Report:
    return report([gzip.compress(text.encode())], [row("a")], "CSV")


GOOD = csv_report([row("a")])


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        (without(GOOD, "manifest.json"), "there is no reports/source/all/2026-01-02T01-00Z/manifest.json in bucket"),
        (without(GOOD, "manifest.checksum"), "manifest.checksum in bucket bucket"),
        (changed(GOOD, "manifest.checksum", lambda body: b"0" * 32), "is not what its manifest.checksum says"),
        (changed(GOOD, "manifest.json", lambda body: body[:-9]), "is not what its manifest.checksum says"),
        (signed(b"\xff\x00garbage"), "is not the manifest of an S3 Inventory report"),
        (signed(b"[]"), "is not the manifest of an S3 Inventory report"),
        (signed(b"[" * 100_000), "is not the manifest of an S3 Inventory report"),
        (csv_report([row("a")], files=[{"key": 1}]), "is not the manifest"),
        (csv_report([row("a")], files=[{"key": "", "size": 1, "MD5checksum": "0"}]), "is not the manifest"),
        (csv_report([row("a")], creationTimestamp="9" * 30), "is not the manifest"),
        (csv_report([row("a")], sourceBucket="other"), "is the inventory of bucket other, not of source"),
        (report([b"x"], [row("a")], "ORC"), "is in the format ORC.*Parquet"),
        (lacking("Size"), "the inventory has no Size.*Additional metadata fields"),
        (lacking("ETag", "LastModifiedDate"), "has no LastModifiedDate and no ETag"),
        (lacking("IsLatest"), "has no IsLatest"),
        (without(GOOD, "/data/"), "its file reports/source/all/data/0.x is missing"),
        (changed(GOOD, "/data/", lambda body: body[:-1]), "0.x is not what the manifest says"),
        (changed(GOOD, "/data/", lambda body: body[:-1] + b"?"), "0.x is not what the manifest says"),
        (report([csv_file([row("a")])[:-9]], [row("a")], "CSV"), "0.x cannot be read: .*GZIP"),
        (report([b"no gzip"], [row("a")], "CSV"), "0.x cannot be read"),
        (report([b"no parquet"], [row("a")], "Parquet"), "0.x cannot be read"),
        (raw_csv('"source","a"\n'), "0.x cannot be read"),
        (csv_report([row("a", Size="many")]), "0.x cannot be read"),
        (csv_report([row("a", Size="")]), "0.x cannot be read: an object has no size"),
        (raw_csv(f'"source","%FF","7","{WHEN}","e","STANDARD"\n'), "0.x cannot be read"),
    ],
)
@on_uvloop
async def test_what_cannot_serve_is_refused_in_one_message(objects: Report, words: str, room: Path) -> None:
    with pytest.raises(RefusedError, match=words) as refused:
        await read(objects, room)
    (finding,) = refused.value.findings
    assert (finding.setting, finding.value) == ("rehome_source.inventory", URL)
    assert "\n" not in str(finding)
    assert names_in(room) == []


@on_uvloop
async def test_a_parquet_file_without_a_column_that_the_manifest_promises_is_refused(
    room: Path, tmp_path: Path
) -> None:
    rows = [{name: value for name, value in row("a").items() if name != "ETag"}]
    objects = report([parquet_file(rows, tmp_path / "x.parquet")], [row("a")], "Parquet")
    with pytest.raises(RefusedError, match="no column for etag"):
        await read(objects, room)


@on_uvloop
async def test_a_url_that_names_no_manifest_is_refused(room: Path) -> None:
    for url in ("s3://bucket", "s3://bucket/folder/", "https://bucket/manifest.json"):
        with pytest.raises(RefusedError, match=r"s3://bucket/…/manifest\.json"):
            await read(GOOD, room, url=url)


@on_uvloop
async def test_what_s3_refuses_stays_s3s_message(room: Path) -> None:
    async def handle(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"))

    async with client_of(handle) as (client, _, _):
        with pytest.raises(S3Error, match=r"manifest\.json.*AccessDenied"):
            await open_inventory(lambda bucket: client, URL, "source")

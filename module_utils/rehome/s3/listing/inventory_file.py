"""Read one file of an S3 Inventory report into pages, by DuckDB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from ... import duckdb_engine as duckdb
from .page import Page, Restore, decode_keys

BATCH_ROWS = 10_000

_MEMORY_LIMIT = "192MB"
_ARCHIVE_TIERS = ("ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS")
"""Access tiers of INTELLIGENT_TIERING whose objects must be restored before they can be read (S3 user guide)."""


class UnreadableFileError(Exception):
    """The file is not a readable report; the text says why."""


def normalized(field: str) -> str:
    """Return a field's name in a form that is the same for all formats (Parquet has `last_modified_date`)."""
    return field.replace("_", "").lower()


async def read_file(path: Path, fields: Sequence[str] | None, prefix: str) -> AsyncGenerator[Page, None]:
    """Yield the current objects under `prefix` in a file, up to `BATCH_ROWS` a page.

    fields: the columns of a gzipped CSV file, whose keys are URL-encoded; None: a Parquet file, whose keys are plain

    Raises UnreadableFileError.
    """
    try:
        with duckdb.connect(config=_config(path.parent)) as connection:
            await asyncio.to_thread(_begin, connection, path, fields, prefix)
            while rows := await asyncio.to_thread(connection.fetchmany, BATCH_ROWS):
                page = _page(rows, encoded=fields is not None)
                if fields is not None and not all(wanted := [key.startswith(prefix) for key in page.keys]):
                    page = page.select(wanted)
                if page:
                    yield page
    except (duckdb.Error, UnicodeDecodeError) as error:
        raise UnreadableFileError(str(error).strip().partition("\n")[0]) from None


def _config(folder: Path) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "memory_limit": _MEMORY_LIMIT,
        "temp_directory": str(folder),
        "threads": 1,
        "autoinstall_known_extensions": False,
        "preserve_insertion_order": False,
    }


def _begin(connection: duckdb.DuckDBPyConnection, path: Path, fields: Sequence[str] | None, prefix: str) -> None:
    """Execute the query whose rows are key, size, ETag, time, storage class and access tier."""
    name = str(path)
    if fields is None:
        source, values = "read_parquet($name)", {"name": name}
        types = {row[0]: row[1] for row in connection.execute(f"DESCRIBE FROM {source}", values).fetchall()}
    else:
        # Columns by position: names may be spelled in any way.
        columns = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(len(fields)))
        source = (
            f"read_csv($name, columns={{{columns}}}, auto_detect=false, header=false, delim=',', quote='\"', "
            "escape='\"', compression='gzip', null_padding=false)"
        )
        values, types = {"name": name}, dict.fromkeys(fields, "VARCHAR")
    columns_of = {
        normalized(field): (_quoted(field) if fields is None else f"c{position}", kind)
        for position, (field, kind) in enumerate(types.items())
    }
    statement = f"SELECT {', '.join(_selected(columns_of))} FROM {source} WHERE {_is_current(columns_of)}"
    if fields is None:
        statement += f" AND starts_with({columns_of['key'][0]}, $prefix)"
        values["prefix"] = prefix
    connection.execute(statement, values)


def _selected(columns: dict[str, tuple[str, str]]) -> list[str]:
    """Return the expressions to select, given name and type of each column by its normalized name."""
    absent = [name for name in ("key", "size", "etag", "lastmodifieddate") if name not in columns]
    if absent:
        raise UnreadableFileError(f"it has no column for {', '.join(absent)}")
    modified, kind = columns["lastmodifieddate"]
    if kind != "VARCHAR":
        milliseconds = modified if kind == "BIGINT" else f"epoch_ms({modified})"
        modified = f"strftime(make_timestamp_ms({milliseconds}), '%Y-%m-%dT%H:%M:%S.%gZ')"
    storage_class, _ = columns.get("storageclass", ("NULL", ""))
    tier, _ = columns.get("intelligenttieringaccesstier", ("NULL", ""))
    return [
        columns["key"][0],
        f"CAST({columns['size'][0]} AS BIGINT)",
        f"""trim({columns["etag"][0]}, '"')""",
        modified,
        f"coalesce(nullif({storage_class}, ''), 'STANDARD')",
        f"CASE WHEN {tier} IN {_ARCHIVE_TIERS} THEN {tier} ELSE '' END",
    ]


def _is_current(columns: dict[str, tuple[str, str]]) -> str:
    """Return the condition of rows that are current versions of objects."""
    latest, _ = columns.get("islatest", ("NULL", ""))
    marker, _ = columns.get("isdeletemarker", ("NULL", ""))
    return f"coalesce(CAST({latest} AS BOOLEAN), true) AND NOT coalesce(CAST({marker} AS BOOLEAN), false)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _page(rows: list[tuple[str, int, str, str, str, str]], *, encoded: bool) -> Page:
    keys, sizes, etags, modified, classes, tiers = zip(*rows, strict=True)
    for name, column in (("key", keys), ("size", sizes), ("ETag", etags), ("LastModifiedDate", modified)):
        if None in column:
            raise UnreadableFileError(f"an object has no {name}")
    nothing: Restore = ""
    return Page(decode_keys(keys) if encoded else keys, sizes, etags, modified, classes, (nothing,) * len(rows), tiers)

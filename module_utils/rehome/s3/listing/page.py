"""Parse a page of a listing into columns: by one regular expression if the page allows it, else by an XML parser."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import compress
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote_plus, unquote_to_bytes

Restore = Literal["", "in_progress", "restored"]
"""Whether an archived object is being restored, or has a readable copy. Empty: neither, or not listed."""


class Listed(NamedTuple):
    """An object as listed.

    size: bytes
    etag: without its quotes
    last_modified: ISO 8601
    tier: ARCHIVE_ACCESS or DEEP_ARCHIVE_ACCESS of an INTELLIGENT_TIERING object, which only an inventory has
        (ListObjectsV2 has not)
    """

    key: str
    size: int
    etag: str
    last_modified: str
    storage_class: str
    restore: Restore = ""
    tier: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Listed objects as columns of equal length. It has a length, and iterates over its objects as `Listed`.

    next_token: the continuation token; None on the last page
    """

    keys: Sequence[str]
    sizes: Sequence[int]
    etags: Sequence[str]
    last_modified: Sequence[str]
    storage_classes: Sequence[str]
    restores: Sequence[Restore]
    tiers: Sequence[str]
    next_token: str | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Listed]:
        return map(
            Listed,
            self.keys,
            self.sizes,
            self.etags,
            self.last_modified,
            self.storage_classes,
            self.restores,
            self.tiers,
        )

    @staticmethod
    def of(objects: Sequence[Listed], next_token: str | None = None) -> Page:
        """Return the page of `objects`."""
        columns: list[Any] = list(zip(*objects, strict=True)) or [()] * len(Listed._fields)
        return _page_of(columns, next_token)

    def slice(self, start: int, stop: int) -> Page:
        """Return the objects from index `start` up to but excluding index `stop`."""
        if start <= 0 and stop >= len(self):
            return self
        return _page_of([column[start:stop] for column in self._columns()], self.next_token)

    def select(self, wanted: Sequence[bool]) -> Page:
        """Return the objects for which `wanted`, which is as long as the page, is true."""
        return _page_of([tuple(compress(column, wanted)) for column in self._columns()], self.next_token)

    def _columns(self) -> list[Any]:
        return [getattr(self, field.name) for field in fields(self)[:-1]]


def _page_of(columns: Sequence[Any], next_token: str | None) -> Page:
    keys, sizes, etags, last_modified, storage_classes, restores, tiers = columns
    return Page(keys, sizes, etags, last_modified, storage_classes, restores, tiers, next_token)


class _Frame(NamedTuple):
    """A page without what its entries say."""

    entry_tag: str
    entries: list[ET.Element]
    encoded: bool
    next_token: str | None


_TEXT = r"[^<>&\x00-\x1f]*+"
_FIELDS = {
    "Key": rf"<Key>({_TEXT})</Key>",
    "LastModified": rf"<LastModified>({_TEXT})</LastModified>",
    "ETag": r"""<ETag>(?:&quot;|&\#34;|")?([^<>&"\x00-\x1f]*+)(?:&quot;|&\#34;|")?</ETag>""",
    "Size": r"<Size>([0-9]++)</Size>",
    "StorageClass": rf"<StorageClass>({_TEXT})</StorageClass>",
}
"""The fields that are read. Plain text only: other escapes are left to the parser."""

_EXTRAS = {
    "ChecksumAlgorithm": rf"<ChecksumAlgorithm>{_TEXT}</ChecksumAlgorithm>",
    "ChecksumType": rf"<ChecksumType>{_TEXT}</ChecksumType>",
    "Owner": rf"<Owner>(?:<ID>{_TEXT}</ID>|<DisplayName>{_TEXT}</DisplayName>)*+</Owner>",
    "RestoreStatus": rf"<RestoreStatus>(?:<IsRestoreInProgress>{_TEXT}</IsRestoreInProgress>"
    rf"|<RestoreExpiryDate>{_TEXT}</RestoreExpiryDate>)*+</RestoreStatus>",
}
"""Further children of an entry, which only some objects of a bucket have ("Object", S3 API reference)."""

_START, _END = b"<Contents>", b"</Contents>"
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_UTF8_PROLOGUE = re.compile(
    rb"""(?:<\?xml version=["']1\.0["'](?: encoding=["'](?i:utf-8)["'])?\s*\?>\s*)?<ListBucket"""
)


def parse_page(body: bytes) -> Page:
    """Parse a ListBucketResult. Raises ValueError if it is not a complete one.

    With `EncodingType` url, a space is `+` and a plus `%2B` (so does SeaweedFS 4.48; botocore decodes AWS likewise).
    A server that ignores `encoding-type` omits `EncodingType`, and its keys are plain.
    """
    page = _parse_by_pattern(body)
    return parse_any_page(body) if page is None else page


def parse_any_page(body: bytes) -> Page:
    """Like `parse_page`, by an XML parser: several times slower, and the reference for what is right."""
    frame = _frame(body)
    namespace = frame.entry_tag.removesuffix("Contents")
    objects = [_listed(entry, namespace, frame.encoded) for entry in frame.entries]
    return Page.of(objects, frame.next_token)


def decode_keys(keys: Sequence[str]) -> Sequence[str]:
    """Decode URL-encoded keys, in which `+` is a space. Raises ValueError if one is not UTF-8."""
    text = "\n".join(keys)
    if "+" not in text and "%" not in text:
        return keys
    if text.count("\n") >= len(keys) or "%0a" in text or "%0A" in text or not text.isascii():
        return tuple(unquote_plus(key, errors="strict") for key in keys)
    return tuple(unquote_to_bytes(text.replace("+", " ")).decode().split("\n"))


def _parse_by_pattern(body: bytes) -> Page | None:
    """Return the page, or None if an XML parser might read it differently.

    Why it reads the same: the entries are contiguous, each is matched from its first to its last byte by a pattern
    that only well-formed entries match, and the page with one empty entry in place of all is read by the parser, which
    finds that one where the entries belong.
    """
    start, end = body.find(_START), body.rfind(_END) + len(_END)
    if not 0 < start < end or not body.isascii() or _UTF8_PROLOGUE.match(body) is None:
        return None
    try:
        frame = _frame(body[:start] + b"<Contents/>" + body[end:])
    except ValueError:
        return None
    if len(frame.entries) != 1:
        return None
    text = body[start:end].decode("ascii")
    shape = _shape(text[: text.index("</Contents>") + len(_END)])
    if shape is None:
        return None
    names, others = shape
    # if the first entry has no further child, mostly none has one, which is tried sooner than looked for
    extras: tuple[str, ...] = ()
    columns = None if others else _columns(text, names, extras)
    if columns is None:
        flat = sorted(others - _EXTRAS.keys())
        extras = tuple(name for name in (*_EXTRAS, *flat) if f"<{name}>" in text)
        columns = _columns(text, names, extras) if extras else None
    return None if columns is None else _page(columns, frame, may_be_restored="RestoreStatus" in extras)


def _columns(text: str, names: tuple[str, ...], extras: tuple[str, ...]) -> dict[str, tuple[str, ...]] | None:
    """Return the fields of all entries, and as the field without a name the entries; None if anything was skipped."""
    found = _pattern(names, extras).findall(text)
    columns = dict(zip(("", *names), zip(*found, strict=True), strict=False))
    return columns if columns and sum(map(len, columns[""])) == len(text) else None


def _page(columns: dict[str, tuple[str, ...]], frame: _Frame, *, may_be_restored: bool) -> Page:
    entries = columns[""]
    count = len(entries)
    classes = columns.get("StorageClass", ("",) * count)
    restored: list[Restore] = [""] * count
    for index, entry in enumerate(entries) if may_be_restored else ():
        if "<RestoreStatus>" in entry:
            restored[index] = _restore(
                "<IsRestoreInProgress>true</IsRestoreInProgress>" in entry, "<RestoreExpiryDate>" in entry
            )
    return Page(
        decode_keys(columns["Key"]) if frame.encoded else columns["Key"],
        tuple(map(int, columns["Size"])),
        columns["ETag"],
        columns["LastModified"],
        classes if all(classes) else tuple(name or "STANDARD" for name in classes),
        tuple(restored),
        ("",) * count,
        frame.next_token,
    )


def _shape(entry: str) -> tuple[tuple[str, ...], frozenset[str]] | None:
    """Return the order of an entry's fields and the names of its other children; None if it is too unusual."""
    try:
        children = list(ET.fromstring(entry))  # noqa: S314 - an entry without a document type declares no entities
    except ET.ParseError:
        return None
    names = tuple(child.tag for child in children if child.tag in _FIELDS)
    if len(set(names)) != len(names) or not {"Key", "LastModified", "ETag", "Size"} <= set(names):
        return None
    others = frozenset(child.tag for child in children if child.tag not in _FIELDS)
    return (names, others) if all(map(_PLAIN_NAME.fullmatch, others)) else None


@lru_cache(maxsize=64)
def _pattern(names: tuple[str, ...], extras: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of an entry with the fields `names` in this order, and any of `extras` between them."""
    anything = "|".join(_EXTRAS.get(name, f"<{name}>{_TEXT}</{name}>") for name in extras)
    between = f"(?:{anything})*+" if extras else ""
    inner = between.join(["", *(_FIELDS[name] for name in names), ""])
    return re.compile(f"(<Contents>{inner}</Contents>)")


def _frame(body: bytes) -> _Frame:
    try:
        # Safe with hostile documents: expat limits entity expansion since 2.4.1.
        root = ET.fromstring(body)  # noqa: S314
    except (ET.ParseError, LookupError) as error:  # the latter for a character set that Python does not know
        raise ValueError(f"not XML: {error}") from None
    namespace = root.tag.removesuffix("ListBucketResult")
    if namespace == root.tag:
        raise ValueError(f"a {root.tag}, not a ListBucketResult")
    truncated = root.findtext(f"{namespace}IsTruncated") == "true"
    token = root.findtext(f"{namespace}NextContinuationToken") if truncated else None
    if truncated and not token:
        raise ValueError("truncated, but without a continuation token")
    entry_tag = f"{namespace}Contents"
    return _Frame(entry_tag, root.findall(entry_tag), root.findtext(f"{namespace}EncodingType") == "url", token)


def _listed(entry: ET.Element, namespace: str, encoded: bool) -> Listed:
    found = {child.tag.removeprefix(namespace): child.text or "" for child in entry}
    try:
        key = found["Key"]
        return Listed(
            unquote_plus(key, errors="strict") if encoded else key,
            int(found["Size"]),
            found["ETag"].strip('"'),
            found["LastModified"],
            found.get("StorageClass") or "STANDARD",
            _restore(
                entry.findtext(f"{namespace}RestoreStatus/{namespace}IsRestoreInProgress") == "true",
                entry.find(f"{namespace}RestoreStatus/{namespace}RestoreExpiryDate") is not None,
            ),
        )
    except KeyError as error:
        raise ValueError(f"an entry without {error}") from None


def _restore(in_progress: bool, has_expiry: bool) -> Restore:
    """Read `RestoreStatus`: a restored copy has an expiry date (S3 API reference)."""
    if in_progress:
        return "in_progress"
    return "restored" if has_expiry else ""

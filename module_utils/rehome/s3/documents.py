"""The small XML documents that S3 replies with, as plain values."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping

_CHECKSUM = "Checksum"
_CHECKSUM_TYPE = "ChecksumType"
_CHECKSUM_ALGORITHM = "ChecksumAlgorithm"


def root_of(body: bytes) -> ET.Element | None:
    """The root of a document, or None where it is not whole.

    S3 sends white space while a long request is under way, so that it may stand before the XML declaration,
    where XML does not allow it (CompleteMultipartUpload, S3 API reference).
    """
    try:
        # Expat limits entity expansion itself since 2.4.1, so a hostile document costs nothing.
        return ET.fromstring(body.strip())  # noqa: S314
    except (ET.ParseError, ValueError):
        return None


def local_name(element: ET.Element) -> str:
    """An element's name without its namespace, which some services leave out or change."""
    return element.tag.rpartition("}")[2]


def fields_of(element: ET.Element | None) -> dict[str, str]:
    """The texts of an element's children, by name."""
    return {} if element is None else {local_name(child): child.text or "" for child in element}


def checksums_of(fields: Mapping[str, str]) -> dict[str, str]:
    """Checksums in base64 by algorithm in lower case, whatever they are of."""
    return {
        name.removeprefix(_CHECKSUM).lower(): value
        for name, value in fields.items()
        if name.startswith(_CHECKSUM) and name not in (_CHECKSUM_TYPE, _CHECKSUM_ALGORITHM) and value
    }


def full_checksums_of(fields: Mapping[str, str]) -> dict[str, str]:
    """Those of the whole content; see `compare.full_checksums`."""
    if fields.get(_CHECKSUM_TYPE) != "FULL_OBJECT":
        return {}
    return {name: value for name, value in checksums_of(fields).items() if "-" not in value}

"""Read the small XML documents in S3's replies into plain values."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from datetime import UTC, datetime

_CHECKSUM = "Checksum"
_CHECKSUM_TYPE = "ChecksumType"
_CHECKSUM_ALGORITHM = "ChecksumAlgorithm"


def root_of(body: bytes) -> ET.Element | None:
    """Return the root of a document, or None if it is not well-formed (cut short, for one).

    S3 sends white space while a long request is in flight, so that it may precede the XML declaration, where XML
    does not allow it (CopyObject and CompleteMultipartUpload, S3 API reference).
    """
    try:
        # Safe with hostile documents: expat limits entity expansion since 2.4.1.
        return ET.fromstring(body.strip())  # noqa: S314
    except (ET.ParseError, ValueError, LookupError):  # the last for a character set that Python does not know
        return None


def local_name(element: ET.Element) -> str:
    """Return an element's name without its namespace, which some services omit or change."""
    return element.tag.rpartition("}")[2]


def fields_of(element: ET.Element | None) -> dict[str, str]:
    """Return the texts of an element's children by local name; of several with one name, the last."""
    return {} if element is None else {local_name(child): child.text or "" for child in element}


def checksums_of(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the checksums among `fields`: base64 by algorithm in lower case. Either of the content or of parts."""
    return {
        name.removeprefix(_CHECKSUM).lower(): value
        for name, value in fields.items()
        if name.startswith(_CHECKSUM) and name not in (_CHECKSUM_TYPE, _CHECKSUM_ALGORITHM) and value
    }


def full_checksums_of(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the checksums of the whole content, as `checksums_of`; see `compare.full_checksums`."""
    if fields.get(_CHECKSUM_TYPE) != "FULL_OBJECT":
        return {}
    return {name: value for name, value in checksums_of(fields).items() if "-" not in value}


def http_time_of(text: str) -> datetime:
    """Return the time in a header such as `Date`. Raises ValueError if it is none."""
    # Few runs read such a header, and the import takes as long as eighty copies.
    from email.utils import parsedate_to_datetime  # noqa: PLC0415

    return parsedate_to_datetime(text)


def time_of(text: str) -> datetime:
    """Return a time that S3 states in ISO 8601; in UTC if it names no zone. Raises ValueError if it is none."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)

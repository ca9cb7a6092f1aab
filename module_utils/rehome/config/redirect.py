"""The settings of `rehome_redirect`, and their reader."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from ..codes import Code
from ..errors import Finding

SETTING = "rehome_redirect"

Website = Literal["merge", "create", "none"]

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?")
_PATH = re.compile(r"/(?:[A-Za-z0-9._~@:+/-]|%[0-9A-Fa-f]{2})*")
"""Characters that go into the configuration of three web servers unchanged: none is special to any of them."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Redirects of old URLs.

    present: False removes them
    scheme, host, path: the URL before target keys. The path ends with a slash, the host may include a port and is
        empty if no URL is set.
    code: the HTTP status
    from_path: the path before source keys in old URLs; it ends with a slash
    website: merge: add routing rules to the bucket's website; create: make the website if there is none; none
    index: the index document of a new website
    error_codes: the statuses for which the S3 website redirects; empty: all
    directory: where the files are written; None: the state folder
    """

    present: bool
    scheme: str
    host: str
    path: str
    code: int
    from_path: str
    website: Website
    index: str
    error_codes: tuple[int, ...]
    directory: str | None

    @property
    def base_url(self) -> str:
        """The URL before target keys."""
        return f"{self.scheme}://{self.host}{self.path}"


def read_redirect(given: Mapping[str, Any], findings: list[Finding]) -> Redirect:
    """Read `rehome_redirect`. Whether it must be set is checked by the playbook that needs it."""
    url = given.get("base_url") or ""
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that is not closed
        parts = urlsplit("")
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    from_path = given.get("from_path") or "/"
    from_path = from_path if from_path.endswith("/") else f"{from_path}/"
    is_base_url = parts.scheme in ("http", "https") and _HOST.fullmatch(parts.netloc) and _is_plain(path)
    if url and (not is_base_url or "?" in url or "#" in url):
        way_out = (
            "Write it as https://host/ or https://host/path/, percent-encoded if need be, without a user, a query or a "
            "fragment"
        )
        # it may contain a password
        shown = None if "@" in parts.netloc else url
        findings.append(Finding(f"{SETTING}.base_url", shown, "is not a base URL", way_out, Code.UNUSABLE_VALUE))
    if not _is_plain(from_path):
        way_out = "Write what comes before the key in old URLs, such as / or /files/"
        findings.append(
            Finding(f"{SETTING}.from_path", from_path, "is not the path of a URL", way_out, Code.UNUSABLE_VALUE)
        )
    codes = (404,) if given.get("error_codes") is None else tuple(given["error_codes"])
    if wrong := [code for code in codes if not 400 <= code < 600]:
        way_out = "Name 404, and 403 if need be"
        findings.append(
            Finding(
                f"{SETTING}.error_codes",
                str(wrong[0]),
                "is not the status of an error",
                way_out,
                Code.UNUSABLE_VALUE,
            )
        )
    return Redirect(
        present=(given.get("state") or "present") == "present",
        scheme=parts.scheme,
        host=parts.netloc,
        path=path,
        code=given.get("code") or 301,
        from_path=from_path,
        website=given.get("website") or "merge",
        index=given.get("website_index") or "index.html",
        error_codes=codes,
        directory=given.get("directory") or None,
    )


def _is_plain(path: str) -> bool:
    segments = path.lower().replace("%2e", ".").replace("%2f", "/").split("/")
    return _PATH.fullmatch(path) is not None and not {".", ".."} & set(segments)

"""What `rehome_redirect` asks for, as typed values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from ..errors import Finding

SETTING = "rehome_redirect"

Website = Literal["merge", "create", "none"]

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?")
_PATH = re.compile(r"/(?:[A-Za-z0-9._~@:+/-]|%[0-9A-Fa-f]{2})*")
"""What goes into the configuration of three servers as it stands: nothing that any of them would take for its own."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where old URLs lead.

    present: False takes away what was set up
    scheme, host, path: of the URL that target keys follow; the path ends in a slash, and the host may have a port.
        host is empty where no URL was given
    code: the HTTP status
    from_path: what comes before the source's keys in old URLs, ending in a slash
    website: whether routing rules are merged into the bucket's website, also where it has none yet, or not at all
    index: the index document of a website that is made
    error_codes: the statuses that S3's website would answer with, for which it redirects; empty: whatever it would
    directory: where the files go; None: into the state folder
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
        return f"{self.scheme}://{self.host}{self.path}"


def read_redirect(given: Mapping[str, Any], findings: list[Finding]) -> Redirect:
    """Read the option; every complaint goes to `findings`. Whether it is given at all is its verb's concern."""
    url = given.get("base_url") or ""
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that is not closed
        parts = urlsplit("")
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    from_path = given.get("from_path") or "/"
    from_path = from_path if from_path.endswith("/") else f"{from_path}/"
    if url and not (
        parts.scheme in ("http", "https")
        and _HOST.fullmatch(parts.netloc)
        and _is_plain(path)
        and not ("?" in url or "#" in url)
    ):
        findings.append(
            Finding(
                f"{SETTING}.base_url",
                # it may hold a password
                None if "@" in parts.netloc else url,
                "is not the URL of a place",
                "Write it as https://host/ or https://host/path/, percent-encoded where it must be, without a user, "
                "a query or a fragment",
            )
        )
    if not _is_plain(from_path):
        findings.append(
            Finding(
                f"{SETTING}.from_path",
                from_path,
                "is not the path of a URL",
                "Write what comes before the key in old URLs, such as / or /files/",
            )
        )
    told = given.get("error_codes")
    codes = (404,) if told is None else tuple(told)
    if wrong := [code for code in codes if not 400 <= code < 600]:
        findings.append(
            Finding(f"{SETTING}.error_codes", str(wrong[0]), "is no error's status", "Name 404, and 403 if need be")
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

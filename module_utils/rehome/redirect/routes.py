"""What the templates for nginx and CloudFront are filled with. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from ..config.redirect import SETTING
from ..config.settings import Settings
from ..errors import Finding, RefusedError
from .patterns import Flavour, ForeignGlobError, literal, pattern

FUNCTION_LIMIT = 10_240
"""Bytes of a CloudFront function ("Restrictions on CloudFront Functions", CloudFront developer guide)."""

_TEMPLATE_BYTES = 2_500

_PERMANENT = (301, 308)
_WORDS = {301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect", 308: "Permanent Redirect"}


def routes(settings: Settings) -> dict[str, Any]:
    """The old places and the new ones, as the servers' own texts. Raises RefusedError."""
    wanted = settings.redirect
    return {
        "name": settings.name,
        "code": wanted.code,
        "words": _WORDS[wanted.code],
        "permanent": wanted.code in _PERMANENT,
        "location": wanted.base_url + quote(settings.target.prefix, safe="/~"),
        "nginx": _nginx(settings),
        "cloudfront": _cloudfront(settings),
    }


def notes(told: Mapping[str, Any]) -> list[str]:
    """What the operator should know of these routes, in sentences without their ends."""
    if len(json.dumps(told["cloudfront"])) + _TEMPLATE_BYTES < FUNCTION_LIMIT:
        return []
    return [f"cloudfront.js has so many globs that it is larger than CloudFront takes ({FUNCTION_LIMIT:,} bytes)"]


def _old_path(settings: Settings) -> str:
    """What the paths of old URLs begin with, decoded."""
    return unquote(settings.redirect.from_path) + settings.source.prefix


def _nginx(settings: Settings) -> dict[str, str]:
    """Regular expressions in nginx's double quotes: over the decoded path, and over the request line's."""
    path = _old_path(settings)
    included, excluded = _patterns(settings, "pcre")
    return {
        "key": _quoted(rf"(?s)^{literal(path, 'pcre')}(?!{excluded}\z){included}\z"),
        "head": _quoted(f"(?s)^{literal(path, 'pcre')}"),
        "raw_head": _quoted("^" + "".join(map(_spellings, path.encode()))),
    }


def _spellings(byte: int) -> str:
    """A byte of a path in whatever way a client may write it."""
    return f"(?:{literal(chr(byte), 'pcre')}|%(?i:{byte:02x}))" if byte < 128 else f"(?:\\x{byte:02x}|%(?i:{byte:02x}))"


def _cloudfront(settings: Settings) -> dict[str, str]:
    included, excluded = _patterns(settings, "ecmascript")
    return {
        "path": _old_path(settings),
        "raw_path": quote(_old_path(settings), safe="/~"),
        "included": f"^{included}$",
        "excluded": f"^{excluded}$",
    }


def _patterns(settings: Settings, flavour: Flavour) -> tuple[str, str]:
    setting, globs = "rehome_include", settings.include
    try:
        included = pattern(globs, flavour)
        setting, globs = "rehome_exclude", settings.exclude
        return included, pattern(globs, flavour) if globs else "(?!)"
    except ForeignGlobError as error:
        raise RefusedError(
            [
                Finding(
                    setting,
                    ", ".join(globs),
                    f"{error}, which nginx and CloudFront cannot be told",
                    "Write the characters as globs of their own",
                )
            ]
        ) from error


def _quoted(regex: str) -> str:
    """As nginx reads it between double quotes, where a backslash may mean something to it."""
    return regex.replace("\\", "\\\\").replace('"', '\\"')


def refuse_without_url(settings: Settings) -> None:
    """Raises RefusedError where it is not said where old URLs shall lead, or for which of the keys only."""
    findings = []
    if not settings.redirect.host:
        findings.append(
            Finding(
                f"{SETTING}.base_url",
                None,
                "is not set, so that nobody knows where the objects are now",
                "Set it to the URL that the target's keys follow, such as https://cdn.example.com/",
            )
        )
    if settings.only_keys is not None:
        findings.append(
            Finding("rehome_only_keys", None, "cannot be told to servers, which go by globs", "Leave it unset")
        )
    if findings:
        raise RefusedError(findings)

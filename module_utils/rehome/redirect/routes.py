"""The variables of the templates for nginx and CloudFront. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from ..codes import Code, marked
from ..config.redirect import SETTING
from ..config.settings import Settings
from ..errors import Finding, RefusedError
from .patterns import Flavour, UnsupportedGlobError, literal, pattern

FUNCTION_LIMIT = 10_240
"""The largest CloudFront function, in bytes ("Restrictions on CloudFront Functions", CloudFront developer guide)."""

_TEMPLATE_BYTES = 2_500

_PERMANENT = (301, 308)
_WORDS = {301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect", 308: "Permanent Redirect"}


def routes(settings: Settings) -> dict[str, Any]:
    """Return the variables of the templates. Raises RefusedError if a glob cannot be translated.

    code, words, permanent: the HTTP status
    location: the URL that a key's suffix follows
    nginx, cloudfront: regular expressions and paths that match old URLs, in the syntax of each
    """
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


def notes(variables: Mapping[str, Any]) -> list[str]:
    """Return what the operator should know about the result of `routes`, as sentences without full stops."""
    if len(json.dumps(variables["cloudfront"])) + _TEMPLATE_BYTES < FUNCTION_LIMIT:
        return []
    return [
        marked(
            f"cloudfront.js has so many globs that it is larger than CloudFront takes ({FUNCTION_LIMIT:,} bytes)",
            Code.REDIRECT_TOO_WIDE,
        )
    ]


def _old_path(settings: Settings) -> str:
    """Return what the paths of old URLs begin with, decoded."""
    return unquote(settings.redirect.from_path) + settings.source.prefix


def _nginx(settings: Settings) -> dict[str, str]:
    """Return regular expressions for nginx's double quotes: `raw_head` matches $request_uri, the others $uri."""
    path = _old_path(settings)
    included, excluded = _patterns(settings, "pcre")
    return {
        "key": _quoted(rf"(?s)^{literal(path, 'pcre')}(?!{excluded}\z){included}\z"),
        "head": _quoted(f"(?s)^{literal(path, 'pcre')}"),
        "raw_head": _quoted("^" + "".join(map(_spellings, path.encode()))),
    }


def _spellings(byte: int) -> str:
    """Return a regular expression for every way in which a client may encode a byte of a path."""
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
    except UnsupportedGlobError as error:
        problem, way_out = f"{error}, which nginx and CloudFront cannot match", "Write the characters as separate globs"
        raise RefusedError.of(setting, ", ".join(globs), problem, way_out, code=Code.REDIRECT_TOO_WIDE) from error


def _quoted(regex: str) -> str:
    """Escape a regular expression for nginx's double quotes, in which a backslash is special."""
    return regex.replace("\\", "\\\\").replace('"', '\\"')


def check_redirect(settings: Settings) -> None:
    """Raise RefusedError if the settings do not say where old URLs lead, or select keys that no glob does."""
    findings = []
    if not settings.redirect.host:
        way_out = "Set it to the URL that the target's keys follow, such as https://cdn.example.com/"
        findings.append(
            Finding(f"{SETTING}.base_url", None, "is not set, so that redirects have no target", way_out, Code.UNSET)
        )
    if settings.only_keys is not None:
        problem = "is not supported for redirects, which go by globs"
        findings.append(Finding("rehome_only_keys", None, problem, "Leave it unset", Code.CONTRADICTION))
    if findings:
        raise RefusedError(findings)

"""Percent-encoding in URLs (RFC 3986). The same text can be encoded in several ways, here called its spellings."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SLASH = re.compile("%2F", re.IGNORECASE)


def encode(text: str) -> str:
    """Return the usual spelling: all but `/` and unreserved characters is encoded, as SDKs encode keys."""
    return quote(text, safe="/")


def decode(spelling: str) -> str | None:
    """Return the decoded text, or None if a `%` has no two hexadecimal digits or the bytes are not UTF-8.

    `+` is a plus sign, as it is everywhere except in HTML forms and query strings.
    """
    if "%" not in spelling:
        return spelling
    if _BROKEN.search(spelling):
        return None
    try:
        return unquote_to_bytes(spelling).decode()
    except UnicodeError:
        return None


def spellings(text: str, reserved: str = "") -> str:
    """Return a regular expression that matches every spelling of `text`.

    reserved: characters that are encoded in each of them; `%` always is
    """
    return "".join([_spellings(character, reserved) for character in text])


def _spellings(character: str, reserved: str) -> str:
    encoded = "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
    either_case = re.sub("[A-F]", lambda digit: f"[{digit[0]}{digit[0].lower()}]", encoded)
    if character == "%" or character in reserved:
        return either_case
    return f"(?:{re.escape(character)}|{either_case})"


def encoded_slash(spelling: str) -> str | None:
    """Return `%2F` or `%2f`, as the spelling has it, if all of its slashes are encoded, else None."""
    found = None if "/" in spelling else _SLASH.search(spelling)
    return found[0] if found else None

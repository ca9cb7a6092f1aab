"""Percent-encoding as URLs have it (RFC 3986): what a text's other spellings are, and what a spelling says."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SLASH = re.compile("%2F", re.IGNORECASE)


def encode(text: str) -> str:
    """The usual spelling: what is neither unreserved nor `/` is encoded, as SDKs do with keys."""
    return quote(text, safe="/")


def decode(spelling: str) -> str | None:
    """What a spelling says; None for a `%` without two hexadecimal digits, and for bytes that are no UTF-8.

    `+` is a plus sign, as everywhere but in forms and query strings.
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
    """A regular expression for every spelling of `text`; `%` and the characters of `reserved` are encoded in each."""
    return "".join([_spellings(character, reserved) for character in text])


def _spellings(character: str, reserved: str) -> str:
    encoded = "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
    either_case = re.sub("[A-F]", lambda digit: f"[{digit[0]}{digit[0].lower()}]", encoded)
    if character == "%" or character in reserved:
        return either_case
    return f"(?:{re.escape(character)}|{either_case})"


def encoded_slash(spelling: str) -> str | None:
    """How a spelling encodes its slashes (`%2F` or `%2f`), where it leaves none of them as it is."""
    found = None if "/" in spelling else _SLASH.search(spelling)
    return found[0] if found else None

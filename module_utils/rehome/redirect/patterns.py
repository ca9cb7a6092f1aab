"""Globs as regular expressions for nginx (PCRE over bytes) and CloudFront (ECMAScript).

They match exactly what the key map matches with Python's `fnmatch`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

Flavour = Literal["pcre", "ecmascript"]

_ANY = {
    # one character in UTF-8; keys are valid UTF-8
    "pcre": r"(?:[\x00-\x7f]|[\xc2-\xf4][\x80-\xbf]+)",
    # one character is one or two units of UTF-16, and half of two is none
    "ecmascript": r"(?:[\ud800-\udbff][\udc00-\udfff]|[^\ud800-\udfff])",
}
_ANYTHING = {"pcre": r"[\x00-\xff]*", "ecmascript": r"[\s\S]*"}
_BEYOND_ASCII = {
    "pcre": r"[\xc2-\xf4][\x80-\xbf]+",
    "ecmascript": r"[\ud800-\udbff][\udc00-\udfff]|[^\x00-\x7f\ud800-\udfff]",
}

_PIECE = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|[\s\S]")
_PLAIN = re.compile(r"[A-Za-z0-9_/-]")
_ASCII = [chr(code) for code in range(128)]


class UnsupportedGlobError(ValueError):
    """A glob that cannot be translated. Its text says why."""


class Prefix(NamedTuple):
    """The text that all keys matched by a glob begin with. exact: the glob matches every key that begins with it."""

    text: str
    exact: bool


def prefix_of(glob: str) -> Prefix:
    """Return the prefix of the keys that a glob matches."""
    literal = re.match(r"[^*?\[]*", glob)
    text = literal[0] if literal else ""
    return Prefix(text, bool(re.fullmatch(r"\*+", glob[len(text) :])))


def pattern(globs: Sequence[str], flavour: Flavour) -> str:
    """Return a group that matches what any of `globs` matches. Raises UnsupportedGlobError."""
    return f"(?:{'|'.join(_translate(glob, flavour) for glob in globs)})"


def literal(text: str, flavour: Flavour) -> str:
    """Return a regular expression for exactly this text."""
    return "".join(map(_unit, text.encode() if flavour == "pcre" else _utf_16(text)))


def _translate(glob: str, flavour: Flavour) -> str:
    return "".join(_piece(piece[0], flavour) for piece in _PIECE.finditer(glob))


def _piece(piece: str, flavour: Flavour) -> str:
    if piece[0] == "*":
        return _ANYTHING[flavour]
    if piece == "?":
        return _ANY[flavour]
    if len(piece) > 1:
        return _class(piece, flavour)
    return literal(piece, flavour)


def _class(piece: str, flavour: Flavour) -> str:
    """Translate a `[…]`, by testing every ASCII character with fnmatch."""
    if not piece.isascii():
        raise UnsupportedGlobError(f"{piece} has characters beyond ASCII")
    is_member = _member(piece)
    members = "".join(literal(one, flavour) for one in _ASCII if is_member(one))
    inside = f"[{_escaped(members)}]" if members else "(?!)"
    # a class of ASCII characters matches either all characters beyond ASCII or none
    return f"(?:{inside}|{_BEYOND_ASCII[flavour]})" if is_member("ä") else inside


def _member(piece: str) -> Callable[[str], bool]:
    compiled = re.compile(fnmatch.translate(piece))
    return lambda one: compiled.match(one) is not None


def _escaped(members: str) -> str:
    """Escape dashes, which would make ranges."""
    return members.replace("-", r"\x2d")


def _unit(unit: int) -> str:
    """Return the regular expression of a byte of UTF-8 or a unit of UTF-16."""
    if _PLAIN.match(chr(unit)):
        return chr(unit)
    if chr(unit) == ".":
        return r"\."
    return f"\\x{unit:02x}" if unit < 256 else f"\\u{unit:04x}"


def _utf_16(text: str) -> list[int]:
    data = text.encode("utf-16-be")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]

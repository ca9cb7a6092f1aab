"""What MariaDB and MySQL keep in place of a password, so that no statement has to hold it. No I/O."""

from __future__ import annotations

import hashlib
import secrets
import string
from typing import Final

NATIVE: Final = "mysql_native_password"
"""Of MariaDB; MySQL 9 does not have it any more."""
CACHING_SHA2: Final = "caching_sha2_password"
"""Of MySQL since version 8.0."""

ROUNDS: Final = 5_000
SALT_LENGTH: Final = 20
_HEAD: Final = "$A$005$"
"""The format's version, and the number of rounds in thousands."""

_DIGITS: Final = "./" + string.digits + string.ascii_uppercase + string.ascii_lowercase


def stored_form(plugin: str, password: str, salt: str | None = None) -> str:
    """Return what the server keeps for a password. Raises ValueError for any other plugin.

    salt: of CACHING_SHA2, SALT_LENGTH characters of ASCII; None: a new one
    """
    secret = password.encode()
    if plugin == NATIVE:
        digest = hashlib.sha1(hashlib.sha1(secret, usedforsecurity=False).digest(), usedforsecurity=False)
        return f"*{digest.hexdigest().upper()}"
    if plugin != CACHING_SHA2:
        raise ValueError(plugin)
    salt = salt or "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(SALT_LENGTH))
    return f"{_HEAD}{salt}{_sha256_crypt(secret, salt.encode())}"


def is_stored_form_of(plugin: str, stored: str, password: str) -> bool | None:
    """Return whether the server keeps `stored` for this password; None for a plugin that is not known here."""
    if plugin == NATIVE:
        return stored.upper() == stored_form(NATIVE, password)
    if plugin != CACHING_SHA2:
        return None
    if not stored.startswith(_HEAD):
        return False if not stored else None
    return stored == stored_form(CACHING_SHA2, password, stored[len(_HEAD) : len(_HEAD) + SALT_LENGTH])


def _sha256_crypt(secret: bytes, salt: bytes) -> str:
    """Return the digest of SHA-256 crypt, by Ulrich Drepper's "Unix crypt using SHA-256 and SHA-512", version 0.6.

    Libraries cut the salt off at 16 bytes, as that specification says; MySQL uses all of its 20.
    """
    other = _sha256(secret + salt + secret)
    first = hashlib.sha256(secret + salt + _repeated(other, len(secret)))
    length = len(secret)
    while length:
        first.update(other if length & 1 else secret)
        length >>= 1
    digest = first.digest()
    of_secret = _repeated(_sha256(secret * len(secret)), len(secret))
    of_salt = _repeated(_sha256(salt * (16 + digest[0])), len(salt))
    for number in range(ROUNDS):
        text = of_secret if number & 1 else digest
        text += of_salt if number % 3 else b""
        text += of_secret if number % 7 else b""
        digest = _sha256(text + (digest if number & 1 else of_secret))
    return _in_base64(digest)


def _sha256(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _repeated(text: bytes, length: int) -> bytes:
    return (text * (length // len(text) + 1))[:length]


def _in_base64(digest: bytes) -> str:
    """Return the digest in the specification's own base 64, in its own order of bytes."""
    made = ""
    at = (0, 10, 20)
    for _ in range(10):
        made += _digits(digest[at[0]] << 16 | digest[at[1]] << 8 | digest[at[2]], 4)
        at = (at[2] + 1) % 30, (at[0] + 1) % 30, (at[1] + 1) % 30
    return made + _digits(digest[31] << 8 | digest[30], 3)


def _digits(number: int, count: int) -> str:
    return "".join(_DIGITS[number >> 6 * place & 63] for place in range(count))

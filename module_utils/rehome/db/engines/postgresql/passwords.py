"""Compare a password with what PostgreSQL keeps in its place. No I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final

_SCRAM: Final = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)")
"""Rounds, salt, StoredKey and ServerKey ("pg_authid", PostgreSQL's manual)."""


def is_stored_form_of(stored: str, user: str, password: str) -> bool | None:
    """Return whether the server keeps `stored` for this password; None if that cannot be told."""
    if re.fullmatch("md5[0-9a-f]{32}", stored):
        return stored[3:] == hashlib.md5((password + user).encode(), usedforsecurity=False).hexdigest()
    found = _SCRAM.fullmatch(stored)
    if found is None or not password.isascii():
        return None  # SASLprep may change other characters
    rounds, salt, stored_key, _ = found.groups()
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), base64.b64decode(stored_key))

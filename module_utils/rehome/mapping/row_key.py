"""The key of a row as JSON text, as the catalog, the journal and the lists keep it: `[17]`, `["de", 4]`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

_Key = tuple[int | str, ...]

_encode = json.JSONEncoder(ensure_ascii=False).encode


def key_to_json(key: _Key) -> str:
    """Return one key as JSON text. Equal keys give equal text: the catalog joins on it."""
    return _encode(key)


def keys_to_json(keys: Sequence[_Key]) -> list[str]:
    """Return `key_to_json` of each key, faster if all of them are a single integer."""
    try:
        return list(map("[%d]".__mod__, keys))
    except TypeError:
        return list(map(_encode, keys))


def key_from_json(text: str) -> _Key:
    """Return the inverse of `key_to_json`."""
    return tuple(json.loads(text))


def keys_from_json(texts: Iterable[str]) -> Iterator[_Key]:
    """Yield the key of each text. They are parsed in one call, which is faster than one by one."""
    return map(tuple, json.loads(f"[{','.join(texts)}]"))

"""The forms that a column's values may have, by the names that settings give them, and which one a value looks like."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import urlsplit

from ..errors import Finding, RefusedError
from .keymap import KeyMap
from .value_map import Form, ValueMap

NAMES = ("key", "/key", "s3://bucket/key", "virtual-host", "path-style")
_OPTIONS: Mapping[str, type] = {"prefix": str, "target_prefix": str, "encoded": bool, "query": bool}

_DEFAULT_PORTS = {"http": 80, "https": 443}
_DOMAINS = (
    ("cn-", "amazonaws.com.cn"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("", "amazonaws.com"),
)
"""What a region's name begins with, and the domain of its partition (partitions.json in botocore 1.44)."""


class Place(Protocol):
    """What a URL of an object depends on."""

    @property
    def setting(self) -> str: ...
    @property
    def bucket(self) -> str: ...
    @property
    def endpoint_url(self) -> str | None: ...
    @property
    def region(self) -> str | None: ...


def read_form(setting: str, given: object, source: Place, target: Place) -> Form:
    """The form that a reference names: one of `NAMES`, or a mapping with `prefix`, the text before the key.

    Raises RefusedError where there is no such form, or the settings do not tell what it needs.
    """
    if isinstance(given, str) and given in NAMES:
        texts = {"key": ("", ""), "/key": ("/", "/"), "s3://bucket/key": (_s3_uri(source), _s3_uri(target))}
        if given in texts:
            return Form(*texts[given])
        return Form(_url(setting, given, source), _url(setting, given, target), encoded=True, query=True)
    if isinstance(given, Mapping) and _is_literal(given):
        text = given["prefix"]
        return Form(text, given.get("target_prefix", text), given.get("encoded", False), given.get("query", False))
    problem, way_out = (
        "is not a form that Rehome knows",
        f"Use {', '.join(NAMES)}, or {{prefix: <the text before the key>}} (with target_prefix where that text changes "
        "too, encoded: true where the key is percent-encoded, query: true where a query string may follow)",
    )
    raise RefusedError([Finding(setting, json.dumps(given, default=str), problem, way_out)])


def _is_literal(given: Mapping[Any, Any]) -> bool:
    return "prefix" in given and all(
        name in _OPTIONS and isinstance(value, _OPTIONS[name]) for name, value in given.items()
    )


def _s3_uri(place: Place) -> str:
    return f"s3://{place.bucket}/"


def _url(setting: str, style: str, place: Place) -> str:
    """What the URLs of a bucket's objects begin with: the host that `s3.endpoint` finds, without asking anything.

    Ways of access that are not the application's (dual-stack, FIPS, accelerated) do not count.
    """
    if place.endpoint_url is None:
        if place.region is None:
            problem = f"needs the host of {place.setting}.bucket ({place.bucket}), which is not known"
            way_out = f"Set {place.setting}.region or .endpoint_url, or write the text as {{prefix: …, encoded: true}}"
            raise RefusedError([Finding(setting, style, problem, way_out)])
        scheme, host, path = "https", _aws_host(place.region), ""
    else:
        scheme, host, path = _address(place)
    if style == "path-style":
        return f"{scheme}://{host}{path}/{place.bucket}/"
    if _is_ip(host):
        problem = f"puts the bucket before the host, and {place.setting}.endpoint_url ({place.endpoint_url}) has none"
        raise RefusedError([Finding(setting, style, problem, "Use path-style, or {prefix: …, encoded: true}")])
    return f"{scheme}://{place.bucket}.{host}{path}/"


def _aws_host(region: str) -> str:
    if region in ("us-east-1", "aws-global"):
        return "s3.amazonaws.com"
    domain = next(domain for prefix, domain in _DOMAINS if region.startswith(prefix))
    return f"s3.{region}.{domain}"


def _address(place: Place) -> tuple[str, str, str]:
    """Scheme, host with a port that is not the scheme's own, and path of an endpoint."""
    try:
        url = urlsplit(place.endpoint_url or "")
        port = url.port
    except ValueError:
        port, url = None, urlsplit("")
    if url.scheme not in _DEFAULT_PORTS or not url.hostname:
        problem, way_out = "is not a URL that can be asked", "Write it as https://host or http://host:port"
        raise RefusedError([Finding(f"{place.setting}.endpoint_url", place.endpoint_url, problem, way_out)])
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    shown = host if port in (None, _DEFAULT_PORTS[url.scheme]) else f"{host}:{port}"
    return url.scheme, shown, url.path.rstrip("/")


def _is_ip(host: str) -> bool:
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


_URL = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]+/)([^/?#]+/)?")
"""Scheme or none, host, and a first segment, which may be a bucket's name."""


def form_detector(keymap: KeyMap, source: Place, target: Place) -> Callable[[str], str | None]:
    """A function that says which form a value has that is not under the map in its own, where there is such a one.

    It answers the form as settings write it. A value whose key is not meant has none, whatever it looks like.
    """
    named = {}
    for name in NAMES:
        try:
            named[name] = ValueMap(keymap, read_form("", name, source, target))
        except RefusedError:
            continue
    hint = _hint(keymap.source_prefix)

    @lru_cache(maxsize=64)
    def literal(text: str) -> ValueMap:
        return ValueMap(keymap, Form(text, text, encoded=True, query=True))

    def detect_form(value: str) -> str | None:
        if hint not in value:
            return None
        for name, values in named.items():
            if values.suffix_if_old(value) is not None:
                return name
        for text in _urls(value):
            if literal(text).suffix_if_old(value) is not None:
                return f"{{prefix: {json.dumps(text)}, encoded: true, query: true}}"
        return None

    return detect_form


def _hint(prefix: str) -> str:
    """What a value must contain to be worth a closer look: a part of the prefix that has one usual spelling only."""
    plain = re.findall(r"[A-Za-z0-9_.~-]+", prefix)
    return max(plain, key=len, default="")


def _urls(value: str) -> Iterator[str]:
    """What may stand before the key of a URL: the host, or the host and a bucket."""
    found = _URL.match(value)
    if found:
        yield found[1]
        if found[2]:
            yield found[0]

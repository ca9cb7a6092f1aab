"""Forms by their names in the settings, and detection of the form that a value has."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import urlsplit

from ..codes import Code
from ..errors import RefusedError
from .keymap import KeyMap
from .spellings import plain_part, spelling_detector
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
"""What a region's name begins with → the domain of its partition (partitions.json in botocore 1.44)."""


class BucketAddress(Protocol):
    """What the URLs of a bucket's objects depend on."""

    @property
    def setting(self) -> str:
        """The setting that names the bucket: `rehome_source` or `rehome_target`."""

    @property
    def bucket(self) -> str:
        """The bucket's name."""

    @property
    def endpoint_url(self) -> str | None:
        """The URL of the service; None for AWS."""

    @property
    def region(self) -> str | None:
        """The bucket's region, if known."""


def read_form(setting: str, given: object, source: BucketAddress, target: BucketAddress) -> Form:
    """Return the form that a reference names.

    setting: the reference's setting, for findings
    given: one of `NAMES`, or a mapping with `prefix`, the text before the key
    Raises RefusedError if there is no such form, or if the settings lack what it needs.
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
    raise RefusedError.of(setting, json.dumps(given, default=str), problem, way_out, Code.WRONG_REFERENCE)


def _is_literal(given: Mapping[Any, Any]) -> bool:
    return "prefix" in given and all(
        name in _OPTIONS and isinstance(value, _OPTIONS[name]) for name, value in given.items()
    )


def _s3_uri(address: BucketAddress) -> str:
    return f"s3://{address.bucket}/"


def _url(setting: str, style: str, address: BucketAddress) -> str:
    """Return what the URLs of a bucket's objects begin with: the host as `s3.endpoint` resolves it without a request.

    Dual-stack, FIPS and accelerated hosts are not considered: they are our access, not the application's.
    """
    if address.endpoint_url is None:
        if address.region is None:
            problem = f"needs the host of {address.setting}.bucket ({address.bucket}), which is not known"
            way_out = f"Set {address.setting}.region or .endpoint_url, or use {{prefix: …, encoded: true}}"
            raise RefusedError.of(setting, style, problem, way_out, Code.WRONG_REFERENCE)
        scheme, host, path = "https", _aws_host(address.region), ""
    else:
        scheme, host, path = _address(address)
    if style == "path-style":
        return f"{scheme}://{host}{path}/{address.bucket}/"
    if _is_ip(host):
        problem = f"needs a host name, and {address.setting}.endpoint_url ({address.endpoint_url}) has an IP address"
        raise RefusedError.of(
            setting, style, problem, "Use path-style, or {prefix: …, encoded: true}", Code.WRONG_REFERENCE
        )
    return f"{scheme}://{address.bucket}.{host}{path}/"


def _aws_host(region: str) -> str:
    if region in ("us-east-1", "aws-global"):
        return "s3.amazonaws.com"
    domain = next(domain for prefix, domain in _DOMAINS if region.startswith(prefix))
    return f"s3.{region}.{domain}"


def _address(address: BucketAddress) -> tuple[str, str, str]:
    """Return the scheme, the host (with its port, unless that is the scheme's default) and the path of an endpoint."""
    try:
        url = urlsplit(address.endpoint_url or "")
        port = url.port
    except ValueError:
        port, url = None, urlsplit("")
    if url.scheme not in _DEFAULT_PORTS or not url.hostname:
        problem, way_out = "is not the URL of a service", "Write it as https://host or http://host:port"
        raise RefusedError.of(
            f"{address.setting}.endpoint_url", address.endpoint_url, problem, way_out, Code.UNUSABLE_VALUE
        )
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
"""An optional scheme, a host, and the first segment, which may be a bucket's name."""


def form_detector(keymap: KeyMap, source: BucketAddress, target: BucketAddress) -> Callable[[str], str | None]:
    """Return a function that returns the form in which a value would be under the map, as settings write it, or None.

    It is for values that are not under the map in their reference's own form. What none of the forms has is told as
    `spellings` words it.
    """
    named = {}
    for name in NAMES:
        try:
            named[name] = ValueMap(keymap, read_form("", name, source, target))
        except RefusedError:
            continue
    hint = plain_part(keymap.source_prefix)
    detect_spelling = spelling_detector(keymap)

    @lru_cache(maxsize=64)
    def literal(text: str) -> ValueMap:
        return ValueMap(keymap, Form(text, text, encoded=True, query=True))

    def detect_form(value: str) -> str | None:
        if hint in value:
            for name, values in named.items():
                if values.moves and values.suffix_if_old(value) is not None:
                    return name
            for text in _urls(value):
                if literal(text).moves and literal(text).suffix_if_old(value) is not None:
                    return f"{{prefix: {json.dumps(text)}, encoded: true, query: true}}"
        return detect_spelling(value)

    return detect_form


def is_form(detected: str) -> bool:
    """Return whether what a detector returned is a form that settings can name, and not a spelling in words."""
    return detected in NAMES or detected.startswith("{")


def _urls(value: str) -> Iterator[str]:
    """Yield what may stand before the key in a URL: the host, or the host and a bucket."""
    found = _URL.match(value)
    if found:
        yield found[1]
        if found[2]:
            yield found[0]

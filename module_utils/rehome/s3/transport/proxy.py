"""The HTTP proxy that the environment wants between here and an endpoint."""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from ...errors import Finding, RefusedError


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy.

    authorization: the value of `Proxy-Authorization`, None where the proxy's URL names no user
    """

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Host and port, as messages show them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def find_proxy(url: str) -> Proxy | None:
    """The proxy for `url` by HTTP_PROXY, HTTPS_PROXY and NO_PROXY (in either case), as botocore reads them.

    Raises RefusedError where the variable holds no `http://host:port`.
    """
    if not _may_be_one():
        return None
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - takes as long as all else of a client

    scheme, place, *_ = urlsplit(url)
    given = getproxies().get(scheme)
    if not given or proxy_bypass(place):
        return None
    # Without a scheme it is an HTTP proxy, as in botocore (httpsession.ProxyConfiguration).
    address = urlsplit(given if "://" in given else f"http://{given.lstrip('/')}")
    try:
        host, port = address.hostname, address.port
    except ValueError:
        host = port = None
    if address.scheme != "http" or not host:
        raise RefusedError([_unusable(f"{scheme.upper()}_PROXY", address.scheme)])
    return Proxy(host, port or 80, _authorization(address.username, address.password))


def _may_be_one() -> bool:
    """Whether urllib would find any: elsewhere than in the environment it looks on macOS and Windows only."""
    return sys.platform in ("darwin", "win32") or any(name.lower().endswith("_proxy") for name in os.environ)


def _unusable(variable: str, scheme: str) -> Finding:
    # The value stays out of the message: it may hold a password.
    return Finding(
        variable,
        None,
        "is not the URL of a proxy that can be used"
        if scheme == "http"
        else f"names a proxy that is spoken to by {scheme}, but only plain HTTP to the proxy is supported "
        "(requests to an https endpoint stay encrypted through it)",
        "Write it as http://host:port, or exempt the endpoint with NO_PROXY",
    )


def _authorization(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return f"Basic {b64encode(pair.encode()).decode()}"

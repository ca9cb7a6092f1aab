"""The HTTP proxy that the environment sets for an endpoint."""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from ...codes import Code
from ...errors import Finding, RefusedError


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy.

    authorization: the value of `Proxy-Authorization`, None if the proxy's URL has no user
    """

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Host and port, as messages show them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def find_proxy(url: str) -> Proxy | None:
    """Return the proxy for `url` by HTTP_PROXY, HTTPS_PROXY and NO_PROXY (in either case), as botocore reads them.

    Raises RefusedError if the variable is no `http://host:port`.
    """
    if not _is_proxy_possible():
        return None
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - takes as long as the whole client

    scheme, netloc, *_ = urlsplit(url)
    value = getproxies().get(scheme)
    if not value or proxy_bypass(netloc):
        return None
    # Without a scheme, it is an HTTP proxy, as in botocore (httpsession.ProxyConfiguration).
    address = urlsplit(value if "://" in value else f"http://{value.lstrip('/')}")
    try:
        host, port = address.hostname, address.port
    except ValueError:
        host = port = None
    if address.scheme != "http" or not host:
        raise RefusedError([_unusable(f"{scheme.upper()}_PROXY", address.scheme)])
    return Proxy(host, port or 80, _authorization(address.username, address.password))


def _is_proxy_possible() -> bool:
    """Return whether urllib might find a proxy. Only on macOS and Windows it reads more than the environment."""
    return sys.platform in ("darwin", "win32") or any(name.lower().endswith("_proxy") for name in os.environ)


def _unusable(variable: str, scheme: str) -> Finding:
    # The value stays out of the message: it may hold a password.
    return Finding(
        variable,
        None,
        "is not the URL of a usable proxy"
        if scheme == "http"
        else f"names a proxy of type {scheme}, but only plain HTTP to the proxy is supported "
        "(requests to an https endpoint stay encrypted through it)",
        "Write it as http://host:port, or exempt the endpoint with NO_PROXY",
        Code.PROXY,
    )


def _authorization(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return f"Basic {b64encode(pair.encode()).decode()}"

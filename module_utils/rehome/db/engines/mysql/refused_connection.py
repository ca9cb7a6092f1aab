"""Why a connection to MariaDB or MySQL could not be opened, by the numbers of server, proxy and driver."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Final

from ....config.settings import Database
from ....errors import Finding
from .. import refused_connection as refused

_Kind = Callable[[Database, str, str], Finding]

KINDS: Final[Mapping[int, _Kind]] = {
    **dict.fromkeys((1045, 1698), refused.user_refused),
    # an expired password, a locked account, too many failed logins (MySQL's and MariaDB's numbers)
    **dict.fromkeys((1820, 1862, 3118, 3955, 3957, 4151, 4166), refused.account_closed),
    # a host that is blocked, or not allowed
    **dict.fromkeys((1129, 1130), refused.address_refused),
    **dict.fromkeys((1044, 1049), refused.no_database),
    **dict.fromkeys((1040, 1203, 1226), lambda _settings, server, said: refused.too_many(server, said)),
    # 2026 is the driver's: the server has no TLS
    2026: lambda _settings, server, said: refused.not_secured(server, said),
    3159: lambda _settings, server, said: refused.tls_wanted(server, said),
    # 1251: the protocol of old passwords; 1524: the server lacks the plugin; 2059 and 2061 are the driver's
    **dict.fromkeys((1251, 1524, 1275, 2054, 2058, 2059, 2061), refused.method_unknown),
    # shutting down, no room, a Galera node that is not ready, offline mode, a server that a proxy does not reach
    **dict.fromkeys(
        (1041, 1047, 1053, 1135, 1927, 2002, 2003, 2005, 3032, 9001),
        lambda _settings, server, said: refused.not_ready(server, said),
    ),
}
"""From "Server Error Message Reference" of both manuals. The numbers of proxies: ProxySQL (9001), MaxScale (1927, 2003)
and MySQL Router (2003), which answer with a number of the driver."""

SILENT: Final = {2006, 2013, 2055}
"""The driver's numbers for a connection that ended or gave no answer."""


def connection_finding(settings: Database, error: Exception) -> Finding:
    """Return the finding for a connection that failed."""
    server = refused.server_address(settings, 3306)
    # PyMySQL wraps what the operating system reports
    cause = getattr(error, "original_exception", error)
    if isinstance(cause, OSError):
        return _system_finding(server, cause)
    number, said = (error.args[0], str(error.args[-1])) if error.args else (None, str(error))
    if not isinstance(number, int):
        # an authentication plugin that needs a package, or bytes that are none of the protocol
        if isinstance(error, RuntimeError):
            return refused.method_unknown(settings, server, said)
        return refused.not_understood(server, said, "MariaDB or MySQL")
    if number in SILENT:
        return refused.closed(server, said)
    return server_finding(settings, str(number), said) or refused.answered(server, f"{said}, error {number}")


def _system_finding(server: str, error: OSError) -> Finding:
    if isinstance(error, ssl.SSLError):
        return refused.not_secured(server, str(error))
    if isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError):
        return refused.closed(server, str(error))
    return refused.no_server(server, str(error))


def server_finding(settings: Database, code: str, said: str) -> Finding | None:
    """Return the finding for an error that came from the server, or from a proxy before it; None if unknown."""
    kind = KINDS.get(int(code)) if code.isdigit() else None
    return kind(settings, refused.server_address(settings, 3306), said) if kind else None

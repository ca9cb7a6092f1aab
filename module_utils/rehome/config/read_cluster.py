"""Reader of the settings of a copy on more than one machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..codes import Code
from ..errors import Finding
from .cluster import ALONE, Cluster
from .read_values import at_least, unset
from .settings import Side

_FILES = ("ca", "cert", "key")
_EXAMPLE = "tls://10.0.0.5:8786"


def read_cluster(
    given: Mapping[str, Any] | None, source: Side, target: Side, findings: list[Finding]
) -> Cluster | None:
    """Return the settings in the option `cluster`; None if it is unset. Add what is wrong with it to `findings`."""
    given = {name: value for name, value in (given or {}).items() if value is not None}
    if not given:
        return None
    before = len(findings)
    address = _read_address(given.get("address"), findings)
    files = {name: _read_file(name, given.get(name), findings) for name in _FILES}
    workers = at_least(1, "rehome_cluster.workers", given.get("workers", 1), findings)
    wait_s = given.get("wait_s", 60.0)
    if not 0 < wait_s < 86_400:
        way_out = "Choose a number of seconds above 0, and below a day"
        findings.append(
            Finding("rehome_cluster.wait_s", str(wait_s), "is no time to wait", way_out, Code.UNUSABLE_VALUE)
        )
    findings += [_keys_of(side) for side in (source, target) if side.access_key and not side.profile]
    if len(findings) > before:
        return None
    return Cluster(address, **files, workers=workers, wait_s=wait_s)


def _read_address(address: str | None, findings: list[Finding]) -> str:
    if address is None:
        findings.append(unset("rehome_cluster.address", _EXAMPLE))
        return ""
    try:
        parts = urlsplit(address)
        is_whole = parts.scheme == "tls" and parts.hostname and parts.port and not parts.path and parts.username is None
    except ValueError:
        is_whole = False
    if not is_whole:
        problem = "is no address of a scheduler that speaks TLS"
        way_out = f"Write it as {_EXAMPLE}, {ALONE}"
        findings.append(Finding("rehome_cluster.address", address, problem, way_out, Code.UNUSABLE_VALUE))
    return address


def _read_file(name: str, path: str | None, findings: list[Finding]) -> Path:
    if path is None:
        findings.append(unset(f"rehome_cluster.{name}", "a file in PEM form"))
    return Path(path or "")


def _keys_of(side: Side) -> Finding:
    return Finding(
        f"{side.setting}.access_key",
        None,
        "is set together with rehome_cluster: keys are not sent to workers, where everybody with a certificate of the "
        "cluster could read them",
        f"Give the workers keys of their own (a role of the machine, or a profile that {side.setting}.profile names), "
        f"{ALONE}",
        Code.CONTRADICTION,
    )

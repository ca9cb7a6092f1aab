"""Reader of the settings of a copy on more than one machine."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..codes import Code
from ..errors import Finding
from .cluster import Cluster, fault
from .settings import Side

_FILES = ("ca", "cert", "key")
_PLACE = ("address", *_FILES)
_EXAMPLE = "tls://10.0.0.5:8786"


def read_cluster(
    given: Mapping[str, Any] | None, source: Side, target: Side, findings: list[Finding]
) -> Cluster | None:
    """Return the settings in the option `cluster`; None if it is unset. Add what is wrong with it to `findings`.

    It is unset if it is null or has no entries. Of entries, those that are null or an empty text are unset.
    """
    if not given:
        return None
    given = {name: value for name, value in given.items() if value is not None and value != ""}
    before = len(findings)
    findings += [_no_path(name) for name in (*_FILES, "record") if not _is_path(given.get(name, ""))]
    hosts, absent = given.get("hosts"), None
    if hosts:
        _check_hosts(given, findings)
    elif "address" not in given:
        findings.append(_no_place())
    if hosts and len(findings) == before:
        found, absent = _read_record(given)
        given = {**found, **given}
    if len(findings) == before and absent is None:
        _check_address(given["address"], findings)
        findings += [_unset(name) for name in _FILES if name not in given]
    workers, wait_s = given.get("workers", 1), given.get("wait_s", 60.0)
    if workers < 1:
        findings.append(_unusable("workers", str(workers), "is too small", "Choose 1 or more"))
    if not 0 < wait_s < 86_400:
        way_out = "Choose a number of seconds above 0, and below a day"
        findings.append(_unusable("wait_s", str(wait_s), "is no time to wait", way_out))
    findings += [_keys_of(side) for side in (source, target) if side.access_key and not side.profile]
    if len(findings) > before:
        return None
    ca, cert, key = (Path(given.get(name, "")) for name in _FILES)
    return Cluster(given.get("address", ""), ca, cert, key, workers, wait_s, absent)


def _check_hosts(given: Mapping[str, Any], findings: list[Finding]) -> None:
    hosts = str(given["hosts"])
    if both := [name for name in _PLACE if name in given]:
        names = ", ".join(f"rehome_cluster.{name}" for name in both)
        problem = (
            f"is set together with {names}: one names the machines of playbooks/cluster.yml, the other any cluster"
        )
        findings.append(fault("rehome_cluster.hosts", hosts, problem, "Leave one of both out", Code.CONTRADICTION))
    elif not given.get("machines"):
        problem = "the inventory has no such group, or it has no hosts"
        findings.append(_unusable("hosts", hosts, problem, "Name the group whose hosts are to copy"))
    elif not given.get("record"):
        findings.append(_unset("record"))


def _read_record(given: Mapping[str, Any]) -> tuple[dict[str, Any], Finding | None]:
    """Return how the cluster on the hosts of a group is reached, or why there is none."""
    problem, record = _recorded(Path(given["record"]), given["machines"])
    if not problem:
        return record, None
    way_out = f"Start one (make cluster-up ENV={given.get('env') or '…'})"
    return {}, fault("rehome_cluster.hosts", str(given["hosts"]), problem, way_out, Code.CLUSTER_UNREACHABLE)


def _recorded(file: Path, machines: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return in words why what was recorded of the cluster on these machines is of no use, else nothing, and that."""
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
        record = {name: str(whole["rehome_cluster"][name]) for name in _PLACE}
        workers = int(whole["rehome_cluster"]["workers"])
        members = {str(member).partition("/")[0] for member in whole["cluster_members"]}
    except FileNotFoundError:
        return f"no cluster was started there from this controller, which would have recorded it in {file}", {}
    except (OSError, KeyError, TypeError, ValueError) as error:
        return f"what was recorded of the cluster cannot be read ({file}: {error})", {}
    if others := sorted(members - set(machines)):
        return f"the cluster in {file} has workers on {', '.join(others)}, which are not in this group", {}
    return "", record | {"workers": workers}


def _no_place() -> Finding:
    way_out = (
        f"Set rehome_cluster.address to that of a scheduler ({_EXAMPLE}), or rehome_cluster.hosts to the group of the "
        f"machines on which make cluster-up starts one"
    )
    return fault("rehome_cluster", None, "has neither address nor hosts", way_out, Code.UNSET)


def _unset(name: str) -> Finding:
    kind = "in JSON" if name == "record" else "in PEM form"
    return fault(f"rehome_cluster.{name}", None, "is not set", f"Set it to the path of a file {kind}", Code.UNSET)


def _unusable(name: str, value: str | None, problem: str, way_out: str) -> Finding:
    return fault(f"rehome_cluster.{name}", value, problem, way_out, Code.UNUSABLE_VALUE)


def _is_path(value: str) -> bool:
    return "\n" not in value and "-----BEGIN" not in value


def _no_path(name: str) -> Finding:
    """Say so without the value, which may be a private key."""
    problem = "is the text of a file, where the path of one belongs"
    return _unusable(name, None, problem, "Write the text into a file that only this user can read, and name that")


def _check_address(address: str, findings: list[Finding]) -> None:
    try:
        parts = urlsplit(address)
        is_whole = _is_host(parts.hostname or "") and bool(parts.port)
        is_whole = is_whole and address.casefold() == f"tls://{parts.netloc}".casefold()
    except ValueError:
        is_whole = False
    if "@" in address:
        address = "tls://…@" + address.rpartition("@")[2]
        is_whole = False
    if not is_whole:
        problem = "is no address of a scheduler that speaks TLS"
        findings.append(_unusable("address", address, problem, f"Write it as {_EXAMPLE}"))


def _is_host(name: str) -> bool:
    """Return whether this may be a name or an address of the sixth version, which a URL has in brackets."""
    if ":" not in name:
        return re.fullmatch(r"[\w.-]+", name) is not None
    ipaddress.IPv6Address(name)  # or ValueError
    return True


def _keys_of(side: Side) -> Finding:
    return fault(
        f"{side.setting}.access_key",
        None,
        "is set together with rehome_cluster: keys are not sent to workers, where everybody with a certificate of the "
        "cluster could read them",
        f"Give the workers keys of their own (a role of the machine, or a profile that {side.setting}.profile names)",
        Code.CONTRADICTION,
    )

"""Reader of the settings of a copy on more than one machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..codes import Code
from ..errors import Finding
from .cluster import ALONE, Cluster
from .read_values import at_least, unset
from .settings import Side

_FILES = ("ca", "cert", "key")
_PLACE = ("address", *_FILES)
_EXAMPLE = "tls://10.0.0.5:8786"


def read_cluster(
    given: Mapping[str, Any] | None, source: Side, target: Side, findings: list[Finding]
) -> Cluster | None:
    """Return the settings in the option `cluster`; None if it is unset. Add what is wrong with it to `findings`."""
    given = {name: value for name, value in (given or {}).items() if value is not None}
    if not given:
        return None
    given = {name: value for name, value in given.items() if value != ""}
    before = len(findings)
    findings += [_no_path(name) for name in _FILES if not _is_path(given.get(name, ""))]
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
        findings += [unset(f"rehome_cluster.{name}", "a file in PEM form") for name in _FILES if name not in given]
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
    ca, cert, key = (Path(given.get(name, "")) for name in _FILES)
    return Cluster(given.get("address", ""), ca, cert, key, workers, wait_s, absent)


def _check_hosts(given: Mapping[str, Any], findings: list[Finding]) -> None:
    hosts = str(given["hosts"])
    if both := [name for name in _PLACE if name in given]:
        names = ", ".join(f"rehome_cluster.{name}" for name in both)
        problem = (
            f"is set together with {names}: one names the machines of playbooks/cluster.yml, the other any cluster"
        )
        way_out = f"Leave one of both out, {ALONE}"
        findings.append(Finding("rehome_cluster.hosts", hosts, problem, way_out, Code.CONTRADICTION))
    elif not given.get("machines"):
        problem = "the inventory has no such group, or it has no hosts"
        way_out = f"Name the group whose hosts are to copy, {ALONE}"
        findings.append(Finding("rehome_cluster.hosts", hosts, problem, way_out, Code.UNUSABLE_VALUE))


def _read_record(given: Mapping[str, Any]) -> tuple[dict[str, Any], Finding | None]:
    """Return how the cluster on the hosts of a group is reached, or why there is none."""
    problem, record = _recorded(Path(given.get("record") or ""), given["machines"])
    if not problem:
        return record, None
    way_out = f"Start one (make cluster-up ENV={given.get('env') or '…'}), {ALONE}"
    return {}, Finding("rehome_cluster.hosts", str(given["hosts"]), problem, way_out, Code.CLUSTER_UNREACHABLE)


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
        f"machines on which make cluster-up starts one, {ALONE}"
    )
    return Finding("rehome_cluster", None, "has neither address nor hosts", way_out, Code.UNSET)


def _is_path(value: str) -> bool:
    return "\n" not in value and "-----BEGIN" not in value


def _no_path(name: str) -> Finding:
    """Say so without the value, which may be a private key."""
    problem = "is the text of a file, where the path of one belongs"
    way_out = f"Write the text into a file that only this user can read, and name that, {ALONE}"
    return Finding(f"rehome_cluster.{name}", None, problem, way_out, Code.UNUSABLE_VALUE)


def _check_address(address: str, findings: list[Finding]) -> None:
    try:
        parts = urlsplit(address)
        is_whole = bool(parts.hostname and parts.port) and address.casefold() == f"tls://{parts.netloc}".casefold()
    except ValueError:
        is_whole = False
    if "@" in address:
        address = "tls://…@" + address.rpartition("@")[2]
        is_whole = False
    if not is_whole:
        problem = "is no address of a scheduler that speaks TLS"
        way_out = f"Write it as {_EXAMPLE}, {ALONE}"
        findings.append(Finding("rehome_cluster.address", address, problem, way_out, Code.UNUSABLE_VALUE))


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

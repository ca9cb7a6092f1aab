"""What the services can do: the preflight of a real run probes it, and the other stages and dry runs read it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import uvloop

from ..codes import Code
from ..config.settings import CopyMethod, Settings
from ..errors import Finding
from ..files import read_json, write_json
from ..s3.capabilities import AMAZON, UNTRIED, Capabilities, describe
from ..s3.client.client import Client
from ..s3.errors import S3Error
from ..s3.objects.job import CopyOptions
from ..s3.objects.target_headers import TargetHeaders
from ..s3.probe.probe import ProbeResult, probe
from ..s3.transport.endpoint import Endpoint
from .clients import open_clients
from .copy_method import choose_method, copy_options

CAPABILITIES_FILE = "capabilities.json"


def probe_services(settings: Settings) -> tuple[list[Finding], list[str]]:
    """Probe what the copy relies on, with scratch objects under the target prefix, and keep the result.

    Returns the findings that would make the copy fail, and notes for the operator.
    """
    try:
        return uvloop.run(_probe(settings))
    except S3Error as error:
        place = f"s3://{settings.target.bucket}/{settings.target.prefix}"
        finding = Finding(
            "rehome_target",
            place,
            f"what the service can do cannot be tried: {error}",
            "Correct what S3 names",
            Code.S3_ANSWERED,
        )
        return [finding], []


async def _probe(settings: Settings) -> tuple[list[Finding], list[str]]:
    async with open_clients(settings, probing=True) as (source, target):
        method = await choose_method(settings, source, target, AMAZON)
        found = await _probed(settings, source, target, method)
        copy = found.capabilities.copy
        if not found.findings and not copy and settings.copy.method == "auto":
            streamed = await _probed(settings, source, target, "stream")
            found = streamed._replace(capabilities=replace(streamed.capabilities, copy=copy))
        elif not found.findings and not copy:
            found = found._replace(findings=(_no_copies(settings.copy.method),))
        if not found.findings:
            # a probe that was refused is incomplete
            keep_capabilities(settings, source.endpoint, target.endpoint, found.capabilities)
    described = found.capabilities
    if described.keys_tried:
        # the plan reports the objects with such keys, if there are any
        described = replace(described, refused_keys=frozenset())
    if settings.copy.tags == "none":
        described = replace(described, tags=AMAZON.tags)
    return list(found.findings), [*describe(described), *found.notes]


async def _probed(settings: Settings, source: Client, target: Client, method: CopyMethod) -> ProbeResult:
    options = _trial_options(settings, method)
    return await probe(
        source,
        target,
        settings.target.prefix,
        source_prefix=settings.source.prefix,
        method=method,
        storage_headers=TargetHeaders(source, target, options).constant,
        storage_class=settings.copy.storage_class,
        acl=options.acl == "copy",
        tags=options.tags,
    )


def _no_copies(method: str) -> Finding:
    return Finding(
        "rehome_copy_method",
        method,
        "the service has no CopyObject, which is no missing right: it cannot copy by itself",
        "Leave it at auto, or set it to stream, which copies objects through this machine",
        Code.S3_LACKS,
    )


def method_of_run(settings: Settings) -> CopyMethod | None:
    """Return how a run would copy, found by reading alone; None if that is inconclusive."""
    try:
        return uvloop.run(_method_of_run(settings))
    except S3Error:
        return None


async def _method_of_run(settings: Settings) -> CopyMethod:
    async with open_clients(settings, probing=True) as (source, target):
        able = known_capabilities(settings, source.endpoint, target.endpoint)
        return await choose_method(settings, source, target, able)


def trial_options(settings: Settings) -> CopyOptions | None:
    """Return the options with which the rights of a copy are tried; None if it is unclear how a run would copy."""
    method = method_of_run(settings)
    return None if method is None else _trial_options(settings, method)


def _trial_options(settings: Settings, method: CopyMethod) -> CopyOptions:
    # in the default storage class: others bill weeks of storage, however soon an object is deleted
    return replace(copy_options(settings, method, AMAZON), storage_class="keep")


async def choose_options(settings: Settings, source: Client, target: Client) -> CopyOptions:
    """Return how a run copies. Raises S3Error or S3StopError if that is inconclusive."""
    able = known_capabilities(settings, source.endpoint, target.endpoint)
    return copy_options(settings, await choose_method(settings, source, target, able), able)


def known_capabilities(settings: Settings, source: Endpoint, target: Endpoint) -> Capabilities:
    """Return what the last probe found about these services. If there was none: Amazon's S3 does what it documents, and
    of any other service no condition is relied upon.

    Raises RehomeError if `capabilities.json` is damaged.
    """

    def parse(kept: Any) -> Capabilities | None:
        if kept["of"] != _places(source, target):
            return None
        try:
            return Capabilities.from_json(kept["capabilities"])
        except ValueError:  # another version of Rehome wrote it
            return None

    path = settings.state_dir / CAPABILITIES_FILE
    found = read_json(path, parse, "Delete it; the preflight of the next run tries the services again")
    return found or (AMAZON if source.is_aws and target.is_aws else UNTRIED)


def keep_capabilities(settings: Settings, source: Endpoint, target: Endpoint, found: Capabilities) -> None:
    """Write what a probe found about these services to the state folder, for `known_capabilities`."""
    kept = {"of": _places(source, target), "capabilities": found.to_json()}
    write_json(settings.state_dir / CAPABILITIES_FILE, kept)


def _places(source: Endpoint, target: Endpoint) -> list[str]:
    return [f"{side.scheme}://{side.host_header}{side.base_path}" for side in (source, target)]

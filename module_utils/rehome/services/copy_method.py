"""Choose how objects are copied: by the service itself, or streamed through this machine."""

from __future__ import annotations

from ..config.settings import CopyMethod, Settings
from ..s3.capabilities import Capabilities
from ..s3.client.client import Client
from ..s3.objects.job import CopyOptions
from ..s3.probe.source_rights import check_reading
from ..s3.support import Support
from ..s3.transport.endpoint import Endpoint


def is_same_service(source: Endpoint, target: Endpoint) -> bool:
    """Return whether both buckets are in one service, so that it can copy between them.

    Amazon's regions are one service within a partition (commercial, China, GovCloud).
    """
    if source.is_aws or target.is_aws:
        return source.is_aws and target.is_aws and _partition(source) == _partition(target)
    return _service(source) == _service(target)


async def choose_method(settings: Settings, source: Client, target: Client, able: Capabilities) -> CopyMethod:
    """Return the copy method of this run; decide what `auto` means.

    able: what is known about the services: one without CopyObject cannot copy by itself

    If source and target have different credentials, the target's are tried on the source: the target's client sends the
    copies, and must be able to read the source. Raises S3Error or S3StopError if the trial is inconclusive.
    """
    if settings.copy.method != "auto":
        return settings.copy.method
    if not able.copy or not is_same_service(source.endpoint, target.endpoint):
        return "stream"
    if source.endpoint.credentials().access_key == target.endpoint.credentials().access_key:
        return "server_side"
    reading = await check_reading(source, settings.source.prefix, target, tags=settings.copy.tags == "copy")
    return "stream" if reading.findings else "server_side"


def copy_options(settings: Settings, method: CopyMethod, capabilities: Capabilities) -> CopyOptions:
    """Return the copy options that the settings ask for."""
    policy = settings.copy
    return CopyOptions(
        method=method,
        storage_class=policy.storage_class,
        encryption=policy.encryption,
        kms_key_id=policy.kms_key_id,
        acl=policy.acl,
        tags=policy.tags == "copy" and capabilities.source_tags is not Support.REJECTS,
        multipart_threshold=policy.multipart_threshold,
        objects_per_second=policy.objects_per_second,
        capabilities=capabilities,
    )


def _partition(endpoint: Endpoint) -> str:
    """Return the partition of an endpoint ("AWS Fault Isolation Boundaries", AWS whitepaper, "Partitions")."""
    if endpoint.host.endswith(".cn"):
        return "aws-cn"
    return "aws-us-gov" if "us-gov-" in endpoint.host else "aws"


def _service(endpoint: Endpoint) -> tuple[str, int]:
    """Return host and port, without the bucket's name that a virtual-hosted address begins with."""
    return endpoint.host.removeprefix(f"{endpoint.bucket}.") if not endpoint.base_path else endpoint.host, endpoint.port

"""How objects get from source to target: by the service's own copy, or read here and written there."""

from __future__ import annotations

from ..config.settings import CopyMethod, Settings
from ..s3.capabilities import Capabilities
from ..s3.client.client import Client
from ..s3.objects.job import CopyOptions
from ..s3.probe.source_rights import check_reading
from ..s3.transport.endpoint import Endpoint


def one_service(source: Endpoint, target: Endpoint) -> bool:
    """Whether one service holds both buckets, so that it can copy between them.

    Amazon's regions are one service within a partition (the commercial one, China, GovCloud).
    """
    if source.is_aws or target.is_aws:
        return source.is_aws and target.is_aws and _partition(source) == _partition(target)
    return _service(source) == _service(target)


async def choose_method(settings: Settings, source: Client, target: Client) -> CopyMethod:
    """The method of this run; `auto` is decided here.

    Where source and target have credentials of their own, the target's are tried on the source: they send the copies
    and must be able to read what they copy. Raises S3Error and S3StopError where the trial says neither yes nor no.
    """
    if settings.copy.method != "auto":
        return settings.copy.method
    if not one_service(source.endpoint, target.endpoint):
        return "stream"
    if source.endpoint.credentials().access_key == target.endpoint.credentials().access_key:
        return "server_side"
    reading = await check_reading(source, settings.source.prefix, target)
    return "stream" if reading.findings else "server_side"


def copy_options(settings: Settings, method: CopyMethod, capabilities: Capabilities) -> CopyOptions:
    """What `rehome_copy_method` and its kin ask for, as the copy takes it."""
    policy = settings.copy
    return CopyOptions(
        method=method,
        storage_class=policy.storage_class,
        encryption=policy.encryption,
        kms_key_id=policy.kms_key_id,
        acl=policy.acl,
        multipart_threshold=policy.multipart_threshold,
        objects_per_second=policy.objects_per_second,
        capabilities=capabilities,
    )


def _partition(endpoint: Endpoint) -> str:
    """Which of Amazon's separate worlds ("AWS Partitions", AWS whitepaper on fault isolation boundaries)."""
    if endpoint.host.endswith(".cn"):
        return "aws-cn"
    return "aws-us-gov" if "us-gov-" in endpoint.host else "aws"


def _service(endpoint: Endpoint) -> tuple[str, int]:
    """Host and port without the bucket that virtual-host style puts before them."""
    return endpoint.host.removeprefix(f"{endpoint.bucket}.") if not endpoint.base_path else endpoint.host, endpoint.port

"""Check the storage class that the settings ask for."""

from __future__ import annotations

from ..codes import Code
from ..config.settings import Settings
from ..errors import Finding
from ..s3.endpoint.botocore import botocore_client
from ..s3.endpoint.resolve import resolve


def check_storage_class(settings: Settings) -> list[Finding]:
    """Return a finding if the target is Amazon S3 and does not know the storage class: the first copy would fail.

    Other services have classes of their own. Raises RefusedError if the target's endpoint cannot be resolved.
    """
    wanted = settings.copy.storage_class
    if wanted == "keep" or not resolve(settings.target).is_aws:
        return []
    classes = botocore_client(settings.target).meta.service_model.shape_for("StorageClass").enum
    if wanted in classes:
        return []
    known = f"Choose keep or one of {', '.join(classes)}"
    return [Finding("rehome_storage_class", wanted, "is no storage class of Amazon S3", known, Code.UNUSABLE_VALUE)]

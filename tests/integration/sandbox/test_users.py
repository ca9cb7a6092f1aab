"""The sandbox's object store, as a client sees it."""

from __future__ import annotations

import botocore.exceptions
import pytest

from sandbox.s3_server import S3Server
from tests.conftest import Buckets


@pytest.mark.needs("rights")
def test_users_have_the_rights_of_a_migration_and_no_more(object_store: S3Server, buckets: Buckets) -> None:
    object_store.client("admin").put_object(Bucket=buckets.source, Key="image/a.png", Body=b"a")
    migrate, reader = object_store.client("migrate"), object_store.client("reader")
    copy = {
        "Bucket": buckets.target,
        "Key": "avatar/a.png",
        "CopySource": {"Bucket": buckets.source, "Key": "image/a.png"},
    }

    migrate.copy_object(**copy)
    assert reader.list_objects_v2(Bucket=buckets.target)["KeyCount"] == 1

    for forbidden in (
        lambda: reader.copy_object(**copy),
        lambda: reader.put_object(Bucket=buckets.target, Key="b", Body=b""),
        lambda: migrate.put_object(Bucket=buckets.source, Key="b", Body=b""),
        lambda: migrate.delete_object(Bucket=buckets.source, Key="image/a.png"),
    ):
        with pytest.raises(botocore.exceptions.ClientError) as refusal:
            forbidden()
        assert refusal.value.response["Error"]["Code"] == "AccessDenied"

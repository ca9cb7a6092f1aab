from __future__ import annotations

import pytest
from rehome.s3.transport.endpoint import Credentials, Endpoint
from rehome.services.copy_method import is_same_service
from rehome.services.storage_class import check_storage_class

from tests.unit.grants.test_policy import settings_with


def endpoint(host: str, bucket: str = "b", port: int = 443, base_path: str = "") -> Endpoint:
    credentials = Credentials("AKID", "SECRET")
    return Endpoint("https", host, port, base_path, bucket, "us-east-1", None, lambda: credentials)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (endpoint("a.s3.eu-west-1.amazonaws.com", "a"), endpoint("b.s3.us-east-2.amazonaws.com"), True),
        (endpoint("s3.us-east-1.amazonaws.com", base_path="/b"), endpoint("b.s3.amazonaws.com"), True),
        (endpoint("a.s3.amazonaws.com", "a"), endpoint("b.s3.cn-north-1.amazonaws.com.cn"), False),
        (endpoint("a.s3.amazonaws.com", "a"), endpoint("b.s3.us-gov-west-1.amazonaws.com"), False),
        (endpoint("a.s3.amazonaws.com", "a"), endpoint("minio.internal", base_path="/b"), False),
        (endpoint("minio.internal", base_path="/a"), endpoint("minio.internal", base_path="/b"), True),
        (endpoint("a.minio.internal", "a"), endpoint("b.minio.internal", "b"), True),
        (endpoint("a.minio.internal", "a"), endpoint("minio.internal", base_path="/b"), True),
        (endpoint("minio.internal", base_path="/a"), endpoint("minio.internal", port=9000, base_path="/b"), False),
        (endpoint("minio.internal", base_path="/a"), endpoint("ceph.internal", base_path="/b"), False),
    ],
)
def test_one_service_is_told_from_two(source: Endpoint, target: Endpoint, expected: bool) -> None:
    assert is_same_service(source, target) is expected


@pytest.mark.parametrize(
    ("endpoint_url", "storage_class", "refused"),
    [
        (None, "keep", False),
        (None, "STANDARD_IA", False),
        (None, "STANDARD-IA", True),
        (None, "standard", True),
        ("http://ceph.internal", "COLD-2", False),
    ],
)
def test_a_storage_class_that_amazon_does_not_know_is_found_before_the_first_copy(
    endpoint_url: str | None, storage_class: str, refused: bool
) -> None:
    keys = {"access_key": "AKID", "secret_key": "SECRET"}
    target = {"region": "eu-central-1", "endpoint_url": endpoint_url, **keys}
    findings = check_storage_class(settings_with(target=target, storage_class=storage_class))
    assert bool(findings) is refused
    if refused:
        assert "Choose keep or one of STANDARD, " in str(findings[0])

from __future__ import annotations

import pytest
from rehome.copy_method import one_service
from rehome.s3.endpoint import Credentials, Endpoint


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
    assert one_service(source, target) is expected

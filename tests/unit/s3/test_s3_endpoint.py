"""How a side of the settings becomes an address and credentials; nothing is sent."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from rehome.errors import RefusedError
from rehome.s3.endpoint import Credentials, Endpoint, botocore_client, resolve
from rehome.settings import Side


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No AWS configuration of whoever runs the tests."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "REGION", "DEFAULT_REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def side(**given: Any) -> Side:
    return Side(
        **{
            "label": "source",
            "bucket": "legacy-s3",
            "prefix": "image/",
            "access_key": "AKID",
            "secret_key": "TOPSECRET",
            **given,
        }
    )


def address(endpoint: Endpoint) -> tuple[str, str, str, str]:
    return endpoint.scheme, endpoint.host_header, endpoint.base_path, endpoint.region


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("https", "legacy-s3.s3.amazonaws.com", "", "us-east-1")),
        ({"region": "eu-west-1"}, ("https", "legacy-s3.s3.eu-west-1.amazonaws.com", "", "eu-west-1")),
        (
            {"region": "cn-north-1"},
            ("https", "legacy-s3.s3.cn-north-1.amazonaws.com.cn", "", "cn-north-1"),
        ),
        (
            {"bucket": "my.bucket", "region": "eu-west-1"},
            ("https", "s3.eu-west-1.amazonaws.com", "/my.bucket", "eu-west-1"),
        ),
        (
            {"endpoint_url": "http://127.0.0.1:9000"},
            ("http", "127.0.0.1:9000", "/legacy-s3", "us-east-1"),
        ),
        (
            {"endpoint_url": "https://minio.example.com/"},
            ("https", "minio.example.com", "/legacy-s3", "us-east-1"),
        ),
        (
            {"endpoint_url": "https://gw.example.com/s3/v1"},
            ("https", "gw.example.com", "/s3/v1/legacy-s3", "us-east-1"),
        ),
        (
            {"endpoint_url": "https://r2.example.com", "addressing_style": "virtual", "region": "auto"},
            ("https", "legacy-s3.r2.example.com", "", "auto"),
        ),
        ({"endpoint_url": "http://[::1]:9000"}, ("http", "[::1]:9000", "/legacy-s3", "us-east-1")),
    ],
)
def test_a_bucket_is_addressed_as_botocore_does_it(given: dict[str, Any], expected: tuple[str, str, str, str]) -> None:
    endpoint = resolve(side(**given))
    assert address(endpoint) == expected
    assert endpoint.credentials() == Credentials("AKID", "TOPSECRET", None)
    assert (endpoint.tls is None) is (endpoint.scheme == "http")
    assert endpoint.is_aws is ("endpoint_url" not in given)


def test_an_endpoint_of_the_environment_is_custom_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://store.example.com:9000")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    expected = ("http", "store.example.com:9000", "/legacy-s3", "eu-north-1")
    assert address(resolve(side())) == expected


def test_credentials_come_from_the_environment_where_none_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ENVSECRET")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "ENVTOKEN")
    found = resolve(side(access_key=None, secret_key=None)).credentials()
    assert found == Credentials("ENVID", "ENVSECRET", "ENVTOKEN")


def test_credentials_and_region_come_from_the_profile(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        "[profile mover]\nregion = eu-south-1\naws_access_key_id = PID\naws_secret_access_key = PSECRET\n"
    )
    endpoint = resolve(side(access_key=None, secret_key=None, profile="mover"))
    assert (endpoint.credentials().access_key, endpoint.region) == ("PID", "eu-south-1")


def test_secrets_are_in_no_representation() -> None:
    shown = repr(Credentials("AKID", "TOPSECRET", "TOKEN"))
    assert "TOPSECRET" not in shown
    assert "TOKEN" not in shown


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"access_key": None, "secret_key": None}, "rehome_source.access_key"),
        ({"access_key": None, "secret_key": None, "profile": "nobody"}, "rehome_source.profile"),
        ({"endpoint_url": "127.0.0.1:9000"}, "rehome_source.endpoint_url"),
        ({"endpoint_url": "ftp://store"}, "rehome_source.endpoint_url"),
        ({"endpoint_url": "http://store:99999"}, "rehome_source.endpoint_url"),
        ({"ca_bundle": "/no/such/file.pem"}, "rehome_source.ca_bundle"),
        ({"ca_bundle": __file__}, "rehome_source.ca_bundle"),
        ({"bucket": "s3://legacy"}, "rehome_source.bucket"),
        ({"region": "not a region"}, "rehome_source.region"),
    ],
)
def test_what_cannot_be_used_is_refused_by_the_name_of_its_setting(given: dict[str, Any], setting: str) -> None:
    with pytest.raises(RefusedError) as caught:
        resolve(side(**given))
    (finding,) = caught.value.findings
    assert finding.setting == setting
    assert "TOPSECRET" not in str(finding)


def test_certificates_are_checked_unless_told_otherwise() -> None:
    checked, unchecked = resolve(side()).tls, resolve(side(verify_tls=False)).tls
    assert checked is not None
    assert unchecked is not None
    assert (checked.verify_mode, checked.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (unchecked.verify_mode, unchecked.check_hostname) == (ssl.CERT_NONE, False)


def test_the_botocore_client_retries_as_documented() -> None:
    config = botocore_client(side()).meta.config
    assert config.retries["total_max_attempts"] == 5
    assert (config.retries["mode"], config.connect_timeout, config.read_timeout) == ("standard", 5, 60)

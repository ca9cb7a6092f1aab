"""A side of the settings resolved to an address and credentials, without sending anything."""

from __future__ import annotations

import asyncio
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.credentials import RefreshableCredentials
from rehome.config.settings import Side
from rehome.errors import RefusedError
from rehome.s3.client.client import Client
from rehome.s3.endpoint.botocore import botocore_client
from rehome.s3.endpoint.resolve import resolve
from rehome.s3.errors import S3StopError
from rehome.s3.transport.endpoint import Credentials, Endpoint
from rehome.s3.transport.proxy import Proxy

from tests.unit.s3.wire import on_uvloop, reply, script, served


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the AWS configuration of the user who runs the tests."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "REGION", "DEFAULT_REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT"):
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
        (
            {"region": "eu-west-1", "addressing_style": "path"},
            ("https", "s3.eu-west-1.amazonaws.com", "/legacy-s3", "eu-west-1"),
        ),
        (
            {"region": "eu-west-1", "dualstack": True},
            ("https", "legacy-s3.s3.dualstack.eu-west-1.amazonaws.com", "", "eu-west-1"),
        ),
        (
            {"region": "us-west-2", "fips": True},
            ("https", "legacy-s3.s3-fips.us-west-2.amazonaws.com", "", "us-west-2"),
        ),
        (
            {"region": "us-west-2", "fips": True, "dualstack": True},
            ("https", "legacy-s3.s3-fips.dualstack.us-west-2.amazonaws.com", "", "us-west-2"),
        ),
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


@pytest.mark.parametrize(
    ("label", "way_out"),
    [
        ("target", "or export S3_TARGET_ACCESS_KEY and S3_TARGET_SECRET_KEY, or AWS_ACCESS_KEY_ID and AWS_SECRET_"),
        ("admin_source", "or export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_where_there_are_no_credentials_the_message_names_the_variables_of_that_side(label: str, way_out: str) -> None:
    with pytest.raises(RefusedError) as refused:
        resolve(side(label=label, access_key=None, secret_key=None))
    assert way_out in str(refused.value)


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
        ({"endpoint_url": "http://127.0.0.1:9000", "fips": True}, "rehome_source.fips"),
        ({"endpoint_url": "http://127.0.0.1:9000", "dualstack": True}, "rehome_source.dualstack"),
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


def test_dualstack_and_fips_are_botocores_where_the_settings_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    assert resolve(side(region="us-west-2")).host == "legacy-s3.s3-fips.dualstack.us-west-2.amazonaws.com"
    chosen = resolve(side(region="us-west-2", dualstack=False, fips=False))
    assert chosen.host == "legacy-s3.s3.us-west-2.amazonaws.com"
    assert "fips" not in botocore_client(side(region="us-west-2", fips=False)).meta.endpoint_url


def test_who_pays_and_who_must_own_the_bucket_come_from_the_settings() -> None:
    endpoint = resolve(side(requester_pays=True, expected_bucket_owner="111122223333"))
    assert (endpoint.requester_pays, endpoint.expected_owner) == (True, "111122223333")


def test_the_proxy_comes_from_the_environment_unless_the_host_is_exempt(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(side()).proxy is None
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    assert resolve(side()).proxy == Proxy("proxy.example.com", 3128)
    assert resolve(side(endpoint_url="http://127.0.0.1:9000")).proxy is None
    monkeypatch.setenv("NO_PROXY", "amazonaws.com")
    assert resolve(side()).proxy is None


def test_amazons_buckets_can_be_addressed_in_another_region_and_others_cannot() -> None:
    here = resolve(side(region="us-east-1", fips=True))
    assert here.relocate is not None
    moved = here.relocate("us-west-2")
    assert address(moved) == ("https", "legacy-s3.s3-fips.us-west-2.amazonaws.com", "", "us-west-2")
    assert moved.credentials == here.credentials
    assert resolve(side(endpoint_url="https://minio.example.com")).relocate is None


def test_an_endpoint_that_was_chosen_stays_the_host_in_every_region() -> None:
    chosen = resolve(side(endpoint_url="https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com", region="us-east-1"))
    assert chosen.relocate is not None
    moved = chosen.relocate("eu-west-1")
    assert (moved.host, moved.region) == (chosen.host, "eu-west-1")


@on_uvloop
async def test_an_own_ca_bundle_makes_a_server_trusted(tls: ssl.SSLContext, certificate: Path) -> None:
    async with served(script([reply(200)]), ssl=tls) as wire:
        url = f"https://127.0.0.1:{wire.port}"
        async with Client(resolve(side(endpoint_url=url, ca_bundle=str(certificate)))) as client:
            assert (await client.request("GET", "k")).status == 200
        async with Client(resolve(side(endpoint_url=url))) as client:
            with pytest.raises(S3StopError, match="CertificateNotTrusted"):
                await client.request("GET", "k")
        assert len(wire.requests) == 1


@on_uvloop
async def test_a_server_is_asked_by_the_buckets_own_name_where_that_is_wanted() -> None:
    async def loopback(host: str, port: int) -> list[str]:
        assert host == "legacy-s3.store.example.com"
        return ["127.0.0.1"]

    async with served(script([reply(200)])) as wire:
        virtual = side(endpoint_url=f"http://store.example.com:{wire.port}", addressing_style="virtual")
        async with Client(resolve(virtual), resolver=loopback) as client:
            await client.request("GET", "image/a.png")
    assert wire.requests[0].startswith(b"GET /image/a.png HTTP/1.1\r\n")
    assert f"host: legacy-s3.store.example.com:{wire.port}".encode() in wire.requests[0]


def test_keys_that_are_set_by_hand_cannot_be_renewed() -> None:
    assert resolve(side()).renew is None


def test_renewed_credentials_are_read_again_from_where_they_came(tmp_path: Path) -> None:
    def write(secret: str) -> None:
        (tmp_path / "credentials").write_text(f"[mover]\naws_access_key_id = ID\naws_secret_access_key = {secret}\n")

    write("one")
    endpoint = resolve(side(access_key=None, secret_key=None, profile="mover"))
    assert endpoint.credentials().secret_key == "one"
    write("two")
    assert endpoint.credentials().secret_key == "one"
    assert endpoint.renew is not None
    assert endpoint.renew().secret_key == "two"
    assert endpoint.credentials().secret_key == "two"
    (tmp_path / "credentials").unlink()
    with pytest.raises(S3StopError, match="CredentialsNotRefreshed: rehome_source: "):
        endpoint.renew()


class Metadata:
    """A slow metadata service of an instance."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, expires_in: timedelta) -> None:
        self.threads: list[threading.Thread] = []
        self.may_reply = threading.Event()
        self.expires_in = expires_in
        found = RefreshableCredentials.create_from_metadata(self._issue("first"), self.refresh, "test")
        monkeypatch.setattr(botocore.session.Session, "get_credentials", lambda _: found)

    def refresh(self) -> dict[str, str]:
        self.threads.append(threading.current_thread())
        self.may_reply.wait(5)
        self.expires_in = timedelta(hours=6)
        return self._issue("second")

    def _issue(self, name: str) -> dict[str, str]:
        expiry = datetime.now(UTC) + self.expires_in
        return {"access_key": name, "secret_key": "s", "token": "t", "expiry_time": expiry.isoformat()}


def test_credentials_that_expire_soon_are_refreshed_while_the_old_ones_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = Metadata(monkeypatch, timedelta(minutes=20))
    endpoint = resolve(side(access_key=None, secret_key=None))
    assert endpoint.credentials().access_key == "first"
    monkeypatch.setattr(RefreshableCredentials, "_advisory_refresh_timeout", 30 * 60)
    for _ in range(5):
        assert endpoint.credentials().access_key == "first"
    service.may_reply.set()
    assert len(service.threads) == 1
    assert service.threads[0] is not threading.main_thread()
    service.threads[0].join(5)
    assert endpoint.credentials().access_key == "second"


@on_uvloop
async def test_a_chain_is_asked_anew_while_requests_are_under_way(tmp_path: Path) -> None:
    def write(access_key: str) -> None:
        (tmp_path / "credentials").write_text(
            f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = s\naws_session_token = t\n"
        )

    async def expired(request: bytes, writer: asyncio.StreamWriter) -> None:
        body = b"<Error><Code>ExpiredToken</Code></Error>"
        writer.write(reply(200) if b"Credential=NEWID/" in request else reply(400, body))

    write("OLDID")
    async with served(expired) as wire:
        here = resolve(side(access_key=None, secret_key=None, endpoint_url=f"http://127.0.0.1:{wire.port}"))
        here.credentials()
        write("NEWID")
        async with Client(here) as client:
            assert (await client.request("GET", "k")).status == 200
    assert len(wire.requests) == 2

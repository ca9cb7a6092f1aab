"""Endpoints from the settings alone are those that botocore would return."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from rehome.config.settings import Side
from rehome.errors import RefusedError
from rehome.s3.endpoint.botocore import resolve_with_botocore
from rehome.s3.endpoint.resolve import resolve_from_settings
from rehome.s3.transport.endpoint import Endpoint


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration, as on a new machine."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def side(**given: Any) -> Side:
    return Side(
        **{
            "label": "target",
            "bucket": "production-s3",
            "prefix": "avatar/",
            "endpoint_url": "http://store.example.com:9000",
            "access_key": "AKID",
            "secret_key": "TOPSECRET",
            **given,
        }
    )


SCHEMES = ["http", "https"], ["ftp", "HTTP"]
HOSTS = (
    ["store", "store.example.com", "127.0.0.1", "a--b.c"],
    [
        "[::1]",
        "Store.Example.COM",
        "a_b.example",
        "a..b",
        "1.2.3",
        "x" * 64,
        "x." * 130 + "x",
        "s3.eu-west-1.amazonaws.com",
    ],
)
PORTS = ["", ":80", ":443", ":9000", ":65535"], [":0", ":00080", ":65536", ":99999", ":"]
PATHS = ["", "/", "/s3", "/s3/v1/"], ["//", "/a b", "/../x", "/%41", "?q", "#f"]
BUCKETS = (
    ["abc", "legacy-s3", "x" * 63],
    ["ab", "my.bucket", "192.168.0.1", "Upper", "a_b", "a-b-", "x" * 64, "arn:aws:s3:eu-west-1:1:accesspoint/a"],
)
REGIONS = [None, "eu-west-1", "us-gov-1", "auto", "x" * 63], ["us east", "Default", "1", "a--b", "a-", "x" * 64]
ODD = st.text(st.sampled_from("aZ0.-_:/@?#%[] é\n"), min_size=1, max_size=8)


def mostly(values: tuple[list[Any], list[str]]) -> st.SearchStrategy[Any]:
    """Draw one of the usual values, or, rarely, of those that may be wrong."""
    usual, unusual = values
    return st.integers(0, 19).flatmap(
        lambda dice: st.sampled_from(usual) if dice else st.sampled_from(unusual) | ODD,
    )


SIDES = st.builds(
    side,
    endpoint_url=st.builds("{}://{}{}{}".format, *map(mostly, (SCHEMES, HOSTS, PORTS, PATHS))),
    bucket=mostly(BUCKETS),
    region=mostly(REGIONS),
    addressing_style=st.sampled_from(["auto", "auto", "path", "virtual"]),
    session_token=st.sampled_from([None, "TOKEN"]),
    verify_tls=st.booleans(),
    fips=st.sampled_from([None, False]),
    dualstack=st.sampled_from([None, False]),
    requester_pays=st.booleans(),
    expected_bucket_owner=st.sampled_from([None, "111122223333"]),
)
UNUSUAL = [
    *({"endpoint_url": f"{scheme}://store:9000/s3"} for scheme in SCHEMES[1]),
    *({"endpoint_url": f"http://{host}:9000/s3"} for host in HOSTS[1]),
    *({"endpoint_url": f"http://store{port}/s3"} for port in PORTS[1]),
    *({"endpoint_url": f"http://store{path}"} for path in PATHS[1]),
    *({"bucket": bucket} for bucket in BUCKETS[1]),
    *({"region": region} for region in REGIONS[1]),
]


def facts(endpoint: Endpoint) -> dict[str, Any]:
    """Return what can be compared of an endpoint."""
    found = {field.name: getattr(endpoint, field.name) for field in fields(endpoint)}
    if endpoint.tls is not None:
        found["tls"] = endpoint.tls.verify_mode, endpoint.tls.check_hostname, endpoint.tls.cert_store_stats()
    return {**found, "credentials": endpoint.credentials()}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(SIDES)
def test_what_is_taken_as_given_is_what_botocore_says(given: Side) -> None:
    endpoint = resolve_from_settings(given)
    # few are not: hypothesis says so where it finds too few
    assume(endpoint is not None)
    assert endpoint is not None
    assert facts(endpoint) == facts(resolve_with_botocore(given))


@pytest.mark.parametrize("given", UNUSUAL, ids=str)
def test_what_is_unusual_is_left_to_botocore_or_understood_as_by_it(given: dict[str, Any]) -> None:
    endpoint = resolve_from_settings(side(**given))
    assert endpoint is None or facts(endpoint) == facts(resolve_with_botocore(side(**given)))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"endpoint_url": "https://minio.example.com/"},
        {"endpoint_url": "http://10.0.0.7/s3/v1", "region": "eu-west-1", "addressing_style": "path"},
        {"session_token": "TOKEN", "requester_pays": True, "expected_bucket_owner": "111122223333"},
        {"endpoint_url": "https://minio.example.com", "verify_tls": False},
    ],
)
def test_the_usual_store_of_ones_own_is_taken_as_given(given: dict[str, Any]) -> None:
    endpoint = resolve_from_settings(side(**given))
    assert endpoint is not None
    assert facts(endpoint) == facts(resolve_with_botocore(side(**given)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_DEFAULT_REGION", "eu-north-1"),
        ("AWS_CONFIG_FILE", "/etc/aws"),
        ("AWS_PROFILE", "mover"),
    ],
)
def test_where_aws_is_configured_botocore_is_asked(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert resolve_from_settings(side()) is None


@pytest.mark.parametrize("name", ["config", "credentials"])
def test_where_there_is_a_file_of_aws_botocore_is_asked(tmp_path: Path, name: str) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / name).write_text("[default]\nuse_fips_endpoint = true\n")
    assert resolve_from_settings(side()) is None


def test_a_proxy_of_the_environment_is_on_the_way_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com:3128")
    endpoint = resolve_from_settings(side())
    assert endpoint is not None
    assert facts(endpoint) == facts(resolve_with_botocore(side()))
    assert endpoint.proxy is not None
    monkeypatch.setenv("HTTP_PROXY", "socks5://proxy.example.com")
    with pytest.raises(RefusedError, match="HTTP_PROXY"):
        resolve_from_settings(side())


def test_a_ca_bundle_of_the_environment_is_trusted_here_too(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    given = side(endpoint_url="https://store.example.com")
    endpoint = resolve_from_settings(given)
    assert endpoint is not None
    assert facts(endpoint) == facts(resolve_with_botocore(given))
    monkeypatch.delenv("AWS_CA_BUNDLE")
    without = resolve_from_settings(given)
    assert without is not None
    assert facts(endpoint) != facts(without)


def test_a_copy_loads_no_botocore_where_all_is_given() -> None:
    given = "Side('source', 'legacy-s3', '', endpoint_url='http://store', access_key='k', secret_key='s')"
    program = (
        "import sys; import rehome.ansible_module.stage, rehome.stages.copy_objects; "
        "from rehome.s3.endpoint.resolve import resolve; "
        f"from rehome.config.settings import Side; resolve({given}); print('botocore' in sys.modules)"
    )
    engine = str(Path(__file__).parents[4] / "module_utils")
    environment = {"PYTHONPATH": engine, "HOME": "/nonexistent"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"

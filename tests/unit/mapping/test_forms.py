from __future__ import annotations

import pytest
from rehome.config.settings import Side
from rehome.errors import RefusedError
from rehome.mapping.forms import form_detector, read_form
from rehome.mapping.keymap import KeyMap
from rehome.mapping.value_map import Form
from rehome.s3.endpoint.resolve import resolve

KEYS = {"access_key": "AK", "secret_key": "SK"}


def side(label: str = "source", bucket: str = "legacy-s3", **more: str) -> Side:
    return Side(label, bucket, "image/", **KEYS | more)  # type: ignore[arg-type]


def form(name: object, **more: str) -> Form:
    return read_form("rehome_references[0].form", name, side(**more), side("target", "production-s3", **more))


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "ap-south-2", "us-gov-west-1", "cn-north-1"])
@pytest.mark.parametrize(("name", "style"), [("virtual-host", "virtual"), ("path-style", "path")])
def test_urls_have_the_hosts_that_requests_go_to(region: str, name: str, style: str) -> None:
    found = form(name, region=region)
    for text, bucket in ((found.before_source_key, "legacy-s3"), (found.before_target_key, "production-s3")):
        endpoint = resolve(side(bucket=bucket, region=region, addressing_style=style))
        assert text == f"{endpoint.url}{endpoint.base_path}/"


@pytest.mark.parametrize(
    ("endpoint_url", "virtual_host", "path_style"),
    [
        ("https://s3.example", "https://legacy-s3.s3.example/", "https://s3.example/legacy-s3/"),
        ("https://s3.example:443/", "https://legacy-s3.s3.example/", "https://s3.example/legacy-s3/"),
        ("http://s3.example:9000", "http://legacy-s3.s3.example:9000/", "http://s3.example:9000/legacy-s3/"),
        ("https://s3.example/base/", "https://legacy-s3.s3.example/base/", "https://s3.example/base/legacy-s3/"),
    ],
)
def test_urls_of_an_endpoint_of_ones_own(endpoint_url: str, virtual_host: str, path_style: str) -> None:
    assert form("virtual-host", endpoint_url=endpoint_url).before_source_key == virtual_host
    assert form("path-style", endpoint_url=endpoint_url).before_source_key == path_style


def test_urls_are_encoded_and_may_have_a_query_string() -> None:
    for name in ("virtual-host", "path-style"):
        found = form(name, region="eu-central-1")
        assert (found.encoded, found.query) == (True, True)


def test_a_mapping_says_for_itself_what_it_is() -> None:
    assert form({"prefix": "x/"}) == Form("x/", "x/")
    assert form({"prefix": "x/", "encoded": True}) == Form("x/", "x/", encoded=True)
    assert form({"prefix": "x/", "target_prefix": "", "query": True}) == Form("x/", "", query=True)


@pytest.mark.parametrize(
    ("name", "more", "named", "way_out"),
    [
        ("virtual-host", {}, "(virtual-host)", "rehome_source.region"),
        ("virtual-host", {"endpoint_url": "http://127.0.0.1:9000"}, "(virtual-host)", "path-style"),
        ("virtual-host", {"endpoint_url": "http://[::1]:9000"}, "(virtual-host)", "path-style"),
        ("path-style", {"endpoint_url": "s3.example"}, "rehome_source.endpoint_url (s3.example)", "https://host"),
        ("path-style", {"endpoint_url": "http://[::1"}, "rehome_source.endpoint_url", "https://host"),
        ("url", {}, '("url")', "virtual-host"),
        ({"prefix": "x", "encoded": "yes"}, {}, "yes", "encoded: true"),
        ({"encoded": True}, {}, "encoded", "prefix"),
        ({"prefix": "x", "surfix": "y"}, {}, "surfix", "query: true"),
        (None, {}, "(null)", "key"),
    ],
)
def test_a_form_that_cannot_be_is_refused(name: object, more: dict[str, str], named: str, way_out: str) -> None:
    with pytest.raises(RefusedError) as caught:
        form(name, **more)
    assert named in str(caught.value)
    assert way_out in str(caught.value)
    assert len(caught.value.findings) == 1


def test_a_value_in_another_form_is_known_by_it() -> None:
    places = side(region="eu-central-1"), side("target", "production-s3", region="eu-central-1")
    detect = form_detector(KeyMap("image/", "avatar/", ("avatar-*.png",)), *places)
    values = {
        "image/avatar-1.png": "key",
        "/image/avatar-1.png": "/key",
        "s3://legacy-s3/image/avatar-1.png": "s3://bucket/key",
        "https://legacy-s3.s3.eu-central-1.amazonaws.com/image/avatar-1.png": "virtual-host",
        "https://s3.eu-central-1.amazonaws.com/legacy-s3/image/avatar-1.png?v=1": "path-style",
        "https://cdn.example/image/avatar%2D1.png?v=1": '{prefix: "https://cdn.example/", encoded: true, query: true}',
        "//cdn.example/a/image/avatar-1.png": '{prefix: "//cdn.example/a/", encoded: true, query: true}',
        "s3://other/image/avatar-1.png": '{prefix: "s3://other/", encoded: true, query: true}',
        "image/readme.txt": None,
        "https://cdn.example/image/readme.txt": None,
        "see image/avatar-1.png": "within a longer text or URL",
        "": None,
    }
    assert {value: detect(value) for value in values} == values


def test_forms_that_need_more_than_is_known_are_not_looked_for() -> None:
    detect = form_detector(KeyMap("image/", "avatar/"), side(), side("target"))
    assert detect("/image/a.png") == "/key"

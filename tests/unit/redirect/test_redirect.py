"""Which settings of redirects are refused, and which globs cannot be translated."""

from __future__ import annotations

from typing import Any

import pytest
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.errors import RefusedError
from rehome.redirect.patterns import UnsupportedGlobError, pattern, prefix_of
from rehome.redirect.routes import check_redirect, notes, routes
from rehome.redirect.website import merged, routing_rules

from tests.unit.config.test_settings import given


def wanted(redirect: dict[str, Any], **changes: Any) -> Settings:
    return read_settings(given(**changes) | {"redirect": {"base_url": "https://cdn.example/"} | redirect})


@pytest.mark.parametrize(
    "url",
    [
        "cdn.example",
        "//cdn.example/",
        "ftp://cdn.example/",
        "https://me:hush-hush@cdn.example/",
        "https://cdn.example/?a=b",
        "https://cdn.example/#a",
        "https://cdn.example/a b/",
        "https://cdn.example/$host/",
        'https://cdn.example/";return 200;/',
        "https://cdn.example/a/../b/",
        "https://cdn.example/a/%2e%2E/b/",
        "https://[cdn/",
        "https://cdn.example\\evil/",
    ],
)
def test_a_url_that_is_no_place_is_refused_and_never_shows_a_password(url: str) -> None:
    with pytest.raises(RefusedError, match=r"rehome_redirect\.base_url.* is not a base URL") as caught:
        wanted({"base_url": url})
    assert "hush-hush" not in str(caught.value)


def test_a_path_and_a_status_that_are_none_are_refused() -> None:
    with pytest.raises(RefusedError, match=r"from_path \(/a/\.\./b/\): is not the path of a URL"):
        wanted({"from_path": "/a/../b"})
    with pytest.raises(RefusedError, match=r"error_codes \(200\): is not the status of an error"):
        wanted({"error_codes": [200]})


def test_without_a_url_and_for_a_slice_nothing_is_redirected() -> None:
    with pytest.raises(RefusedError, match=r"rehome_redirect\.base_url: is not set"):
        check_redirect(wanted({"base_url": None}))
    check_redirect(wanted({}))


def test_slashes_are_added_where_urls_meet_keys() -> None:
    settings = wanted({"base_url": "https://cdn.example/static", "from_path": "/old"})
    assert routes(settings)["location"] == "https://cdn.example/static/avatar/"
    assert routes(settings)["cloudfront"]["path"] == "/old/image/"


def test_a_glob_begins_with_a_text_and_may_be_said_by_it() -> None:
    assert prefix_of("avatar-*") == ("avatar-", True)
    assert prefix_of("**") == ("", True)
    for glob in ("avatar-*.png", "avatar-?", "avatar-1.png", "avatar-[12]*"):
        assert not prefix_of(glob).exact


def test_classes_beyond_ascii_cannot_be_told() -> None:
    with pytest.raises(UnsupportedGlobError):
        pattern(["[ä]"], "pcre")
    with pytest.raises(RefusedError, match=r"rehome_exclude \(a\[ä-ü\]\): .* beyond ASCII"):
        routes(wanted({}, exclude=["a[ä-ü]"]))


def test_rules_are_as_few_as_the_prefixes_and_whole_prefixes_need_no_condition() -> None:
    rules = routing_rules(wanted({}, include=["avatar-*.png", "avatar-*.jpg", "avatar-x*", "face*"]))
    assert [rule["Condition"]["KeyPrefixEquals"] for rule in rules] == ["image/avatar-", "image/face"]
    (rule,) = routing_rules(wanted({"error_codes": []}, include=["avatar-*"]))
    assert rule["Condition"] == {"KeyPrefixEquals": "image/avatar-"}
    assert rule["Redirect"]["ReplaceKeyPrefixWith"] == "avatar/avatar-"


def test_merging_twice_is_merging_once_whatever_lies_around() -> None:
    ours = routing_rules(wanted({"error_codes": [404, 403]}))
    others = [
        {"Condition": {"KeyPrefixEquals": text}, "Redirect": {}} for text in ("image/avatar-special", "image/", "")
    ]
    once = merged({"RoutingRules": others, "ErrorDocument": {"Key": "e"}}, ours, [], "i")
    assert once["RoutingRules"] == [others[0], *ours, *others[1:]]
    assert merged(once, ours, ours, "i") == once


def test_more_globs_than_cloudfront_takes_are_told_of() -> None:
    assert notes(routes(wanted({}, include=["avatar-*.png", "face-[0-9]*.jpg"]))) == []
    (note,) = notes(routes(wanted({}, include=[f"avatar-{number}-*.png" for number in range(400)])))
    assert "larger than CloudFront takes (10,240 bytes)" in note

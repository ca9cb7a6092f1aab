"""Old URLs, requested from a real nginx and passed to the CloudFront function in Node."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.integration.redirect.servers import (
    UNTOUCHED,
    Response,
    nginx,
    request_nginx,
    run_cloudfront_function,
    settings_of,
)

NEW = "https://cdn.example/new/avatar/"

REDIRECTED = [
    ("/image/avatar-1.png", "avatar-1.png"),
    ("/image/avatar-1.png?width=20&height=10", "avatar-1.png?width=20&height=10"),
    ("/image/avatar-1.png?tag=a&tag=b%20c", "avatar-1.png?tag=a&tag=b%20c"),
    ("/image/avatar-a%20b%2Bc%25d.png", "avatar-a%20b%2Bc%25d.png"),
    ("/image/avatar-a+b.png", "avatar-a+b.png"),
    ("/image/avatar-%C3%A4%F0%9F%98%80.png", "avatar-%C3%A4%F0%9F%98%80.png"),
    ("/image/avatar-sub/dir/1.png", "avatar-sub/dir/1.png"),
    ("/image/avatar-%3F%23.png", "avatar-%3F%23.png"),
    ("/image/avatar-%0d%0aSet-Cookie:a=b.png", "avatar-%0d%0aSet-Cookie:a=b.png"),
    ("/image/avatar-//evil.example/.png", "avatar-//evil.example/.png"),
    ("/image/avatar-%22%27$request_uri{};.png", "avatar-%22%27$request_uri{};.png"),
]

NOT_REDIRECTED = [
    "/",
    "/image/",
    "/image/other.png",
    "/image/avatar-1.jpg",
    "/image/avatar-1.png/more",
    "/image/avatar-1.pngx",
    "/image/AVATAR-1.png",
    "/images/avatar-1.png",
    "/x/image/avatar-1.png",
    "/avatar/avatar-1.png",
    "/image/avatar-private-1.png",
    "/image/%2e%2e/secret.png",
    "/image/avatar-x/../../secret.png",
    "/image/avatar-x/%2e%2e/%2E%2E/secret.png",
    "/other?next=/image/avatar-1.png",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("redirect")


def test_nginx_redirects_old_urls_and_nothing_else(folder: Path) -> None:
    wanted = settings_of({"code": 308}, exclude=["avatar-private-*"])
    with nginx(folder / "308", wanted) as port:
        for target, suffix in REDIRECTED:
            assert request_nginx(port, target) == Response(308, NEW + suffix), target
        for target in NOT_REDIRECTED:
            assert request_nginx(port, target) == UNTOUCHED, target
        assert request_nginx(port, "/%69Mage/avatar-1.png") == UNTOUCHED
        spelled = "avatar-%41%20%3f.png?a=b"
        assert request_nginx(port, "/%69mag%65%2Favatar-%41%20%3f.png?a=b") == Response(308, NEW + spelled)
        # dot segments: nginx normalises the path, and its rewrite has 301 and 302 only
        assert request_nginx(port, "/x/../image/avatar-1.png") == Response(301, f"{NEW}avatar-1.png")
        climbing = request_nginx(port, "/image/avatar-x/../avatar-2.png")
        assert climbing == Response(301, f"{NEW}avatar-2.png")
        for target in ("/image/avatar-%5c..%5c%3f.png", "/image/avatar-%5c..%5c1.png", "/image/avatar-\\..\\1.png"):
            assert request_nginx(port, target).location is None, target
        assert request_nginx(port, "/image/x/../avatar-%0d%0aA:b.png") == Response(301, f"{NEW}avatar-%0D%0AA:b.png")


def test_cloudfront_redirects_old_urls_and_nothing_else(folder: Path) -> None:
    wanted = settings_of({"code": 302}, exclude=["avatar-private-*"])
    odd = [
        "/%69mage/avatar-%41%20%3f.png",
        "/image/avatar-%E4.png",
        "/image/avatar-a\\b.png",
        "/image/avatar-\\..\\1.png",
    ]
    responses = run_cloudfront_function(folder, wanted, [*(target for target, _ in REDIRECTED), *NOT_REDIRECTED, *odd])
    assert responses[: len(REDIRECTED)] == [Response(302, NEW + suffix) for _, suffix in REDIRECTED]
    assert responses[len(REDIRECTED) : -len(odd)] == [UNTOUCHED] * len(NOT_REDIRECTED)
    assert responses[-len(odd) :] == [
        Response(302, f"{NEW}avatar-A%20%3F.png"),
        UNTOUCHED,
        Response(302, f"{NEW}avatar-a%5Cb.png"),
        UNTOUCHED,
    ]


def test_the_location_of_a_key_is_where_its_target_key_is(folder: Path) -> None:
    """Odd prefixes, on either side, and an old URL that has more before the key."""
    wanted = settings_of(
        {"from_path": "/f%C3%BCr/", "base_url": "http://host:8080"},
        source={"bucket": "legacy-s3", "prefix": "im äge+(1)/$x%41/"},
        target={"bucket": "production-s3", "prefix": 'ne w/"%{y}'},
    )
    old = f"/f%c3%bcr/{quote('im äge+(1)/$x%41/avatar-1.png')}"
    new = "http://host:8080/" + quote('ne w/"%{y}avatar-1.png')
    with nginx(folder / "odd", wanted) as port:
        assert request_nginx(port, old) == Response(301, new)
        assert request_nginx(port, "/im%20%C3%A4ge+(1)/$x%2541/avatar-1.png") == UNTOUCHED
    assert run_cloudfront_function(folder, wanted, [old]) == [Response(301, new)]


GLOB = st.text("ab*?[]!-.äé😀/^", min_size=1, max_size=8)
SUFFIX = st.text("ab-!.äé😀/^]", min_size=1, max_size=6).filter(lambda suffix: not {".", ".."} & set(suffix.split("/")))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(globs=["??"], suffixes=["😀", "😀😀", "ä", "ab"])
@example(globs=["[!a][!a]"], suffixes=["😀", "😀😀", "ä", "bb"])
@given(
    globs=st.lists(GLOB, min_size=1, max_size=4),
    suffixes=st.lists(SUFFIX.filter(lambda suffix: "//" not in f"/{suffix}"), min_size=20, max_size=40),
)
def test_globs_mean_the_same_to_both_servers_as_to_the_key_map(
    folder: Path, globs: list[str], suffixes: list[str]
) -> None:
    ascii_classes = [glob for glob in globs if "[" not in glob or glob.isascii()] or ["*"]
    wanted = settings_of({}, include=ascii_classes)
    targets = [f"/image/{quote(suffix)}" for suffix in suffixes]
    expected = [
        Response(301, f"{NEW}{quote(suffix)}") if wanted.keymap.covers(suffix) else UNTOUCHED for suffix in suffixes
    ]
    assert run_cloudfront_function(folder, wanted, targets) == expected
    with nginx(folder / "globs", wanted) as port:
        assert [request_nginx(port, target) for target in targets] == expected

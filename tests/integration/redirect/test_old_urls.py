"""Old URLs asked of a real nginx and of the CloudFront function under Node."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.redirect.servers import UNTOUCHED, Answer, ask_nginx, ask_node, nginx, settings_of

NEW = "https://cdn.example/new/avatar/"

LED = [
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

PASSED = [
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


def test_nginx_leads_old_urls_to_the_new_place_and_nothing_else(folder: Path) -> None:
    wanted = settings_of({"code": 308}, exclude=["avatar-private-*"])
    with nginx(folder / "308", wanted) as port:
        for target, led in LED:
            assert ask_nginx(port, target) == Answer(308, NEW + led), target
        for target in PASSED:
            assert ask_nginx(port, target) == UNTOUCHED, target
        assert ask_nginx(port, "/%69Mage/avatar-1.png") == UNTOUCHED
        spelled = "avatar-%41%20%3f.png?a=b"
        assert ask_nginx(port, "/%69mag%65%2Favatar-%41%20%3f.png?a=b") == Answer(308, NEW + spelled)
        # dots too many: as nginx itself tidies the path, with the nearest code that its rewrite knows
        assert ask_nginx(port, "/x/../image/avatar-1.png") == Answer(301, f"{NEW}avatar-1.png")
        climbing = ask_nginx(port, "/image/avatar-x/../avatar-2.png")
        assert climbing == Answer(301, f"{NEW}avatar-2.png")
        for target in ("/image/avatar-%5c..%5c%3f.png", "/image/avatar-%5c..%5c1.png", "/image/avatar-\\..\\1.png"):
            assert ask_nginx(port, target).location is None, target
        assert ask_nginx(port, "/image/x/../avatar-%0d%0aA:b.png") == Answer(301, f"{NEW}avatar-%0D%0AA:b.png")


def test_cloudfront_leads_old_urls_to_the_new_place_and_nothing_else(folder: Path) -> None:
    wanted = settings_of({"code": 302}, exclude=["avatar-private-*"])
    odd = [
        "/%69mage/avatar-%41%20%3f.png",
        "/image/avatar-%E4.png",
        "/image/avatar-a\\b.png",
        "/image/avatar-\\..\\1.png",
    ]
    answers = ask_node(folder, wanted, [*(target for target, _ in LED), *PASSED, *odd])
    assert answers[: len(LED)] == [Answer(302, NEW + led) for _, led in LED]
    assert answers[len(LED) : -len(odd)] == [UNTOUCHED] * len(PASSED)
    assert answers[-len(odd) :] == [
        Answer(302, f"{NEW}avatar-A%20%3F.png"),
        UNTOUCHED,
        Answer(302, f"{NEW}avatar-a%5Cb.png"),
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
        assert ask_nginx(port, old) == Answer(301, new)
        assert ask_nginx(port, "/im%20%C3%A4ge+(1)/$x%2541/avatar-1.png") == UNTOUCHED
    assert ask_node(folder, wanted, [old]) == [Answer(301, new)]


GLOB = st.text("ab*?[]!-.äé😀/^", min_size=1, max_size=8)
REST = st.text("ab-!.äé😀/^]", min_size=1, max_size=6).filter(lambda rest: not {".", ".."} & set(rest.split("/")))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    globs=st.lists(GLOB, min_size=1, max_size=4),
    rests=st.lists(REST.filter(lambda rest: "//" not in f"/{rest}"), min_size=20, max_size=40),
)
def test_globs_mean_the_same_to_both_servers_as_to_the_key_map(
    folder: Path, globs: list[str], rests: list[str]
) -> None:
    ascii_classes = [glob for glob in globs if "[" not in glob or glob.isascii()] or ["*"]
    wanted = settings_of({}, include=ascii_classes)
    targets = [f"/image/{quote(rest)}" for rest in rests]
    expected = [Answer(301, f"{NEW}{quote(rest)}") if wanted.keymap.covers(rest) else UNTOUCHED for rest in rests]
    assert ask_node(folder, wanted, targets) == expected
    with nginx(folder / "globs", wanted) as port:
        assert [ask_nginx(port, target) for target in targets] == expected

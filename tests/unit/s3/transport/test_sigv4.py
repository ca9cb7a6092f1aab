"""The signer, compared with botocore's."""

from __future__ import annotations

import calendar
import hashlib
from datetime import UTC, datetime
from unittest import mock
from urllib.parse import quote, unquote

import botocore.auth
import botocore.awsrequest
import botocore.credentials
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rehome.s3.transport.endpoint import Credentials
from rehome.s3.transport.sigv4 import EMPTY_SHA256, Signer, encode_copy_source, encode_key, encode_query

HOST = "s3.example.com:9000"
UTF8 = st.characters(exclude_categories=["Cs"])
KEYS = st.text(UTF8, min_size=1, max_size=60) | st.text("a/.+%~ ?#&=\\\x01\n\r\x7fé😀", min_size=1, max_size=40)
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
VALUES = st.lists(WORDS, min_size=1, max_size=3).map("  ".join)
NAMES = st.from_regex(r"(x-amz-[a-z-]{0,12}[a-z]|content-type|if-match|if-none-match)", fullmatch=True)
HEADERS = st.dictionaries(
    NAMES.filter(lambda name: name not in ("x-amz-date", "x-amz-content-sha256", "x-amz-security-token")),
    VALUES,
    max_size=6,
)
QUERIES = st.lists(st.tuples(st.text(UTF8, max_size=10), st.text(UTF8, max_size=20)), max_size=5)
MOMENTS = st.integers(calendar.timegm((2020, 1, 1, 0, 0, 0)), calendar.timegm((2040, 1, 1, 0, 0, 0)))


def headers_of(lines: str) -> dict[str, str]:
    assert lines.endswith("\r\n")
    return dict(line.split(": ", 1) for line in lines.split("\r\n")[:-1])


def signed_by_botocore(
    method: str, path: str, query: str, headers: dict[str, str], body: bytes, now: int, credentials: Credentials
) -> str:
    url = f"http://{HOST}{path}{'?' + query if query else ''}"
    request = botocore.awsrequest.AWSRequest(method=method, url=url, headers=headers, data=body)
    signer = botocore.auth.S3SigV4Auth(
        botocore.credentials.Credentials(credentials.access_key, credentials.secret_key, credentials.session_token),
        "s3",
        "eu-central-1",
    )
    with mock.patch("botocore.auth.get_current_datetime", return_value=datetime.fromtimestamp(now, UTC)):
        signer.add_auth(request)
    return str(request.headers["Authorization"])


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["GET", "PUT", "HEAD", "POST", "DELETE"]),
    KEYS,
    QUERIES,
    HEADERS,
    st.binary(max_size=30),
    MOMENTS,
    st.none() | WORDS,
)
@example("PUT", "a//b/./../c+%20 é😀\x01", [("prefix", "a+b &")], {"x-amz-meta-m": "a  b"}, b"", 1700000000, "token")
def test_a_signature_is_botocores_signature(
    method: str,
    key: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    now: int,
    token: str | None,
) -> None:
    credentials = Credentials("AKID", "SECRET/+", token)
    path, encoded = f"/bucket/{encode_key(key)}", encode_query(query)
    payload = EMPTY_SHA256 if not body else hashlib.sha256(body).hexdigest()
    signer = Signer("eu-central-1", lambda: credentials, lambda: now + 0.5)
    ours = headers_of(signer.sign(method, path, encoded, {"host": HOST, **headers}, payload))
    theirs = signed_by_botocore(method, path, encoded, headers, body, now, credentials)
    assert ours["authorization"] == theirs
    assert ours.get("x-amz-security-token") == token
    assert {name: ours[name] for name in headers} == headers


def test_the_key_rolls_over_with_the_day_and_with_the_secret() -> None:
    now = [float(calendar.timegm((2026, 11, 20, 23, 59, 59)))]
    credentials = [Credentials("AKID", "one")]
    signer = Signer("eu-central-1", lambda: credentials[0], lambda: now[0])
    for step, secret in ((0, "one"), (1, "one"), (1, "two"), (86400, "two")):
        now[0] += step
        credentials[0] = Credentials("AKID", secret)
        ours = headers_of(signer.sign("GET", "/bucket", "", {"host": HOST}, EMPTY_SHA256))
        assert ours["authorization"] == signed_by_botocore("GET", "/bucket", "", {}, b"", int(now[0]), credentials[0])


def test_credentials_are_asked_for_once_per_second() -> None:
    calls = []
    now = [1700000000.0]

    def credentials() -> Credentials:
        calls.append(now[0])
        return Credentials("AKID", "SECRET")

    signer = Signer("eu-central-1", credentials, lambda: now[0])
    for now[0] in (1700000000.0, 1700000000.3, 1700000000.9, 1700000001.0):
        signer.sign("GET", "/bucket", "", {"host": HOST}, EMPTY_SHA256)
    assert calls == [1700000000.0, 1700000001.0]


@given(KEYS)
def test_an_encoded_key_is_ascii_and_decodes_to_the_key(key: str) -> None:
    encoded = encode_key(key)
    assert unquote(encoded, errors="strict") == key
    assert encoded.isascii() and encoded.isprintable()
    assert not set(encoded) & set(' ?#+&="<>\\')
    assert encoded.count("/") == key.count("/")


@given(KEYS)
def test_a_copy_source_is_encoded_as_botocore_does_it(key: str) -> None:
    assert encode_copy_source("bucket", key) == quote(f"bucket/{key}", safe="-._~/")


def test_the_clock_is_utc() -> None:
    signer = Signer("eu-central-1", lambda: Credentials("AKID", "SECRET"), lambda: 0.0)
    signed = signer.sign("GET", "/", "", {"host": HOST}, EMPTY_SHA256)
    assert headers_of(signed)["x-amz-date"] == "19700101T000000Z"

"""Pages of a listing: their content, and that pattern and XML parser read the same."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rehome.s3.listing import page as reading
from rehome.s3.listing.page import Listed, Page, parse_any_page, parse_page

from tests.unit.s3.list_pages import NAMESPACE, entry, page


def keys(body: bytes) -> list[str]:
    return list(parse_page(body).keys)


def both(body: bytes) -> Page:
    """Parse a page in both ways, which must return the same."""
    quickly, surely = parse_page(body), parse_any_page(body)
    assert list(quickly) == list(surely)
    assert quickly.next_token == surely.next_token
    return quickly


@pytest.fixture
def only_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(body: bytes) -> Page:
        raise AssertionError("the page was left to the XML parser")

    monkeypatch.setattr(reading, "parse_any_page", refuse)


@pytest.mark.parametrize("namespace", [NAMESPACE, ""])
def test_an_entry_has_all_its_parts(namespace: str) -> None:
    found = both(page(entry("a", 7, "&#34;abc-2&#34;"), namespace=namespace, token="t/+&amp;1"))
    assert list(found) == [Listed("a", 7, "abc-2", "2026-01-02T03:04:05.000Z", "STANDARD", "", "")]
    assert found.next_token == "t/+&1"


def test_encoded_keys_are_decoded_as_s3_means_them() -> None:
    body = page(*map(entry, ("a+b", "a%2Bb", "a%20b", "a%2520b", "%C3%A9%F0%9F%98%80", "a%01b", "%2F%2F")))
    assert keys(body) == ["a b", "a+b", "a b", "a%20b", "é😀", "a\x01b", "//"]
    assert keys(page(*map(entry, ("a%0Ab", "%0a", "c")))) == ["a\nb", "\n", "c"]


def test_keys_of_a_server_that_does_not_encode_are_taken_as_they_are() -> None:
    assert keys(page(entry("a+b%20c &amp; d"), encoding="")) == ["a+b%20c & d"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"<ListBucketResult><Contents>",
        page(entry("a"))[:-30],
        page("<Contents><Key>a</Key></Contents>"),
        page(entry("a"), "<Contents><Key>a</Key></Contents>"),
        page(entry("%FF")),
        page(entry("a"), entry("b").replace("</Size>", "</size>")),
        page(entry("a"), "<", entry("b")),
        page(entry("a"), "</ListBucketResult>", entry("b")),
        page(entry("a")).replace(b"<IsTruncated>false", b"<IsTruncated>true"),
        b'<?xml version="1.0" encoding="unheard-of"?><ListBucketResult/>',
    ],
)
def test_what_is_no_whole_listing_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        parse_page(body)


ARCHIVED = "<RestoreStatus><IsRestoreInProgress>{}</IsRestoreInProgress>{}</RestoreStatus>"
EXPIRY = "<RestoreExpiryDate>2026-02-01T00:00:00.000Z</RestoreExpiryDate>"


def test_an_archived_object_says_whether_it_is_restored(only_quickly: None) -> None:
    body = page(
        entry("a"),
        entry("b", more=ARCHIVED.format("true", "")),
        entry("c", more=ARCHIVED.format("false", EXPIRY)),
        entry("d", more=ARCHIVED.format("false", "")),
    )
    assert list(parse_page(body).restores) == ["", "in_progress", "restored", ""]
    assert list(parse_any_page(body)) == list(parse_page(body))


MINIO = (
    "<Contents><Key>a%2Fb.png</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&#34;e&#34;</ETag>"
    "<Size>1</Size><Owner><ID>02d6</ID><DisplayName>minio</DisplayName></Owner><StorageClass>STANDARD</StorageClass>"
    "<UserMetadata></UserMetadata></Contents>"
)
SEAWEEDFS = (
    "<Contents><ETag>&#34;e&#34;</ETag><Key>a/b.png</Key><Owner><ID>1</ID></Owner><Size>1</Size>"
    "<StorageClass>STANDARD</StorageClass><LastModified>2026-01-02T03:04:05Z</LastModified></Contents>"
)
AWS = entry("a/b.png", more="<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>")


@pytest.mark.parametrize("entries", [(AWS, entry("old")), (entry("old"), AWS), (MINIO, MINIO), (SEAWEEDFS,)])
def test_pages_of_the_usual_servers_are_read_quickly(entries: tuple[str, ...], only_quickly: None) -> None:
    assert len(parse_page(page(*entries))) == len(entries)
    assert list(parse_any_page(page(*entries))) == list(parse_page(page(*entries)))


@pytest.mark.parametrize(
    "body",
    [
        page(entry("a") + "\n", entry("b")),
        page(entry("a"), "<CommonPrefixes><Prefix>b</Prefix></CommonPrefixes>", entry("c")),
        page(f"<!-- {entry('not there')} -->", entry("b")),
        page(f"<!-- {entry('not there')} -->"),
        page(f"<X>{entry('too deep')}</X>"),
        page(entry("a"), f"<X>{entry('too deep')}</X>", entry("b")),
        page(f"<![CDATA[{entry('text')}]]>", entry("b")),
        page(entry("a"), SEAWEEDFS, MINIO),
        page(entry("a").replace("<Size>", "<Size><!-- -->")),
        page(entry("a", more="<Size>7</Size>"), entry("b")),
        page(entry("a", more="<Owner><Key>no</Key></Owner>"), entry("b", more="<X><Y><Key>no</Key></Y></X>")),
        page(entry("a").replace("<StorageClass>STANDARD</StorageClass>", ""), entry("b")),
        page(entry("a").replace("STANDARD", ""), entry("b")),
        page(entry("a&amp;b&#x41;"), entry("b")),
        page(entry("a", etag="e"), entry("b", etag='"e"'), entry("c", etag="&quot;&quot;e&quot;")),
        page(entry("é"), encoding=""),
        page(entry("a")).replace(b"UTF-8", b"ISO-8859-1").replace(b">a<", b">\xe9<"),
        page(entry("+a%2bv")).replace(b"UTF-8", b"US-ASCII"),
        page(entry("a")).replace(b"Contents>", b"x:Contents>").replace(b"xmlns=", b'xmlns:x="u" xmlns='),
        b'<!DOCTYPE ListBucketResult [<!ENTITY e "x">]>' + page(entry("&e;"))[39:],
        page(),
    ],
)
def test_odd_pages_say_what_an_xml_parser_says(body: bytes) -> None:
    both(body)


def plain(key: str) -> str:
    return escape(key, {"\r": "&#13;"})


ENCODINGS: list[tuple[str, Callable[[str], str]]] = [
    ("url", quote_plus),
    ("url", lambda key: quote(key, safe="/")),
    ("url", lambda key: "".join(f"%{byte:02x}" for byte in key.encode())),
    ("", plain),
]
CHARACTERS = st.characters(exclude_categories=["Cs"])
IN_XML = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff", include_characters="\t\n\r")
MORE = st.sampled_from(
    ["", AWS[AWS.index("<Check") : AWS.index("<Size>")], ARCHIVED.format("true", ""), "<New>a</New>"]
)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), encoding=st.sampled_from(ENCODINGS), token=st.none() | st.text("ab/+=", min_size=1))
def test_every_page_says_what_an_xml_parser_says(
    data: st.DataObject, encoding: tuple[str, Callable[[str], str]], token: str | None
) -> None:
    name, encode = encoding
    found = data.draw(st.lists(st.text(CHARACTERS if name else IN_XML, min_size=1, max_size=8), max_size=12))
    entries = [entry(encode(key), data.draw(st.integers(0, 2**43)), more=data.draw(MORE)) for key in found]
    assert list(both(page(*entries, encoding=name, token=token)).keys) == found


@settings(max_examples=150, deadline=None)
@given(
    at=st.integers(0, 600),
    cut=st.integers(0, 40),
    put=st.sampled_from([b"", b"<", b"&", b"</Key>", entry("x").encode()]),
)
def test_a_damaged_page_is_refused_or_read_as_an_xml_parser_reads_it(at: int, cut: int, put: bytes) -> None:
    whole = page(entry("a"), entry("b"))
    body = whole[:at] + put + whole[at + cut :]
    try:
        parse_any_page(body)
    except ValueError:
        with pytest.raises(ValueError):
            parse_page(body)
    else:
        both(body)


def test_a_page_is_cut_and_sifted_in_all_its_columns() -> None:
    whole = Page.of([Listed(key, size, "e", "t", "c") for size, key in enumerate("abcd")], "token")
    assert [(one.key, one.size) for one in whole.slice(1, 3)] == [("b", 1), ("c", 2)]
    assert [(one.key, one.size) for one in whole.select([True, False, False, True])] == [("a", 0), ("d", 3)]
    assert whole.slice(1, 3).next_token == whole.select([False] * 4).next_token == "token"
    assert len(Page.of([])) == 0

"""No key, value or message can be anything but text in the report."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rehome.report.markdown import LONGEST, code, one_line, words

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = st.text(st.sampled_from("|`\\<>[]()!*_~#&;:/.@+-= \n\r\tabhtps1\u202e\u2066\u200b\x00\x1b\ud800\U000e0041é"))
TEXTS = st.one_of(
    HOSTILE, st.text(), st.sampled_from(["<script>x</script>", "![a](http://b)", "&lt;", "a\n\n# b", "| |"])
)
ESCAPES = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")


def inline(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens if token.type == "inline" for child in token.children or []]


def unescaped(text: str) -> str:
    return ESCAPES.sub(lambda found: chr(int(found[1] or found[2] or found[3], 16)), text)


def assert_shows(markdown: str) -> None:
    hidden = [c for c in markdown if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co")]
    assert hidden == []


@given(TEXTS)
def test_a_key_in_a_table_stays_in_its_cell_as_it_is(key: str) -> None:
    markdown = f"| a | b |\n|---|---|\n| {code(key)} | end |\n"
    assert_shows(markdown)
    tokens = MARKDOWN.parse(markdown)
    assert [token.type for token in tokens].count("td_open") == 2
    cells = [token for token in tokens if token.type == "inline"][2:]
    if key:
        (only,) = cells[0].children or []
        assert only.type == "code_inline"
        if len(key) <= LONGEST:
            assert unescaped(only.content) == key
    assert cells[1].content == "end"


@given(TEXTS)
@example("Grant it: GRANT SELECT ON `a|b`.`c` TO '<b>'@'%'; GRANT UPDATE (`x\n`) ON t TO u. Then run")
@example("DROP TABLE `")
@example(" -")
def test_a_message_is_nothing_but_text_and_code(message: str) -> None:
    for frame in ("- {}\n", "| {} |\n|---|\n| {} |\n", "{}\n"):
        markdown = frame.format(words(message), words(message))
        assert_shows(markdown)
        tokens = MARKDOWN.parse(markdown)
        kinds = {token.type for token in inline(tokens)}
        assert kinds <= {"text", "code_inline"}
        blocks = {token.type.removesuffix("_open").removesuffix("_close") for token in tokens}
        assert blocks <= {
            "bullet_list",
            "list_item",
            "paragraph",
            "inline",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
        }
        assert [token.type for token in tokens].count("bullet_list_open") == frame.startswith("-")


@given(TEXTS)
@example("x\n```\n# heading")
def test_a_command_does_not_leave_its_block(command: str) -> None:
    markdown = f"```\nansible-playbook {one_line(command)}\n```\n\nend\n"
    tokens = MARKDOWN.parse(markdown)
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("image/a.png", "`image/a.png`"),
        ("a|b", r"`a\x7cb`"),
        ("a\nb\\", r"`a\x0ab\x5c`"),
        ("evil\u202egnp.exe", r"`evil\u202egnp.exe`"),
        (" two  spaces ", r"`\x20two \x20spaces\x20`"),
        ("`app`.`avatars`", "`` `app`.`avatars` ``"),
        ("", "(empty)"),
        ("ü/日本.png", "`ü/日本.png`"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert code(text) == shown


def test_a_key_of_a_kilobyte_is_shown_by_its_beginning_and_its_end() -> None:
    shown = code(f"image/{'x' * 1000}/end.png")
    assert len(shown) < LONGEST + 10
    assert shown.startswith("`image/xxx") and shown.endswith("xxx/end.png`") and "…" in shown


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("rehome_on_conflict (fail): 3 objects", "`rehome_on_conflict` (fail): 3 objects"),
        ("see https://evil.example/x now", "see `https://evil.example/x` now"),
        ("ask www.evil.example", "ask `www.evil.example`"),
        ("<b>bold</b>", "`<b>bold</b>`"),
        ("1. no list", "`1`. no list"),
        ("off: `retire` will refuse", "off: `retire` will refuse"),
    ],
)
def test_a_word_that_means_something_to_markdown_becomes_code(sentence: str, shown: str) -> None:
    assert words(sentence) == shown


def test_a_statement_of_sql_stays_whole_to_be_pasted() -> None:
    statement = "SELECT * FROM `information_schema`.`key_column_usage` WHERE `table_name` = 'avatars'"
    shown = words(f"hidden from this user. Let an administrator look: {statement}; GRANT SELECT ON `a` TO 'b'@'%'")
    (first, second) = [token.content for token in inline(MARKDOWN.parse(shown)) if token.type == "code_inline"]
    assert (first, second) == (statement, "GRANT SELECT ON `a` TO 'b'@'%'")

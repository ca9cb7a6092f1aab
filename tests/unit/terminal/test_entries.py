"""The lines that stay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rehome_terminal.entries import (
    diff_entry,
    error_entry,
    message_entry,
    output_of,
    recap_entry,
    stage_entry,
    warning_entry,
)
from rehome_terminal.printer import is_ascii_only
from rehome_terminal.signs import readable
from rich.cells import cell_len

AT = "14:00:00 UTC"
DID = "1,000 objects copied (531.1 KiB) in 3.1 s"


def test_a_stage_is_one_line_and_the_texts_of_several_stand_below_each_other() -> None:
    assert stage_entry(AT, "copy · pass 2", DID, 80).plain == f"{AT}  copy · pass 2   {DID}"
    assert stage_entry(AT, "verify", DID, 80).plain.index(DID) == stage_entry(AT, "copy · pass 2", DID, 80).plain.index(
        DID
    )


def test_without_a_terminal_it_is_one_line_however_long() -> None:
    assert "\n" not in stage_entry(AT, "copy", f"{DID}, " * 30, None).plain


def test_on_a_narrow_terminal_the_text_is_below_the_name_and_the_time_in_one_piece() -> None:
    assert stage_entry(AT, "copy · pass 2", DID, 40).plain.splitlines() == [
        f"{AT}  copy · pass 2",
        "  1,000 objects copied (531.1 KiB)",
        "  in 3.1 s",
    ]


@given(st.integers(min_value=40, max_value=250), st.lists(st.text("abcß漢", min_size=1, max_size=9), max_size=30))
def test_no_line_of_a_stage_is_wider_than_the_terminal(width: int, words: list[str]) -> None:
    for line in stage_entry(AT, "copy · pass 12", " ".join(words), width).plain.splitlines():
        assert cell_len(line) < width


CARD = """\
avatars: migrate, s3://legacy-s3/image/ → s3://production-s3/avatar/
checked  1,000 of 1,000 objects and 1,000 of 1,000 rows verified; journal: 1,000 rows, all as rewritten
human    3 rows name an object that is in neither bucket
         2 rows in a form that no reference has: add one, if they move
lists    rows-dangling 3 in /srv/rehome/state/of/a/long/name/that/does/not/end/rehome-staging/lists/
next:    Once it is approved, carry out exactly this plan; what has changed since is refused:
         .venv/bin/ansible-playbook playbooks/migrate.yml -e env=sandbox -i inventory -e approved_plan=d0d87fc7
- {table: avatars, column: path, form: key} and what else a line without a label may have to be pasted from"""


def test_a_card_is_broken_between_words_and_goes_on_below_its_text_but_what_is_pasted_stays_whole() -> None:
    lines = message_entry(CARD, 80).plain.splitlines()
    assert lines[1:3] == [
        "checked  1,000 of 1,000 objects and 1,000 of 1,000 rows verified; journal:",
        "         1,000 rows, all as rewritten",
    ]
    assert "         /srv/rehome/state/of/a/long/name/that/does/not/end/rehome-staging/lists/" in lines
    assert "         since is refused:" in lines
    assert lines[-2:] == CARD.splitlines()[-2:]
    assert message_entry(CARD, None).plain == CARD


@given(st.integers(min_value=20, max_value=200))
def test_a_card_loses_no_word_whatever_the_width(width: int) -> None:
    assert message_entry(CARD, width).plain.split() == CARD.split()


def test_an_error_begins_with_its_own_words_and_keeps_its_lines() -> None:
    assert error_entry("rehome_name (x): is taken.\nTake another.\n").plain == (
        "error: rehome_name (x): is taken.\nTake another."
    )
    assert error_entry("interrupted: migrate was stopped").plain == "interrupted: migrate was stopped"
    assert error_entry("it broke off", ["so far:", "  1 row"]).plain == "error: it broke off\nso far:\n  1 row"
    assert warning_entry("slow\n").plain == "warning: slow"


def test_what_a_failed_program_printed_is_below_the_error_if_it_is_something() -> None:
    assert output_of({"stderr": "no\nway\n", "stdout": " ", "rc": 3}, ("stderr", "stdout")) == [
        "stderr:",
        "  no",
        "  way",
    ]


def test_the_recap_is_one_line_that_always_has_what_changed_and_what_failed() -> None:
    assert recap_entry("db-1", {"ok": 4, "changed": 0, "skipped": 2, "rescued": 0, "failed": 0}).plain == (
        "recap  db-1 : ok=4 changed=0 skipped=2 failed=0"
    )


def test_a_difference_that_ansible_has_colored_is_shown_in_colors_and_not_as_their_codes() -> None:
    red, green, end = "\x1b[0;31m", "\x1b[0;32m", "\x1b[0m"
    colored = f"{red}-image/1.png{end}\n{red}{end}{green}+avatar/1.png{end}\n{green}{end}\n"
    entry = diff_entry(colored)
    assert entry.plain == "-image/1.png\n+avatar/1.png"
    assert [span.style for span in entry.spans if span.style] == ["red", "green"]
    assert diff_entry("-image/1.png\n+avatar/1.png\n").plain == entry.plain


def test_a_key_cannot_command_the_terminal() -> None:
    assert readable("a\x1b[2Jb\rc\x9bd\ne\tf") == "a\\x1b[2Jb\\rc\\x9bd\ne       f"
    assert readable("a → b · c…", ascii_only=True) == "a -> b - c..."


def test_a_terminal_has_ascii_only_if_the_operator_s_locale_says_so_whatever_python_makes_of_it() -> None:
    assert is_ascii_only({}, "ascii")
    assert is_ascii_only({"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, "utf-8")
    assert is_ascii_only({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "utf-8"), "Python has set LC_CTYPE"
    assert not is_ascii_only({"LANG": "de_DE.UTF-8"}, "utf-8")
    assert not is_ascii_only({"LC_ALL": "C.UTF-8"}, "utf-8")
    assert not is_ascii_only({}, "utf-8"), "containers set nothing"

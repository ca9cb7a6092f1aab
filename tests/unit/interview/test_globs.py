from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interview import globs

AVATARS = [f"avatar-{number}.png" for number in range(90)]


def test_what_differs_from_one_key_to_the_next_becomes_a_star() -> None:
    uuids = ["0a1b2c3d-1111-4222-8333-0123456789ab.jpg", "ffffeeee-1111-4222-8333-aaaabbbbcccc.jpg"]
    assert globs.propose(uuids)[0] == ("*.jpg", 2)
    assert globs.propose([f"2026/{month:02}/photo_{month}.webp" for month in range(1, 13)])[0] == (
        "*/*/photo_*.webp",
        12,
    )


def test_of_globs_that_select_about_as_many_the_one_that_says_more_is_proposed_first_and_all_last() -> None:
    proposals = globs.propose([*AVATARS, "logo.png", "readme.txt"])
    assert proposals[0] == ("avatar-*.png", 90)
    assert proposals[1] == ("*.png", 91)
    assert proposals[-1] == ("*", 92)


def test_a_rare_shape_is_no_proposal() -> None:
    assert [one.glob for one in globs.propose([*AVATARS, *AVATARS, "x.txt"])] == ["avatar-*.png", "*.png", "*"]


def test_a_key_with_the_letters_of_a_glob_is_no_glob() -> None:
    assert [one.glob for one in globs.propose(["a[1].png", "b?.png"])] == ["*.png", "*"]


def test_nothing_there_proposes_all() -> None:
    assert globs.propose([]) == [("*", 0)]


def test_a_line_of_globs_has_quotes_where_there_are_spaces() -> None:
    assert globs.split('avatar-*.png "my file*.png" [!x]*') == ["avatar-*.png", "my file*.png", "[!x]*"]


@given(
    st.lists(
        st.text(st.characters(blacklist_characters='"', blacklist_categories=("Cs", "Cc", "Zl", "Zp"))).filter(
            lambda text: text.strip() == text
        ),
        min_size=1,
    )
)
def test_what_is_joined_is_split_into_the_same(patterns: list[str]) -> None:
    assert globs.split(globs.join(patterns)) == patterns


@given(st.lists(st.text(max_size=12), max_size=30))
def test_a_proposal_says_how_many_keys_it_selects(suffixes: list[str]) -> None:
    for proposal in globs.propose(suffixes):
        assert proposal.selected == globs.count(suffixes, [proposal.glob])

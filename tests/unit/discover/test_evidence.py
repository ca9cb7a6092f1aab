"""What the values of a column add up to."""

from __future__ import annotations

import json

from rehome.config.settings import Side
from rehome.discover.evidence import MAX_FORMS, OTHER_FORMS, Evidence
from rehome.discover.recognise import Recogniser

SOURCE = Side("source", "legacy-s3", "image/", endpoint_url="https://s3.example.com", region="eu-1")
recognise = Recogniser(SOURCE, "image/", ("*",), ())


def evidence(*values: str, cut: bool = False) -> Evidence:
    found = Evidence()
    for value in values:
        found.add(value, recognise(value, cut=cut), cut=cut)
    return found


def test_the_most_frequent_form_comes_first() -> None:
    forms = evidence("image/a.png", "/image/a.png", "/image/b.png").found_forms()
    assert [(form.form, form.rows) for form in forms] == [("/key", 2), ("key", 1)]


def test_examples_show_no_secret_and_no_more_of_a_text_than_what_is_around_the_name() -> None:
    text = "Dear Bob, " + "private " * 100 + '<img src="https://bob:pw@x/image/a.png?sig=SECRET"> ' + "private " * 100
    (form,) = evidence(text).found_forms()
    (example,) = form.examples
    assert "image/a.png" in example
    assert len(example) < 250
    for secret in ("SECRET", "pw@", "Dear Bob"):
        assert secret not in example


def test_neither_a_form_nor_an_example_shows_a_password() -> None:
    (url,) = evidence("https://bob:pw@x/image/a.png?sig=SECRET").found_forms()
    assert url.examples == ("https://…@x/image/a.png?…",)
    assert url.form is None
    assert "pw" not in url.words


def test_many_forms_are_counted_as_one() -> None:
    found = evidence(*(f"https://cdn-{number}.example/image/a.png" for number in range(MAX_FORMS + 5)))
    assert len(found.counts) == MAX_FORMS + 1
    assert found.counts[OTHER_FORMS] == 5


def test_media_types_and_what_a_listing_lacks_are_a_may() -> None:
    assert evidence("image/png", "image/jpeg").judged(None)[0] == "may"
    assert evidence("image/a.png").judged(None)[0] == "names"
    assert evidence("image/a.png").judged(lambda groups: [False] * len(groups))[0] == "may"
    assert evidence("image/png").judged(lambda groups: [True] * len(groups))[0] == "names"
    assert evidence().judged(None)[0] == "none"


def test_a_part_of_a_long_value_that_tells_nothing_is_a_may() -> None:
    found = evidence("an image/", cut=True)
    assert found.judged(None)[0] == "may"
    assert found.judged(lambda groups: [False] * len(groups))[0] == "may"


def test_it_can_be_kept_and_gone_on_with() -> None:
    found = evidence("image/a.png", "x\nimage/b.png")
    again = Evidence.of_dict(json.loads(json.dumps(found.as_dict())))
    assert again == found
    again.add("image/a.png", recognise("image/a.png"), cut=False)
    assert again.counts["key"] == 2

"""The drawn avatars are real images, each different, and the same every time."""

from __future__ import annotations

import io

from PIL import Image

from sandbox.seed import avatars


def test_an_avatar_is_a_png_of_the_same_bytes_every_time() -> None:
    drawn = avatars.draw(7)
    with Image.open(io.BytesIO(drawn)) as image:
        image.load()
        assert (image.format, image.size) == ("PNG", (80, 80))
    assert avatars.draw(7) == drawn
    assert 400 < len(drawn) < 800


def test_avatars_differ() -> None:
    assert len({avatars.draw(number) for number in range(1, 501)}) == 500


def test_every_tenth_avatar_has_tags() -> None:
    tagged = [number for number in range(1, 31) if "x-amz-tagging" in avatars.headers(number)]
    assert tagged == [10, 20, 30]

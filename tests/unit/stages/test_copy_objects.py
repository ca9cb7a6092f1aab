from __future__ import annotations

import pytest
from rehome.s3.errors import ENDPOINT_DEAD, S3StopError
from rehome.stages.copy_objects import _way_out


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (ENDPOINT_DEAD, "can be reached"),
        ("ExpiredToken", "renew the credentials"),
        ("QuotaExceeded", "Make room"),
        ("AccessDenied", "may read the source and write the target"),
    ],
)
def test_a_copy_that_cannot_go_on_says_what_is_to_be_done_about_it(code: str, words: str) -> None:
    assert words in _way_out(S3StopError(403, code, "no", "image/a.png"))

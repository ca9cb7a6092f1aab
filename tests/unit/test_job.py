from __future__ import annotations

import pytest
from rehome.job import LONGEST, job_words, read_job

TOLD = {
    "id": "42",
    "user": "alice",
    "project_revision": "8fb95ea",
    "template": "Rehome: migrate",
    "workflow_id": "41",
}


def test_a_job_is_what_awx_tells_of_it() -> None:
    assert read_job(TOLD) == TOLD
    assert job_words(read_job(TOLD)) == "job 42 of alice"


@pytest.mark.parametrize("given", [None, {}, {"id": None, "user": "alice"}, {"id": " "}])
def test_without_an_id_there_is_no_job(given: dict[str, object] | None) -> None:
    assert read_job(given) is None
    assert job_words(read_job(given)) == ""


def test_a_job_of_a_schedule_has_no_user() -> None:
    job = read_job({"id": 7, "user": ""})
    assert job == dict.fromkeys(TOLD) | {"id": "7"}
    assert job_words(job) == "job 7"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("alice\nproblem  none\r\n", "alice problem none"),
        ("mallory; app: s3://a/ to s3://b/", "mallory? app: s3://a/ to s3://b/"),
        ("\x1b[2Jalice\x07", "?[2Jalice?"),
        ("jürgen\u202e", "j\\xfcrgen\\u202e"),
        ("CORP\\ann", "CORP\\ann"),
        ("x" * 5000, "x" * LONGEST),
    ],
)
def test_what_would_break_a_line_or_the_journal_is_not_taken_over(given: str, kept: str) -> None:
    job = read_job({"id": given, "user": given})
    assert job is not None
    assert (job["id"], job["user"]) == (kept, kept)

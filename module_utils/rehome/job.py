"""Who runs this: the user, and the job of AWX, AAP or Tower by its extra variables. Labels, which prove nothing."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from typing import TypedDict

SEPARATOR = ";"
"""What separates the parts of an entry's author in the journal, so that no part may contain it."""
LONGEST = 100
"""Characters that are kept of a value."""


class Job(TypedDict):
    """The job that a run is. Each value is one line of printable ASCII, of at most `LONGEST` characters.

    None: not told. A job that a schedule has launched has no user.
    """

    id: str
    user: str | None
    project_revision: str | None
    template: str | None
    workflow_id: str | None


def read_job(given: Mapping[str, object] | None) -> Job | None:
    """Return the job that is given by the names of `Job`; None if there is no id, as outside of AWX.

    Whoever launches a job may set these variables: what would break a line, a message or the journal is replaced.
    """
    told = {name: _plain(value) for name, value in (given or {}).items()}
    if not (number := told.get("id")):
        return None
    return Job(
        id=number,
        user=told.get("user"),
        project_revision=told.get("project_revision"),
        template=told.get("template"),
        workflow_id=told.get("workflow_id"),
    )


def user_name() -> str:
    """Return the user of this process, as people know it: containers run as users that have no name there."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # before Python 3.13, and since
        return f"user {os.getuid()}"


def job_words(job: Job | None) -> str:
    """Return which job it is and who has launched it, for a message; empty if there is none."""
    if job is None:
        return ""
    return f"job {job['id']}{' of ' + job['user'] if job['user'] else ''}"


def _plain(value: object) -> str | None:
    if value is None:
        return None
    text = " ".join(str(value).split()).encode("ascii", "backslashreplace").decode()
    shown = "".join("?" if not one.isprintable() or one == SEPARATOR else one for one in text)
    return shown[:LONGEST] or None

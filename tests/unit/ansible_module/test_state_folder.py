"""What is told of a state folder that fails."""

from __future__ import annotations

import errno
import os

import pytest
from rehome import duckdb_engine as duckdb
from rehome.ansible_module.run import _of_state_folder

WAY_OUT = "Make room there, then run the same command again: it goes on from here [RH-403]"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_has_a_way_out(number: int) -> None:
    words = os.strerror(number)
    for error in (OSError(number, words), duckdb.Error(f"IO Error: Could not write file: {words}")):
        told = _of_state_folder("/state", error)
        assert told.startswith("rehome_state_dir (/state): ")
        assert words in told
        assert told.endswith(WAY_OUT)


def test_another_error_of_the_folder_is_told_as_it_is() -> None:
    error = PermissionError(errno.EACCES, "Permission denied")
    assert _of_state_folder("/state", error) == "rehome_state_dir (/state): [Errno 13] Permission denied [RH-403]"

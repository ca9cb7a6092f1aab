"""A refusal for another migration's entries in the journal says whose they are."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rehome.config.settings import Settings
from rehome.errors import RefusedError
from rehome.preflight.preflight import _check_journal

from tests.integration.db.conftest import Bench
from tests.integration.db.rows import Rows


@pytest.fixture
def rows(bench: Bench, tmp_path: Path) -> Iterator[Rows]:
    bench.create()
    made = Rows(bench, tmp_path)
    yield made
    made.close()


def refusal(rows: Rows, settings: Settings) -> str:
    return " ".join(map(str, _check_journal(rows.database, settings)))


def set_author(rows: Rows, text: str) -> None:
    table = "rehome_journal" if rows.bench.engine == "sqlite" else "rehome.journal"
    rows.bench.rehome_execute(f"UPDATE {table} SET written_by = '{text}' WHERE migration = '{rows.name}'")


def test_the_refusal_of_a_name_that_is_taken_says_of_what_when_and_by_whom(rows: Rows) -> None:
    rows.bench.fill("image/avatar-1.png", "image/avatar-2.png")
    made = rows.settings()
    assert not refusal(rows, made)
    rows.migrate()
    assert not refusal(rows, made)
    other = replace(made, source=replace(made.source, bucket="logos"), exclude=("x*",))
    user = getpass.getuser()
    who = re.escape(f"{user}@{socket.gethostname()} pid {os.getpid()}")
    whose = (
        rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC by {who}, 2 rows of {rows.bench.table}\.path "
        rf"\({re.escape(made.place)}\)\. These settings are for {re.escape(other.place)}"
    )
    told = refusal(rows, other)
    assert f"rehome_name ({made.name}): the journal holds changes that were made under this name with other" in told
    assert re.search(whose, told), told
    assert f"s3://{made.source.bucket}/" in told
    assert "s3://logos/" in told
    with pytest.raises(RefusedError, match=whose):
        rows.plan(other)


def test_entries_of_an_earlier_version_are_told_by_a_value_that_they_changed(rows: Rows) -> None:
    rows.bench.fill("image/avatar-1.png")
    rows.migrate()
    set_author(rows, "ann@ops1 job 17")
    told = refusal(rows, replace(rows.settings(), include=("*",)))
    assert "UTC by ann@ops1 job 17, 1 rows of" in told
    assert "(such as image/avatar-1.png to avatar/avatar-1.png)" in told
    assert not refusal(rows, rows.settings())


def test_two_databases_of_one_server_do_not_share_a_name(rows: Rows) -> None:
    rows.bench.fill("image/avatar-1.png")
    rows.migrate()
    made = rows.settings()
    other = replace(made, database=replace(made.database, name="another_app"))
    if rows.bench.engine in ("mariadb", "mysql"):
        told = refusal(rows, other)
        assert "under this name in another database of the server" in told
        assert f"({made.place})" in told
    else:
        # a journal of its own
        assert not refusal(rows, other)

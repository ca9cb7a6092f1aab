"""How a scan classifies a column's values: under the map, under it in another form, too long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rehome.catalog.catalog import Catalog
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.planning.plan import make_plan, warnings_of_other_forms
from rehome.progress import Progress
from rehome.run import Run
from rehome.scan.rows import MAX_FORMS, read_rows

from tests.integration.db.conftest import Bench
from tests.integration.db.test_rewrite import only
from tests.unit.config.test_settings import given


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.create(tmp_path / "catalog.duckdb", {}) as made:
        yield made


def settings_for(bench: Bench, tmp_path: Path, **reference: Any) -> Settings:
    references = [{"table": bench.table, "column": "path"} | reference]
    database = bench.rehome_database()
    return read_settings(given(database=database, references=references, state_dir=str(tmp_path)))


def read(settings: Settings, catalog: Catalog, tmp_path: Path) -> int:
    foreign = read_rows(Run(settings, catalog, Progress(tmp_path)))
    catalog.note("rows_foreign", foreign)
    return foreign


def test_rows_are_in_the_catalog_with_their_keys_and_the_suffixes_of_their_objects_keys(
    bench: Bench, catalog: Catalog, tmp_path: Path
) -> None:
    bench.create()
    bench.fill("image/avatar-1.png", None, "avatar/avatar-2.png", "", "image/readme.txt", "image/avatar-é.png")
    assert read(settings_for(bench, tmp_path), catalog, tmp_path) == 3
    name = f"{bench.table}.path"
    assert catalog.query("SELECT * FROM reference_rows ORDER BY ordinal") == [
        (name, 0, "[1]", "image/avatar-1.png", "avatar-1.png", True, False),
        (name, 1, "[3]", "avatar/avatar-2.png", "avatar-2.png", False, False),
        (name, 2, "[6]", "image/avatar-é.png", "avatar-é.png", True, False),
    ]


def test_keys_of_texts_and_of_several_columns_are_json(bench: Bench, catalog: Catalog, tmp_path: Path) -> None:
    bench.create(key="a VARCHAR(9) NOT NULL, b INTEGER NOT NULL", more=", PRIMARY KEY (a, b)")
    bench.execute("INSERT INTO T VALUES (?, ?, ?)", 'é"\\', -1, "image/avatar-1.png")
    read(settings_for(bench, tmp_path), catalog, tmp_path)
    assert catalog.query("SELECT key FROM reference_rows") == [('["é\\"\\\\", -1]',)]


def test_urls_join_the_objects_that_they_name(bench: Bench, catalog: Catalog, tmp_path: Path) -> None:
    bench.create()
    text = "https://cdn.example/"
    bench.fill(f"{text}image/avatar%2D1.png?v=1", f"{text}%69mage/avatar-1.png", f"{text}image/avatar-%zz.png")
    settings = settings_for(bench, tmp_path, form={"prefix": text, "encoded": True, "query": True})
    assert read(settings, catalog, tmp_path) == 1
    assert catalog.query("SELECT DISTINCT suffix FROM reference_rows") == [("avatar-1.png",)]


def test_rows_outside_the_condition_are_not_counted(bench: Bench, catalog: Catalog, tmp_path: Path) -> None:
    bench.create()
    bench.fill("image/avatar-1.png", "image/avatar-2.png", "elsewhere")
    assert read(settings_for(bench, tmp_path, where="id = 2"), catalog, tmp_path) == 0
    assert catalog.query("SELECT key FROM reference_rows") == [("[2]",)]


def test_rows_in_another_form_are_counted_by_it_and_reported(bench: Bench, catalog: Catalog, tmp_path: Path) -> None:
    bench.create()
    urls = [f"https://cdn.example/image/avatar-{number}.png?v=2" for number in range(3)]
    bench.fill("image/avatar-1.png", "/image/avatar-1.png", *urls, "nothing/of/ours")
    settings = settings_for(bench, tmp_path)
    assert read(settings, catalog, tmp_path) == 5
    make_plan(catalog, settings)
    assert [warning.partition(";")[0] for warning in warnings_of_other_forms(catalog, settings)] == [
        f"rehome_references[0].form: 3 rows of {bench.table}.path are not under the map, but would be with the form "
        '{prefix: "https://cdn.example/", encoded: true, query: true}',
        f"rehome_references[0].form: 1 row of {bench.table}.path is not under the map, but would be with the form /key",
    ]


@only("sqlite")
def test_a_column_of_countless_hosts_is_summarized(bench: Bench, catalog: Catalog, tmp_path: Path) -> None:
    bench.create()
    bench.fill(*[f"https://host-{number}.example/image/avatar-1.png" for number in range(MAX_FORMS + 5)])
    read(settings_for(bench, tmp_path), catalog, tmp_path)
    counts = dict(catalog.query("SELECT form, count(*) FROM other_forms GROUP BY ALL"))
    assert (len(counts), counts["in yet other URLs"]) == (MAX_FORMS + 1, 5)


@only("mariadb", "postgresql")
@pytest.mark.parametrize("column", ["path VARCHAR(20)", "path TEXT"])
def test_old_values_overflow_exactly_if_their_new_ones_are_too_long(
    bench: Bench, catalog: Catalog, tmp_path: Path, column: str
) -> None:
    bench.create(column=column)
    bench.fill("image/avatar-12.png", "image/avatar-123.png", "image/avatar-1é.png", "avatar/avatar-12.png")
    read(settings_for(bench, tmp_path), catalog, tmp_path)
    found = [key for (key,) in catalog.query("SELECT key FROM reference_rows WHERE overflows ORDER BY key")]
    assert found == (["[2]"] if "VARCHAR" in column else [])
    narrow = settings_for(bench, tmp_path, form={"prefix": "", "encoded": True})
    catalog.run("DELETE FROM reference_rows")
    read(narrow, catalog, tmp_path)
    assert catalog.query("SELECT key FROM reference_rows WHERE overflows") == [(key,) for key in found]

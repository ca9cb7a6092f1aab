from __future__ import annotations

from pathlib import Path

from rehome.catalog.catalog import Catalog
from rehome.catalog.schema import RECORDS
from rehome.config.read import read_settings
from rehome.stages.retire import nothing_recorded

from tests.unit.config.test_settings import given


def test_a_folder_that_has_retired_nothing_is_told_with_the_settings_that_name_another(tmp_path: Path) -> None:
    with Catalog.open(tmp_path / "retire.duckdb") as catalog:
        catalog.run(RECORDS.create())
        (problem,) = nothing_recorded(catalog, read_settings(given()))
        assert "has no record of a delete" in problem
        assert "set rehome_name and rehome_state_dir to those of the run that deleted" in problem
        catalog.run("INSERT INTO records (key) VALUES ('image/a.png')")
        assert nothing_recorded(catalog, read_settings(given())) == []

"""The way to DuckDB that spares the import of its package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
from rehome import duckdb_engine


def test_it_is_what_the_package_exports() -> None:
    for name in set(duckdb_engine.__all__) - {"__version__"}:
        assert getattr(duckdb_engine, name) is getattr(duckdb, name)
    assert duckdb_engine.__version__ == duckdb.__duckdb_version__


def test_a_catalog_is_filled_and_read_without_the_package(tmp_path: Path) -> None:
    work = (
        "import sys; from pathlib import Path; from rehome.catalog.catalog import Catalog\n"
        f"with Catalog.create(Path({str(tmp_path)!r}) / 'c', dict(name='1')) as catalog:\n"
        "    assert catalog.metadata() == {'name': '1'}\n"
        "assert 'duckdb' not in sys.modules"
    )
    engine = str(Path(__file__).parents[2] / "module_utils")
    subprocess.run([sys.executable, "-c", work], check=True, env={"PYTHONPATH": engine})

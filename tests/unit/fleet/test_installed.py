"""A single machine has no dask, and needs none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rehome.errors import RefusedError
from rehome.fleet.installed import require_dask

ENGINE = Path(__file__).parents[3] / "module_utils"
WITHOUT_DASK = """
import sys
sys.modules["distributed"] = sys.modules["dask"] = None
import rehome.preflight.preflight, rehome.stages.copy_objects, rehome.config.read, rehome.preflight.cluster
import rehome.stages.copy_on_cluster
"""


def test_a_cluster_without_dask_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    require_dask()
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RefusedError, match=r"^rehome_cluster: .*Install requirements-cluster\.txt.*RH-110"):
        require_dask()


def test_without_a_cluster_dask_is_never_imported() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_DASK], check=True, env={"PYTHONPATH": str(ENGINE)})

"""Whether this machine has what a cluster takes and a single machine does not."""

from __future__ import annotations

from ..codes import Code
from ..config.cluster import fault
from ..errors import RefusedError


def require_dask() -> None:
    """Raise RefusedError if dask.distributed is not installed."""
    try:
        import distributed  # noqa: F401, PLC0415 - a single machine does without
    except ImportError as error:
        problem = f"dask.distributed is not installed on this machine ({error})"
        way_out = "Install requirements-cluster.txt into the environment of Ansible"
        raise RefusedError([fault("rehome_cluster", None, problem, way_out, Code.WRONG_PYTHON)]) from error

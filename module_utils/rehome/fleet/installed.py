"""Whether this machine has what a cluster takes and a single machine does not."""

from __future__ import annotations

from ..codes import Code
from ..errors import RefusedError


def require_dask() -> None:
    """Raise RefusedError if dask.distributed is not installed."""
    try:
        import distributed  # noqa: F401, PLC0415 - a single machine does without
    except ImportError as error:
        raise RefusedError.of(
            "rehome_cluster",
            None,
            f"dask.distributed is not installed on this machine ({error})",
            "Install requirements-cluster.txt into the environment of Ansible, or leave rehome_cluster unset to copy "
            "from this machine alone",
            Code.WRONG_PYTHON,
        ) from error

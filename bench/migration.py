"""A migration's settings as Ansible would pass them, for the buckets of a benchmark and no rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from rehome.ansible_module.argument_spec import ARGUMENT_SPEC

from sandbox.sqlite import SQLite

from .suite import BenchError


def side(
    endpoint_url: str,
    bucket: str,
    prefix: str,
    access_key: str = "BENCH",
    secret_key: str = "bench",  # noqa: S107 - for a server that checks no signature
    **more: object,
) -> dict[str, object]:
    """Return a `rehome_source` or `rehome_target`."""
    return {
        "bucket": bucket,
        "prefix": prefix,
        "endpoint_url": endpoint_url,
        "region": "us-east-1",
        "access_key": access_key,
        "secret_key": secret_key,
        **more,
    }


def given(folder: Path, source: dict[str, object], target: dict[str, object], **more: object) -> dict[str, Any]:
    """Return the settings with every default; the state and the empty table are in `folder`."""
    database = SQLite(folder / "app.db")
    database.up()
    validated = ArgumentSpecValidator(ARGUMENT_SPEC["settings"]["options"]).validate(
        {
            "name": "bench",
            "source": source,
            "target": target,
            "include": ["avatar-*.png"],
            "database": database.database(),
            "references": [{"table": "avatars", "column": "path", "form": "key"}],
            "state_dir": str(folder),
            **more,
        }
    )
    if validated.error_messages:
        raise BenchError("; ".join(validated.error_messages))
    settings: dict[str, Any] = validated.validated_parameters
    return settings


def write_given(folder: Path, settings: dict[str, Any]) -> Path:
    """Write the settings to a file for another process: they hold a secret, which no command line may show."""
    path = folder / "settings.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(settings))
    return path

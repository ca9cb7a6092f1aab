from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


def load(role: str, name: str) -> Any:
    """Return a program of a role, which is a file by itself, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "roles" / role / "files" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module

"""The arrows of the house: a room of the engine imports only rooms below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "module_utils" / "rehome"

FLOORS = (
    ("codes", "collector", "duckdb_engine", "backoff", "job", "latency", "version"),
    ("errors",),
    ("files",),
    ("timeline",),
    ("mapping", "catalog", "checks", "progress", "control"),
    ("config",),
    ("run", "s3", "db", "planning", "report"),
    ("object_rows",),
    ("services", "redirect", "state", "discover", "fleet"),
    ("preflight", "scan", "ansible_module"),
    ("stages",),
    ("grants",),
)
"""From the ground up. The rooms of one floor do not know each other."""

INNER_FLOORS = {
    "s3": (
        ("documents", "support"),
        ("capabilities",),
        ("errors",),
        ("transport", "concurrency"),
        ("client", "endpoint"),
        ("objects", "listing"),
        ("multipart", "deletion"),
        ("copier", "probe"),
    ),
    "db": (
        ("control",),
        ("dialect", "server_load", "server_checks"),
        ("journal", "inspector", "facts", "search"),
        ("rights", "work"),
        ("engines",),
        ("throttle",),
    ),
}

STRANGERS = {room: {"s3", "db", "catalog", "state", "planning"} - {room} for room in ("s3", "db")}


def _modules() -> Iterator[tuple[Path, tuple[str, ...]]]:
    for file in sorted(ENGINE.rglob("*.py")):
        yield file, ("rehome", *file.relative_to(ENGINE).with_suffix("").parts)


def _imports(file: Path, name: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The modules of the engine that `file` imports, each as its path from `rehome` on."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = tuple(node.module.split(".")) if node.module else ()
        if node.level:
            module = name[: -node.level] + module
        if module[:1] == ("rehome",):
            for alias in node.names:
                whole = (*module, alias.name)
                inside = ENGINE.joinpath(*whole[1:])
                yield whole if inside.with_suffix(".py").exists() or inside.is_dir() else module


def _upward(floors: tuple[tuple[str, ...], ...], depth: int, within: tuple[str, ...]) -> list[str]:
    """The imports among the rooms at `depth` below `within` that do not go down."""
    floor = {room: number for number, rooms in enumerate(floors) for room in rooms}
    wrong = []
    for file, name in _modules():
        if name[:depth] != within or len(name) <= depth or name[depth] == "__init__":
            continue
        for target in _imports(file, name):
            if target[:depth] != within or len(target) <= depth or target[depth] == name[depth]:
                continue
            if floor[target[depth]] >= floor[name[depth]]:
                wrong.append(f"{'.'.join(name)} imports {'.'.join(target)}")
    return wrong


def test_a_room_imports_only_rooms_below_it() -> None:
    assert _upward(FLOORS, 1, ("rehome",)) == []


@pytest.mark.parametrize("room", INNER_FLOORS)
def test_within_a_room_imports_go_down_too(room: str) -> None:
    assert _upward(INNER_FLOORS[room], 2, ("rehome", room)) == []


@pytest.mark.parametrize("room", STRANGERS)
def test_s3_and_db_know_neither_each_other_nor_what_is_planned_or_kept(room: str) -> None:
    known = {target[1] for file, name in _modules() if name[1] == room for target in _imports(file, name)}
    assert known & STRANGERS[room] == set()


def test_the_engine_imports_itself_by_relative_imports_alone() -> None:
    """The tests above see no others."""
    absolute = []
    for file, name in _modules():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            else:
                continue
            absolute += [
                f"{'.'.join(name)}: {module}"
                for module in modules
                if "rehome" in module.split(".") or module.split(".")[0] == "importlib"
            ]
    assert absolute == []


def test_the_init_file_of_a_room_holds_its_description_alone() -> None:
    assert [file for file in ENGINE.rglob("__init__.py") if len(ast.parse(file.read_text()).body) != 1] == []


def test_every_room_has_its_place() -> None:
    rooms = {path.stem for path in ENGINE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == {room for rooms in FLOORS for room in rooms}


def test_every_room_says_what_lives_in_it() -> None:
    silent = [file for file in ENGINE.rglob("__init__.py") if not ast.get_docstring(ast.parse(file.read_text()))]
    assert silent == []
